package scgi

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
)

// Serve accepts connections on l and answers each in a goroutine of its own. It
// returns [ErrServerClosed] once Shutdown or Close has ended it (at once, if
// they came first), and else the error that ended accepting for good. l is
// closed when it returns. Connections may outlive it: wait for Done.
//
// To end it call Shutdown or Close. Closing l ends it too, with an error that
// matches [net.ErrClosed], though on Linux that is noticed only within a second:
// connections are accepted from a copy of l's descriptor.
//
// Several Serves may run at once on several listeners. When accepting fails on
// one of them the others go on. When it fails on the last one the server drains
// as if by Shutdown, and Err gives that error.
func (s *Server) Serve(l net.Listener) error {
	ln, err := s.register(l)
	if err != nil {
		_ = l.Close() // why it was not served is what matters
		return err
	}
	return ln.serve()
}

// Start is Serve in a goroutine of the server's own. It returns nil as soon as l
// is registered: from then on every Shutdown knows of it. After Shutdown or
// Close it closes l and returns [ErrServerClosed]. What ends accepting later is
// logged, and is what Err gives if it ends the server.
func (s *Server) Start(l net.Listener) error {
	ln, err := s.register(l)
	if err != nil {
		_ = l.Close() // likewise
		return err
	}
	go func() {
		if err := ln.serve(); !errors.Is(err, ErrServerClosed) {
			s.logger().Error("scgi: a listener failed", "error", err, "listener", l.Addr().String())
		}
	}()
	return nil
}

// Serving returns a channel that is closed when the first listener is
// registered: the kernel queues connections from then on. It stays open when
// the server is shut down before; so wait for Done beside it.
func (s *Server) Serving() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.make()
	return s.serving
}

// Done returns a channel that is closed when the server has ended: nothing is
// accepted any more and no handler runs. Every way to the end closes it, a
// Shutdown before the first Serve too.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.make()
	return s.done
}

// Err returns nil until Done is closed, and then why: [ErrServerClosed] after
// Shutdown or Close, else the error of the listener that failed last.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.make()
	select {
	case <-s.done:
		return s.cause
	default:
		return nil
	}
}

