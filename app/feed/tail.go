// Package feed gives each message to all who follow the log, as it is stored.
//
// Subscribers pull. One reader, the Tail, reads what is new once and keeps the newest
// events in one window. It wakes all subscribers by closing one channel. There is no
// queue for each subscriber, so a slow one cannot hold up the Tail, and the Tail never
// goes through a list.
//
// The state of a subscriber is the seq up to which it was served, and the window
// knows the seq after which it begins. So the change from catching up to following is
// one comparison. A subscriber that has joined the window and falls behind it is
// ended; when it comes back it catches up by reading pages itself. Two subscribers
// catch up at a time, because all share the readers of the store. While there is no
// subscriber the Tail reads nothing, and the window begins at the end of the log when
// the next one comes.
package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app"
)

// What a Tail's zero limits mean.
const (
	defaultMaxEvents      = 10_000
	defaultMaxEventBytes  = 16 << 20
	defaultMaxSubscribers = 10_000
)

// What is read of the log at a time, by the tail and by those who catch up:
// whatever comes first, and then the rest of that message. Those who catch up
// hold a page each for as long as their client takes it, so theirs is smaller.
const (
	followPage   = 500
	followBytes  = 256 << 10
	catchUpBytes = 64 << 10
)

// maxCatchUps is how many subscribers read the log at the same time. The others
// that are behind wait: the tail and everybody else need to read it too.
const maxCatchUps = 2

// catchUpTime is how long a subscriber that catches up may look for messages that
// pass its filters. Its heartbeats wait for that.
const catchUpTime = 5 * time.Second

// tailRetry is how long the tail waits after it could not read.
const tailRetry = time.Second

// Tail follows a Store for everybody who wants each message as it is stored. It
// reads what is new once, makes events of it once, and keeps the newest of them
// in one window that all subscribers look into: a subscriber is hardly more than
// its position. Nobody hands anything to anybody, so a slow subscriber holds
// nobody up; when the window has moved past it, it is ended.
//
// While nobody follows, nothing is read.
//
// Set Log and the limits before Start; the zero limits are usable. A Tail is
// safe for concurrent use and must not be copied.
type Tail struct {
	Log app.Store

	// MaxEvents is how many events the window holds, so how far a subscriber may
	// fall behind. Zero means 10,000.
	MaxEvents int
	// MaxBytes is how large the window may become; one page may be larger by
	// itself. Zero means 16 MiB.
	MaxBytes int
	// MaxSubscribers is how many may follow. Zero means 10,000.
	MaxSubscribers int

	// Logger is told when the log cannot be read. The zero Logger is silent.
	Logger zerolog.Logger

	name     string        // the log's, from Start on
	newest   atomic.Int64  // the highest seq that is known to be stored
	wake     chan struct{} // holds one: newest has risen
	catchUps chan struct{} // holds one for each who reads by itself
	stop     context.CancelFunc
	stopped  chan struct{} // closed when run has returned

	mu          sync.RWMutex // guards what follows; never held while something is read or sent
	subscribers map[*Subscription]struct{}
	draining    bool
	window      window
	moved       chan struct{} // closed, and made anew, when the window has moved
}

// window is the newest part of the log, as events: all of them after base, up to
// head.
type window struct {
	base, head int64
	pages      []*Events // oldest first; none has nothing to tell
	count      int       // of events
	bytes      int
}

// Stats are a Tail's numbers.
type Stats struct {
	Subscribers int // who follow now
}

// Errors of following a log.
var (
	// ErrDraining is returned by Tail.Subscribe after Drain.
	ErrDraining = errors.New("feed: the tail is draining")
	// ErrTooManySubscribers is returned by Tail.Subscribe when MaxSubscribers follow.
	ErrTooManySubscribers = errors.New("feed: too many follow the log")
	// ErrBehind ends a subscriber that the window has moved past.
	ErrBehind = errors.New("feed: too far behind")
)

// Start finds the end of the log and follows it from there, until Close. ctx is
// for finding it.
func (t *Tail) Start(ctx context.Context) error {
	page, err := t.Log.Read(ctx, app.Query{Last: true, Limit: 1})
	if err != nil {
		return fmt.Errorf("feed: looking for the end of the log: %w", err)
	}
	t.name = page.Log
	t.newest.Store(page.Next)
	t.wake = make(chan struct{}, 1)
	t.catchUps = make(chan struct{}, maxCatchUps)
	t.stopped = make(chan struct{})
	t.subscribers = map[*Subscription]struct{}{}
	t.moved = make(chan struct{})
	ctx, t.stop = context.WithCancel(context.WithoutCancel(ctx))
	go t.run(ctx)
	return nil
}

// Name returns the log's name. It is empty before Start.
func (t *Tail) Name() string { return t.name }

