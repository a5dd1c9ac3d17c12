package listen

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// Listener is a net.Listener for what its Address says. Its methods may be
// called by several goroutines.
type Listener struct {
	// Logger is told of peers that are refused: of the first, the second, the
	// fourth and so on, so that nobody can flood the log. nil means nobody is
	// told. Set it before the first Accept.
	Logger *slog.Logger

	inner     socket
	address   Address
	file      *socketFile // nil unless this listener made one
	inherited bool
	aside     atomic.Bool // MoveAside was called
	refused   atomic.Uint64
}

// socket is what *net.TCPListener and *net.UnixListener have in common.
type socket interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

var (
	_ socket = (*Listener)(nil)
	_ socket = (*net.TCPListener)(nil)
	_ socket = (*net.UnixListener)(nil)
)

// Listen opens the listener that addr names. The context bounds the opening:
// the look-up of a host name and the question whether somebody answers on a
// unix socket. It means nothing to the listener.
//
// Errors match syscall.EADDRINUSE when another server has the address.
func Listen(ctx context.Context, addr string) (*Listener, error) {
	a, err := Parse(addr)
	if err != nil {
		return nil, err
	}
	l, err := open(ctx, a)
	if err != nil {
		return nil, fault(addr, err)
	}
	return l, nil
}

func open(ctx context.Context, a Address) (*Listener, error) {
	switch a.Network {
	case "unix":
		return listenUnix(ctx, a)
	case "tcp":
		return listenTCP(ctx, a)
	}
	return listenInherited(a)
}

// Accept waits for the next connection of a peer that may connect; others are
// closed and passed over. Its errors are those of net's listeners.
//
// After MoveAside it does not wait on behind a peer that was refused, for the
// queue may be empty: then the error is syscall.ECONNABORTED.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.inner.Accept()
		if err != nil {
			return nil, err
		}
		if l.admits(c) {
			return l.wrap(c), nil
		}
		l.refuse("listen: refused a peer that allow= does not name", c.RemoteAddr())
		_ = c.Close() // nothing was read or written that could get lost
		if l.aside.Load() {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: syscall.ECONNABORTED}
		}
	}
}

// Close stops listening. The file of a unix socket is removed if it is still
// this listener's. Connections that nobody has accepted are reset, unless they
// are in an inherited queue.
func (l *Listener) Close() error {
	// First the file: its inode is ours for as long as the socket is open.
	return errors.Join(l.removeFile(), l.inner.Close())
}

// MoveAside makes sure that nobody new finds the listener: it removes the file
// of its unix socket, if it is still its own. Connections queued already can
// still be accepted. For TCP and inherited listeners it does nothing but what
// Accept says.
func (l *Listener) MoveAside() error {
	l.aside.Store(true)
	return l.removeFile()
}

func (l *Listener) removeFile() error {
	if l.file == nil {
		return nil
	}
	if err := l.file.remove(); err != nil {
		return fault(l.address.String(), err)
	}
	return nil
}

// Inherited reports whether the socket came from a parent that goes on
// listening, so that its queue should be left to it.
func (l *Listener) Inherited() bool { return l.inherited }

// Direct returns the listener of package net behind this one, if all connections
// are let in as they are, and nil with allow= and proxy=. A server may then do
// without Accept, if this is the listener that it serves, and not one around it.
func (l *Listener) Direct(served net.Listener) net.Listener {
	o := &l.address.options
	if served != net.Listener(l) || len(o.allow) > 0 || len(o.proxy) > 0 || o.proxyUnix {
		return nil
	}
	return l.inner
}

// Refused counts the peers that were refused: those that allow= does not name,
// and those that proxy= names and that sent no valid PROXY header.
func (l *Listener) Refused() uint64 { return l.refused.Load() }

// Addr is the address that is listened on, with the port that was chosen for
// port 0.
func (l *Listener) Addr() net.Addr {
	if l.file != nil {
		return &net.UnixAddr{Net: "unix", Name: l.address.Address}
	}
	return l.inner.Addr()
}

// SetDeadline bounds Accept, as with net's listeners.
func (l *Listener) SetDeadline(t time.Time) error { return l.inner.SetDeadline(t) }

// SyscallConn gives access to the socket, to ask it something. Who accepts from
// it gets around allow= and proxy=.
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.inner.SyscallConn() }
