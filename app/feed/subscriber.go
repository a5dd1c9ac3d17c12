package feed

import (
	"cmp"
	"context"
	"iter"
	"math"
	"sync/atomic"
	"time"

	"github.com/windsock-scgi/windsock/app"
)

// Subscription is one client's place in a Tail. All but its end belongs to the one
// goroutine that serves it.
type Subscription struct {
	tail   *Tail
	query  app.Query // its filters; After is its position: all up to there was given to it
	joined bool      // it has caught up with the window
	end    func()    // tells its goroutine to be done; called with tail.mu held

	// sending is the position that a subscriber will have once it has sent the page
	// of the window that it is sending; notSending when it sends none. The tail looks
	// at it: a page that the window has let go of must not be kept by a client that
	// does not read.
	sending atomic.Int64
	behind  atomic.Bool // the tail has ended it for that
}

// notSending is beyond every position.
const notSending = math.MaxInt64

// Subscribe lets somebody follow what passes q's filters: after q.After, or, with
// now, what is stored from now on. They must call Leave in the end. end is called when
// it is time for that; it must not block and may come at any moment before.
func (t *Tail) Subscribe(q app.Query, now bool, end func()) (*Subscription, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		return nil, ErrDraining
	}
	if len(t.subscribers) >= cmp.Or(t.MaxSubscribers, defaultMaxSubscribers) {
		return nil, ErrTooManySubscribers
	}
	newest := t.newest.Load()
	if len(t.subscribers) == 0 {
		// What came while nobody followed is not in the window. Nor is it worth
		// reading for all: whoever wants it catches up.
		t.window = window{base: newest, head: newest}
	}
	if now {
		q.After = newest
	}
	s := &Subscription{tail: t, query: q, end: end}
	s.sending.Store(notSending)
	t.subscribers[s] = struct{}{}
	return s, nil
}

// Leave ends the subscription. end is not called after it.
func (s *Subscription) Leave() {
	s.tail.mu.Lock()
	defer s.tail.mu.Unlock()
	delete(s.tail.subscribers, s)
}

// Next returns a page with the events that follow; Took is called when they are
// sent. At the end there is none: then the channel is closed when there may be
// more.
//
// Nothing comes twice and nothing is left out, since all that counts is the
// position: it moves to where a page was examined to, whoever has read that page,
// and of the next one only what is after it is given out.
//
// Errors are ErrBehind for a subscriber that the window has moved past, and what
// reading the log failed with.
func (s *Subscription) Next(ctx context.Context) (page *Events, moved <-chan struct{}, err error) {
	page, base, head, moved, err := s.tail.look(s)
	if err != nil && !s.joined {
		page, err = s.catchUp(ctx, base)
		return page, nil, err
	}
	if err != nil {
		return nil, nil, err
	}
	s.joined = true
	if page == nil {
		s.query.After = max(s.query.After, head) // there may be seqs without a message
		return nil, moved, nil
	}
	return page, nil, nil
}

// Took moves the subscriber on over a page.
func (s *Subscription) Took(page *Events) {
	s.query.After = max(s.query.After, page.next)
	s.sending.Store(notSending)
}

// catchUp reads a page of what came before the window, which began after base
// when it was looked into.
func (s *Subscription) catchUp(ctx context.Context, base int64) (*Events, error) {
	select {
	case s.tail.catchUps <- struct{}{}:
		defer func() { <-s.tail.catchUps }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	q := s.query
	q.Limit, q.MaxBytes, q.Until = followPage, catchUpBytes, time.Now().Add(catchUpTime)
	page, err := s.tail.Log.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	if page.Next <= q.After {
		page.Next = base // all that there was before the window has been pruned
	}
	return newEvents(s.tail.name, q.After, page), nil
}

// Joined reports whether the subscriber has caught up with the window, so that its
// pages are those of the window and not its own.
func (s *Subscription) Joined() bool { return s.joined }

// Behind reports whether the tail has ended the subscriber because it was too slow.
func (s *Subscription) Behind() bool { return s.behind.Load() }

// Selected returns the text of what the subscriber is to have of a page, in pieces.
func (s *Subscription) Selected(page *Events) iter.Seq[[]byte] { return page.selected(s.query) }