// Newest returns the highest seq that is known to be stored.
func (t *Tail) Newest() int64 { return t.newest.Load() }

// Committed tells that the log now holds seq. It takes no lock and never waits:
// it is called in the way of insertion.
func (t *Tail) Committed(seq int64) {
	for {
		newest := t.newest.Load()
		if seq <= newest {
			return // a batch of duplicates
		}
		if t.newest.CompareAndSwap(newest, seq) {
			break
		}
	}
	select {
	case t.wake <- struct{}{}:
	default: // it is awake and will see
	}
}

// Drain ends all subscribers at once, and every later one as it comes. It is for
// the beginning of a stop, which would wait for them otherwise.
func (t *Tail) Drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
	for s := range t.subscribers {
		s.end()
	}
}

// Close drains, and returns once the log is no longer read for all. A subscriber
// that has not returned may still be reading for itself.
func (t *Tail) Close() {
	t.Drain()
	t.stop()
	<-t.stopped
}

// Stats returns the numbers as they are now.
func (t *Tail) Stats() Stats {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return Stats{Subscribers: len(t.subscribers)}
}

// run reads whenever there is something to read.
func (t *Tail) run(ctx context.Context) {
	defer close(t.stopped)
	for {
		select {
		case <-t.wake:
		case <-ctx.Done():
			return
		}
		for err := t.follow(ctx); err != nil; err = t.follow(ctx) {
			t.Logger.Error().Err(err).Msg("the log's new messages cannot be read, trying again")
			select {
			case <-time.After(tailRetry):
			case <-ctx.Done():
				return
			}
		}
	}
}

// follow reads on to the newest message that is known of. Most often that is one
// page: what was committed since.
func (t *Tail) follow(ctx context.Context) error {
	for {
		after, behind := t.position()
		if !behind {
			return nil
		}
		page, err := t.Log.Read(ctx, app.Query{After: after, Limit: followPage, MaxBytes: followBytes})
		if ctx.Err() != nil {
			return nil // whatever err says: it is over
		}
		if err != nil {
			return err
		}
		if page.Next <= after {
			return nil // what was there has been pruned already
		}
		t.add(newEvents(t.name, after, page))
	}
}

// position returns where the window ends, and whether there is more for somebody.
func (t *Tail) position() (head int64, behind bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.window.head, len(t.subscribers) > 0 && t.window.head < t.newest.Load()
}

// add moves the window on over a page, and wakes all subscribers.
func (t *Tail) add(page *Events) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if page.after != t.window.head {
		return // everybody left while it was read, and somebody came
	}
	t.window.add(page)
	if t.window.trim(cmp.Or(t.MaxEvents, defaultMaxEvents), cmp.Or(t.MaxBytes, defaultMaxEventBytes)) {
		t.endSlow()
	}
	close(t.moved)
	t.moved = make(chan struct{})
}

// look returns the page that follows a subscriber's position, or none at the end of
// the window. Then moved is closed when the window moves on. For a position before
// the window it returns ErrBehind. base and head are where the window begins and
// ends.
func (t *Tail) look(s *Subscription) (page *Events, base, head int64, moved <-chan struct{}, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	w, position := &t.window, s.query.After
	if position < w.base {
		return nil, w.base, w.head, nil, ErrBehind
	}
	if page = w.after(position); page != nil {
		s.sending.Store(page.next)
	}
	return page, w.base, w.head, t.moved, nil
}

// endSlow ends the subscribers that send a page so old that the window will have
// moved past them after it. So all of them together hold no more than the window
// and the page before it. t.mu is held.
func (t *Tail) endSlow() {
	for s := range t.subscribers {
		if s.sending.Load() < t.window.base && !s.behind.Swap(true) {
			s.end()
		}
	}
}

func (w *window) add(page *Events) {
	w.head = page.next
	if len(page.each) == 0 && page.pruned == nil {
		return
	}
	w.pages = append(w.pages, page)
	w.count += len(page.each)
	w.bytes += len(page.text)
}

// trim lets go of the oldest pages, and reports whether there were any. One stays,
// however large, or nobody could ever get it.
func (w *window) trim(maxEvents, maxBytes int) (trimmed bool) {
	for len(w.pages) > 1 && (w.count > maxEvents || w.bytes > maxBytes) {
		oldest := w.pages[0]
		w.pages[0] = nil
		w.pages = w.pages[1:]
		w.base = oldest.next
		w.count -= len(oldest.each)
		w.bytes -= len(oldest.text)
		trimmed = true
	}
	return trimmed
}

// after returns the first page that has something after a position.
func (w *window) after(position int64) *Events {
	i := sort.Search(len(w.pages), func(i int) bool { return w.pages[i].next > position })
	if i == len(w.pages) {
		return nil
	}
	return w.pages[i]
}
