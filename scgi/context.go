package scgi

import (
	"context"
	"net/http"
	"sync"
)

// requestContext is the context of a request. Its channel is made when it is
// first asked for, so that a handler that never looks at it pays nothing; the
// front end's going away is watched from then on. Before that, Err asks the kernel
// once each time whether the front end is still there.
type requestContext struct {
	context.Context // the connection's, from BaseContext and ConnContext
	c               *conn

	mu     sync.Mutex // guards what follows
	inner  context.Context
	cancel context.CancelFunc
	over   bool
	watch  *watcher // nil while nobody looks, and where nothing can be watched
	blind  bool     // nothing is watched any more
}

// connKey is the key under which a request's context holds its connection. With a
// nil srv it is the connection of the innermost request, and else of the innermost
// request of that server: a context may descend from requests of several servers.
type connKey struct{ srv *Server }

// connOf returns the connection of the request of s that ctx descends from, or nil
// if there is none. A nil s stands for any server.
func connOf(ctx context.Context, s *Server) *conn {
	c, _ := ctx.Value(connKey{s}).(*conn)
	return c
}

// Done implements context.Context.
func (x *requestContext) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inner == nil {
		x.make()
		if !x.over && !x.blind {
			x.watch = watchPeer(x.c.rwc, x.c.srv.AllowHalfClose, x.end)
		}
	}
	return x.inner.Done()
}

// Err implements context.Context.
func (x *requestContext) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inner == nil {
		x.over = x.over || !x.blind && peerGone(x.c.rwc, x.c.srv.AllowHalfClose)
		if !x.over && x.Context.Err() == nil {
			return nil
		}
		x.make()
	}
	return x.inner.Err()
}

// make makes the context that ends, and ends it if it is over. Package context finds
// the cause there. The caller holds mu.
func (x *requestContext) make() {
	parent := x.Context
	if x.over {
		parent = context.WithoutCancel(parent) // which may have ended since, for another cause
	}
	x.inner, x.cancel = context.WithCancel(parent)
	if x.over {
		x.cancel()
	}
}

// Value implements context.Context.
func (x *requestContext) Value(key any) any {
	switch key {
	case connKey{}, connKey{x.c.srv}:
		return x.c
	case http.LocalAddrContextKey:
		return x.c.localAddr()
	}
	x.mu.Lock()
	inner := x.inner
	x.mu.Unlock()
	if inner != nil {
		// Package context looks for its own kind here, and then needs no
		// goroutine to pass a cancellation on.
		return inner.Value(key)
	}
	return x.Context.Value(key)
}

// end cancels the context: the handler has returned, the front end has gone or
// the server is forced to stop.
func (x *requestContext) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.cancel != nil {
		x.cancel()
	}
}

// stopWatching ends the watch on the front end for good, and waits for that.
func (x *requestContext) stopWatching() {
	x.mu.Lock()
	watch := x.watch
	x.watch, x.blind = nil, true
	x.mu.Unlock()
	if watch != nil {
		watch.stop()
	}
}
