//go:build !linux

package scgi

import "net"

// watcher is not to be had here: a request's context ends with its handler, or
// when the server is forced to stop.
type watcher struct{}

func watchPeer(net.Conn, bool, func()) *watcher { return nil }

func (*watcher) stop() {}

// quick cannot be had here.
func quick(l net.Listener) net.Listener { return l }

// queued cannot be told here: what is queued when the server stops is refused.
func queued(net.Listener) bool { return false }
