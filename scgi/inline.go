package scgi

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// This file is about requests that the accepting goroutine serves itself. To hand
// a connection over wakes a goroutine, and most often a thread for it, which costs
// more than a short request. So where the handlers have been quick, and nobody else
// waits in the queue, the goroutine that has accepted goes on to serve. It must not
// be held up there, with others coming: so it is watched, and where it does not come
// back another goroutine takes its place at the listener.

const (
	// quickEnough is the longest request that may hold up the next one.
	quickEnough = 50 * time.Microsecond

	// watchEvery is the time between two looks at who is served. A request that is
	// there at both is slow, or waits.
	watchEvery = time.Millisecond

	// afterSlow is how many are handed over before the next try when one was slow.
	afterSlow = 32

	// After one that had to be replaced it is the penalty, which doubles each time
	// within these bounds, and is halved again by as many that were quick.
	minPenalty = 1 << 10
	maxPenalty = 1 << 16
)

// quickListener is a listener that can say whether somebody waits.
type quickListener interface {
	net.Listener
	acceptNow() (conn net.Conn, ok bool) // of those that wait in the queue
}

// inline is a listener's turns at serving. All is the accepting goroutine's, but
// for what is atomic.
type inline struct {
	turn     atomic.Uint64 // odd while the accepting goroutine serves
	watched  atomic.Bool
	timer    *time.Timer
	seen     uint64    // the turn at the last look; the watch's
	last     time.Time // when a connection came
	handOver int       // how many are to be handed over before the next try
	penalty  int       // how many that will be after one that had to be replaced
	quick    int       // served here since the penalty changed
}

// errReplaced is how a goroutine leaves the listener to another one.
var errReplaced = errors.New("scgi: another goroutine accepts")

// lead accepts until it is over or another goroutine does so.
func (ln *listener) lead() {
	err := errReplaced
	defer func() {
		if err != errReplaced {
			ln.over <- err
		} else if ln.inline.turn.Load()%2 == 1 { // a handler has ended its goroutine
			ln.inline.turn.Add(1)
			go ln.lead()
		}
	}()
	err = ln.acceptEach()
}

// startQuick serves a connection here, or hands it over. It reports false when
// another goroutine accepts now.
func (ln *listener) startQuick(q quickListener, c *conn) bool {
	for ln.inline.wanted(c.began) && ln.srv.hasRoomNow() {
		rwc, ok := q.acceptNow()
		if !ok {
			return ln.serveHere(c)
		}
		ln.srv.dispatch(c)
		if c = ln.admit(rwc); c == nil {
			return true
		}
	}
	ln.srv.dispatch(c)
	return true
}

// wanted reports whether the next request may be served here. It is not worth
// its watch when they come seldom.
func (in *inline) wanted(now time.Time) bool {
	often := now.Sub(in.last) < watchEvery
	in.last = now
	if in.handOver > 0 {
		in.handOver--
		return false
	}
	return often
}

// errWouldWait is what a hasty read fails with.
var errWouldWait = errors.New("scgi: nothing has come yet")

// hasBegun reports whether something of the request is there, which is then in
// the buffer.
func (c *conn) hasBegun() bool {
	quick, ok := c.rwc.(quickConn)
	if !ok {
		return false
	}
	quick.setHasty(true)
	defer quick.setHasty(false)
	_, err := c.br.Peek(1)
	return err != errWouldWait // any other comes again
}

// serveHere serves a connection whose request has begun to arrive.
func (ln *listener) serveHere(c *conn) bool {
	if !c.hasBegun() {
		ln.srv.dispatch(c)
		return true
	}
	in := &ln.inline
	turn := in.turn.Add(1)
	if in.watched.CompareAndSwap(false, true) {
		ln.watch()
	}
	c.serve()
	if !in.turn.CompareAndSwap(turn, turn+1) {
		return false
	}
	if time.Since(c.began) > quickEnough {
		in.handOver = afterSlow
	} else if in.quick++; in.quick >= in.penalty {
		in.quick, in.penalty = 0, max(in.penalty/2, minPenalty)
	}
	return true
}

// watch looks at the turn every so often, for as long as there are new ones.
func (ln *listener) watch() {
	in := &ln.inline
	in.seen = in.turn.Load()
	if in.timer == nil {
		in.timer = time.AfterFunc(watchEvery, ln.look)
	} else {
		in.timer.Reset(watchEvery)
	}
}

func (ln *listener) look() {
	in := &ln.inline
	turn := in.turn.Load()
	switch {
	case turn != in.seen:
		ln.watch()
	case turn%2 == 0: // nobody comes any more
		in.watched.Store(false)
		if in.turn.Load() != turn && in.watched.CompareAndSwap(false, true) {
			ln.watch() // but somebody has come just now
		}
	case in.turn.CompareAndSwap(turn, turn+1):
		in.handOver = in.penalty
		in.quick, in.penalty = 0, min(2*in.penalty, maxPenalty)
		in.watched.Store(false)
		go ln.lead()
	default:
		ln.watch() // it has come back just now
	}
}
