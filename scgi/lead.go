package scgi

import (
	"errors"
	"sync/atomic"
	"time"
)

// lead is who accepts from a queue that says whether it was empty: one goroutine,
// the leader, which serves a connection itself that came to an empty queue, and
// then accepts again. To hand one to another goroutine wakes a thread, as long as a
// processor is idle, and that costs more than a short request.
//
// A leader that keeps others waiting loses the lead: a watch that sees it at the
// same connection twice lets another goroutine accept, and the old leader becomes
// a worker like others. (The pattern is known as Leader/Followers.)
type lead struct {
	ln    *listener
	queue quickQueue
	over  chan error // what ended accepting

	// turn is odd while the leader serves, and rises with each beginning and end.
	// Whoever makes an odd one even has the lead.
	turn atomic.Uint64

	// Whoever has the lead uses these.
	shy  int // the leader does not serve so many of the next connections itself
	slow int // about what shy is to be the next time

	watched  *time.Timer // calls watch
	watching atomic.Bool // it is set
	seen     uint64      // the turn that watch saw last
}

const (
	// quickly is how long a leader may take for one, lest it becomes shy.
	quickly = 100 * time.Microsecond
	maxShy  = 1 << 16
	// watchEvery is how often watch looks, as long as there is something to see.
	watchEvery = time.Millisecond
)

// quickQueue is one that can be led.
type quickQueue interface {
	waited() bool // in the last Accept
}

// errLeadLost is why a goroutine stops accepting while others go on.
var errLeadLost = errors.New("scgi: another goroutine accepts")

// accept is acceptAll by leaders.
func (l *lead) accept() error {
	l.over = make(chan error, 1)
	l.watched = time.AfterFunc(watchEvery, l.watch)
	l.watched.Stop()
	defer l.watched.Stop()
	go l.run()
	return <-l.over
}

// run accepts until the lead is lost, or the end.
func (l *lead) run() {
	err := l.ln.acceptAll()
	if err == errLeadLost {
		l.ln.srv.follow()
		return
	}
	l.over <- err
}

// wants reports whether the leader is to serve the connection itself that it has
// just accepted.
func (l *lead) wants() bool {
	if l.shy > 0 {
		l.shy--
		return false
	}
	return l.queue.waited()
}

// serve serves a connection, and reports whether the goroutine is still the leader.
func (l *lead) serve(c *conn) (leads bool) {
	turn := l.turn.Add(1)
	if l.watching.CompareAndSwap(false, true) {
		l.watched.Reset(watchEvery)
	}
	defer func() {
		if !leads { // after runtime.Goexit nobody would be
			l.pass(turn)
		}
	}()
	began := time.Now()
	c.serve()
	if !l.turn.CompareAndSwap(turn, turn+1) {
		return false
	}
	if time.Since(began) > quickly {
		l.shrink(2)
	} else {
		l.cheer()
	}
	return true
}

// cheer takes note of a connection that was served quickly: some 100 of them make
// good for one that was not.
func (l *lead) cheer() { l.slow -= (l.slow + 127) / 128 }

// shrink makes the leader shy, so many times as long as the last time.
func (l *lead) shrink(times int) {
	l.slow = min(times*(l.slow+1), maxShy)
	l.shy = l.slow
}

// pass takes the lead from the leader if it serves in that turn still, and gives it
// to a new one.
func (l *lead) pass(turn uint64) {
	if l.turn.CompareAndSwap(turn, turn+1) {
		l.shrink(4)
		go l.run()
	}
}

// watch takes the lead from a leader that serves the same connection as the last
// time. When nothing was served since, it stops looking.
func (l *lead) watch() {
	turn := l.turn.Load()
	if turn != l.seen {
		l.seen = turn
		l.watched.Reset(watchEvery)
		return
	}
	if turn%2 == 1 {
		l.pass(turn)
	}
	l.watching.Store(false)
	if l.turn.Load() != turn && l.watching.CompareAndSwap(false, true) {
		l.watched.Reset(watchEvery)
	}
}