// Shutdown stops the server in peace, at whatever moment it is called. Listeners
// are emptied and closed: a connection that waits in the kernel's queue at that
// moment is still served, and one that comes later is refused, so that the stop ends
// while clients keep coming. A listener that says it was inherited keeps its queue
// for the next process that has it. Requests whose header is complete finish;
// the others get DrainHeaderTimeout to complete it. Hijacked connections are
// their taker's.
//
// When ctx ends before that, what is left is broken off as by Close and its
// error is returned; handlers may then still run until Done is closed. With a
// context that descends from a request of this server, Shutdown does not wait for
// that request, which would be waiting for itself, nor for others that wait so.
// A context of another server's request is like any other. `go s.Shutdown(ctx)`, with
// a context of its own, is the idiom for a handler that does not mean to wait.
//
// It may be called any number of times.
func (s *Server) Shutdown(ctx context.Context) error {
	own := connOf(ctx, s)
	s.mu.Lock()
	s.make()
	deaf := s.drain(ErrServerClosed)
	w := &waiter{own: own, over: make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.settle()
	s.mu.Unlock()
	for _, ln := range deaf {
		_ = ln.close() // its error is kept for serve
	}
	select {
	case <-w.over:
		return nil
	default:
	}
	select {
	case <-w.over:
		return nil
	case <-ctx.Done():
		_ = s.force(own) // the listeners' own errors are logged
		return ctx.Err()
	}
}

// Close stops the server at once: it closes the listeners and breaks every
// connection, but for hijacked ones. It does not wait for handlers; Done does.
// It returns what went wrong in closing the listeners. It may be called any
// number of times.
func (s *Server) Close() error { return s.force(nil) }

// force is Close, but spares the connection whose handler asks for it.
func (s *Server) force(own *conn) error {
	s.mu.Lock()
	s.make()
	s.drain(ErrServerClosed)
	s.state = stateClosed
	s.room.Broadcast()
	listeners := slices.Collect(maps.Keys(s.listeners))
	left := make([]*conn, 0, s.conns.n)
	for c := range s.conns.all() {
		if c != own {
			left = append(left, c)
		}
	}
	s.settle()
	s.mu.Unlock()
	var errs []error
	for _, ln := range listeners {
		errs = append(errs, ln.close())
	}
	for _, c := range left {
		c.abort()
	}
	return errors.Join(errs...)
}

// make makes what the zero Server lacks. The caller holds mu.
func (s *Server) make() {
	if s.made {
		return
	}
	s.made = true
	s.serving = make(chan struct{})
	s.draining = make(chan struct{})
	s.done = make(chan struct{})
	s.listeners = make(map[*listener]struct{})
	s.room.L = &s.mu
}

// drain begins the end, unless it has begun. It returns the listeners that stop
// only when they are closed, which is left to the caller: it holds mu, and does
// not wait under it.
func (s *Server) drain(cause error) (deaf []*listener) {
	if s.state >= stateDraining {
		return nil
	}
	s.state = stateDraining
	s.cause = cause
	close(s.draining)
	s.room.Broadcast()
	for ln := range s.listeners {
		if !ln.wake() {
			deaf = append(deaf, ln)
		}
	}
	s.dismissIdle()
	for c := range s.conns.all() {
		c.hurryDrain()
		if s.DrainHeaderTimeout >= 0 {
			c.hurryHeader(timeoutOr(s.DrainHeaderTimeout, defaultDrainHeaderTimeout))
		}
	}
	return deaf
}

// settle tells whoever waits for what has come true by now. It is called after
// every change that may end a wait. The caller holds mu.
func (s *Server) settle() {
	if s.state < stateDraining || len(s.listeners) > 0 {
		return
	}
	// Handlers that wait here do not wait for each other either.
	selves := make(map[*conn]struct{})
	for _, w := range s.waiting {
		if s.conns.has(w.own) {
			selves[w.own] = struct{}{}
		}
	}
	still := s.waiting[:0]
	for _, w := range s.waiting {
		_, waitsForItself := selves[w.own]
		if s.conns.n == 0 || waitsForItself && s.conns.n == len(selves) {
			close(w.over)
		} else {
			still = append(still, w)
		}
	}
	clear(s.waiting[len(still):])
	s.waiting = still
	if s.conns.n == 0 {
		select {
		case <-s.done:
		default:
			s.state = stateClosed
			close(s.done)
		}
	}
}

// register adds a listener, unless the server has begun to end: the state is
// looked at and the listener added in one step, so that a Shutdown comes either
// before (and this fails) or after (and ends it). There is no moment between.
func (s *Server) register(l net.Listener) (*listener, error) {
	base := context.Background()
	if s.BaseContext != nil {
		if base = s.BaseContext(l); base == nil {
			panic("scgi: BaseContext returned a nil context")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.make()
	if s.state >= stateDraining {
		return nil, ErrServerClosed
	}
	if s.state == stateNew {
		s.state = stateServing
		close(s.serving)
	}
	ln := &listener{Listener: l, queue: s.quicken(l), srv: s, base: base, closed: make(chan struct{})}
	s.listeners[ln] = struct{}{}
	return ln, nil
}

// unregister removes a listener that has ended, with the error that Serve
// returns.
func (s *Server) unregister(ln *listener, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	if len(s.listeners) == 0 {
		s.drain(err) // only if nothing else has begun it
	}
	s.settle()
}

// track adds a connection and gives it the time for its header, unless the
// server breaks connections already. It returns a worker for it if one is idle.
func (s *Server) track(c *conn) (idle *worker, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return nil, false
	}
	s.conns.add(c)
	c.startHeader(timeoutOr(s.ReadHeaderTimeout, defaultReadHeaderTimeout))
	if s.state == stateDraining && s.DrainHeaderTimeout >= 0 {
		c.hurryHeader(timeoutOr(s.DrainHeaderTimeout, defaultDrainHeaderTimeout))
	}
	return s.takeIdle(), true
}

// forget removes a connection that has ended or was given away.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns.remove(c)
	s.room.Broadcast() // one signalled listener alone may have no client for the room
	s.settle()
}
