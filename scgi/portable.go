//go:build !linux

package scgi

import "net"

// watcher is not to be had here: a request's context ends with its handler, or
// when the server is forced to stop.
type watcher struct{}

func watchPeer(net.Conn, bool, func()) *watcher { return nil }

func (*watcher) stop() {}

func peerGone(net.Conn, bool) bool { return false }

// quick cannot be had here.
func quick(l net.Listener) net.Listener { return l }

// backlog is zero and queued false, because neither can be told here: connections
// that are queued when the server stops are refused.
func backlog(net.Listener) int { return 0 }

func queued(net.Listener) bool { return false }
