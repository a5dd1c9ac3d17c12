package scgi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// listener is a net.Listener that a Server serves. Its goroutine accepts; other
// goroutines only wake it or, to force the end, close it.
type listener struct {
	net.Listener              // as it was given
	queue        net.Listener // what accepts from it: the same, or a quicker way
	srv          *Server
	base         context.Context

	closing  sync.Once
	closed   chan struct{} // closed by close
	closeErr error
}

// aside is what a listener may implement that knows how to keep new clients from
// finding it while those that wait in its queue are still served.
type aside interface{ MoveAside() error }

// inherited is what a listener may implement whose queue outlives it, because
// another process holds it open too.
type inherited interface{ Inherited() bool }

// quickConn is a connection of a listener that was quickened.
type quickConn interface {
	net.Conn
	sendNow(p []byte) int        // sends without waiting, and returns how much
	giveAway() (net.Conn, error) // makes one of package net's of it, for a hijacker
}

// quicken finds a quicker way to accept from l, where there is one. Who asks for
// connections by a hook gets those of package net, to do with as usual.
func (s *Server) quicken(l net.Listener) net.Listener {
	if s.ConnContext != nil || s.ConnState != nil || s.portable {
		return l
	}
	return quick(l)
}

// serve accepts until the server stops or accepting fails for good.
func (ln *listener) serve() error {
	err := ln.acceptAll()
	if errors.Is(err, ErrServerClosed) {
		ln.empty()
	}
	if closeErr := ln.close(); closeErr != nil {
		ln.srv.logger().Warn("scgi: closing a listener failed", "error", closeErr)
	}
	ln.srv.unregister(ln, err)
	return err
}

// acceptAll returns ErrServerClosed as soon as the server leaves its serving
// state, and else the error that no patience mends.
func (ln *listener) acceptAll() error {
	var pause time.Duration
	for ln.srv.hasRoom(stateServing) {
		rwc, err := ln.queue.Accept()
		switch {
		case err == nil:
			pause = 0
			ln.start(rwc)
		case ln.srv.isDraining():
			return ErrServerClosed
		case !passing(err):
			return err
		default:
			pause = nextPause(pause)
			ln.srv.logger().Warn("scgi: accepting failed, trying again", "error", err, "pause", pause)
			ln.pause(pause, ln.srv.draining)
		}
	}
	return ErrServerClosed
}

// Bounds on the pause after an error in accepting: net/http's.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

func nextPause(pause time.Duration) time.Duration {
	return min(max(2*pause, minAcceptPause), maxAcceptPause)
}

// passing reports whether an error in accepting passes: the process or the
// machine is out of something, or the client has gone already.
func passing(err error) bool {
	for _, errno := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// empty serves the connections that wait in the queue at this moment, so that
// closing the listener does not reset them. It does not serve later ones: under
// constant load there would be no end of them.
func (ln *listener) empty() {
	if l, ok := ln.Listener.(inherited); ok && l.Inherited() {
		return
	}
	if l, ok := ln.Listener.(aside); ok {
		if err := l.MoveAside(); err != nil {
			ln.srv.logger().Warn("scgi: a listener could not be moved aside", "error", err)
		}
	}
	l, ok := ln.queue.(deadliner)
	if !ok {
		return // it was closed to wake it
	}
	var pause time.Duration
	for left := backlog(ln.queue); left > 0 && ln.srv.hasRoom(stateDraining) && queued(ln.queue); {
		// What is queued is there at once, unless another process has been faster.
		if l.SetDeadline(time.Now().Add(maxAcceptPause)) != nil {
			return
		}
		rwc, err := ln.queue.Accept()
		switch {
		case err == nil:
			pause = 0
			left--
			ln.start(rwc)
		case errors.Is(err, syscall.ECONNABORTED):
			left-- // its client has gone, or was refused
		case passing(err):
			pause = nextPause(pause)
			ln.pause(pause, nil)
		default:
			return
		}
	}
}

// deadliner is what the listeners of package net can do.
type deadliner interface{ SetDeadline(time.Time) error }

// wake ends a wait in Accept, and every later one. It reports false for a
// listener that can only be closed.
func (ln *listener) wake() bool {
	l, ok := ln.queue.(deadliner)
	return ok && l.SetDeadline(aLongTimeAgo) == nil
}

// close closes the listener once, and gives every caller the outcome.
func (ln *listener) close() error {
	ln.closing.Do(func() {
		ln.closeErr = ln.queue.Close()
		close(ln.closed)
	})
	return ln.closeErr
}

// start begins to serve a connection.
func (ln *listener) start(rwc net.Conn) {
	c := &conn{srv: ln.srv, rwc: rwc}
	c.ctx.c, c.ctx.Context = c, ln.base
	idle, ok := ln.srv.track(c)
	if !ok {
		_ = rwc.Close() // the server breaks all connections
		return
	}
	ln.srv.stats.accepted.Add(1)
	c.setState(http.StateNew)
	ln.srv.dispatch(c, idle)
}

// hasRoom waits until another connection may be accepted, and reports whether
// the server is still in that state or an earlier one.
func (s *Server) hasRoom(state serverState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := func() bool { return s.MaxConns > 0 && s.conns.n >= s.MaxConns && s.state <= state }
	if full() {
		s.stats.pauses.Add(1)
	}
	for full() {
		s.room.Wait()
	}
	return s.state <= state
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state >= stateDraining
}

// pause waits for some time, but ends early when the listener is closed or by early.
func (ln *listener) pause(d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ln.closed:
	case <-early:
	}
}
