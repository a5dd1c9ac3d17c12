// Package admission bounds what requests take from the server: places to work
// in (Gate), memory (Budget) and the time for a body (Paced).
//
// Two rules hold for every bound. A place is held for work that depends on this
// server alone, never while a client is waited for: one that sends or reads
// slowly must not stop others. And a request that holds memory never waits for
// more of it: it is refused, so that no two requests wait for each other.
package admission

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Refused is the error of a request that is not admitted. A client may try
// again later.
type Refused struct {
	Reason string // a sentence for the client
}

func (e *Refused) Error() string { return "refused: " + e.Reason }

// Errors of Gate.Enter.
var (
	errFull     = &Refused{"Too many requests are running and waiting here; ask again later."}
	errLate     = &Refused{"Others have taken too long; ask again later."}
	errStopping = &Refused{"The server is stopping; ask again later."}
)

// Gate admits a limited number of requests at a time to some work, and lets a
// limited number of others wait for their turn. Its fields must be set before
// the first Enter and not be changed after. It must not be copied.
type Gate struct {
	// Places is how many requests work at a time; zero means one.
	Places int
	// Waiting is how many more may wait for a place; zero means none.
	Waiting int
	// Patience is how long one waits before it is refused; zero means until its
	// context ends.
	Patience time.Duration

	once    sync.Once     // makes the two channels
	places  chan struct{} // holds one for each request that works
	drained chan struct{} // closed by Drain
	drain   sync.Once
	waiting atomic.Int64
}

func (g *Gate) init() {
	g.once.Do(func() {
		g.places = make(chan struct{}, max(g.Places, 1))
		g.drained = make(chan struct{})
	})
}

// Enter takes a place. leave gives it back; it must be called once. When all
// places are taken Enter waits, first come first served. The error is ctx's when
// that ends first, and a *Refused when too many wait, Patience is over, or Drain
// was called. Nothing is asked of ctx unless Enter has to wait.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	g.init()
	select {
	case <-g.drained:
		return nil, errStopping
	default:
	}
	select {
	case g.places <- struct{}{}:
		return g.leave, nil
	default:
	}
	if err := g.wait(ctx); err != nil {
		return nil, err
	}
	return g.leave, nil
}

func (g *Gate) leave() { <-g.places }

// wait waits for a place and takes it.
func (g *Gate) wait(ctx context.Context) error {
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > int64(g.Waiting) {
		return errFull
	}
	var late <-chan time.Time
	if g.Patience > 0 {
		timer := time.NewTimer(g.Patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case g.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		return errLate
	case <-g.drained:
		return errStopping
	}
}

// Drain refuses every request that waits and every later one. Those that work
// are not touched.
func (g *Gate) Drain() {
	g.init()
	g.drain.Do(func() { close(g.drained) })
}
