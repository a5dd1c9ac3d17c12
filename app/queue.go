package app

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Queue is for slow work: it runs a handler for so many requests at a time, lets
// so many others wait for their turn, in the order in which they came, and
// answers the rest at once with 503 and a Retry-After. A handler that panics
// gives its place back like any other. Its fields must be set before it serves
// and not be changed after.
type Queue struct {
	// Handler does the work. Its goroutine is the request's own, so whatever
	// ends a request works as without a Queue.
	Handler http.Handler
	// Running is how many requests Handler has at a time; zero means one.
	Running int
	// Waiting is how many more may wait; zero means none.
	Waiting int
	// Patience is how long a request waits before it is answered 503; zero means
	// as long as its client does.
	Patience time.Duration

	once    sync.Once     // makes what follows
	places  chan struct{} // holds one for each that runs
	drained chan struct{} // closed by Drain
	drain   sync.Once
	waiting atomic.Int64
}

var _ http.Handler = (*Queue)(nil)

func (q *Queue) init() {
	q.once.Do(func() {
		q.places = make(chan struct{}, max(q.Running, 1))
		q.drained = make(chan struct{})
	})
}

// Drain answers every request that waits, and every one that comes from now on,
// with 503. Those that run are not touched.
func (q *Queue) Drain() {
	q.init()
	q.drain.Do(func() { close(q.drained) })
}

// ServeHTTP implements http.Handler.
func (q *Queue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.init()
	if err := q.enter(r.Context()); err != nil {
		writeProblem(w, r, answerTo(err))
		return
	}
	defer func() { <-q.places }()
	q.Handler.ServeHTTP(w, r)
}

// enter takes a place, maybe after waiting for it. An error is the answer.
func (q *Queue) enter(ctx context.Context) error {
	if q.isDrained() {
		return errStopping()
	}
	select {
	case q.places <- struct{}{}:
		return nil
	default:
	}
	defer q.waiting.Add(-1)
	if q.waiting.Add(1) > int64(q.Waiting) {
		return retryLater("Too many requests are running and waiting here; ask again later.")
	}
	var late <-chan time.Time
	if q.Patience > 0 {
		timer := time.NewTimer(q.Patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case q.places <- struct{}{}:
		return nil
	case <-ctx.Done(): // the client has left
		return ctx.Err()
	case <-late:
		return retryLater("Others have taken too long; ask again later.")
	case <-q.drained:
		return errStopping()
	}
}

func (q *Queue) isDrained() bool {
	select {
	case <-q.drained:
		return true
	default:
		return false
	}
}

func errStopping() error { return retryLater("The server is stopping; ask again later.") }
