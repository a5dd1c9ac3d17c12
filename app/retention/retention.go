// Package retention prunes a store: it removes messages, and the addresses of
// clients, that are older or take more space than is to be kept.
//
// A step of pruning is work of the Committer and takes about as long as storing a
// batch. After each step there is a rest three times as long.
//
// A bound in bytes holds by back-pressure. While the store is over its bound and
// messages come in, there is no rest, and a step deletes more than was stored since
// the last step. So the file does not grow, and clients wait: about half of the time
// goes into deleting.
//
// The clock is believed only when it has been steady for an hour, because a wrong
// clock would remove everything. The data cannot tell: a year without messages looks
// the same as a clock that is a year ahead.
package retention

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app/commit"
)

// Pruner is a Store that can let go of what is no longer to be kept, bit by bit.
type Pruner interface {
	// Excess returns what is to go first of what the bounds no longer allow, the
	// zero Cut when that is nothing. It only reads.
	Excess(ctx context.Context, keep Keep, now time.Time) (Cut, error)

	// Prune takes one step of a cut, durable when it returns, and so small that
	// it takes about as long as storing a batch. A step in a hurry removes at least
	// what was stored since the last one. Errors are as those of Append. It must not be
	// called at the same time as Append.
	Prune(Cut) (Pruned, error)

	// Space returns how much there is on the disk, in bytes.
	Space() (free, total uint64, err error)
}

// Keep says how much is kept. Zero means no bound; whichever is met first holds.
type Keep struct {
	Age       time.Duration // how long messages are kept after they were received
	Bytes     int64         // how large the store may be
	Addresses time.Duration // how long the addresses of clients are kept
}

// Cut is what is to go. One of Messages, Addresses and Space is set.
type Cut struct {
	Messages  int64     // messages up to this seq
	Bytes     int64     // stop after about this many bytes of messages; zero means all
	Addresses int64     // the addresses of those
	Space     int64     // so many bytes of the store that hold nothing
	Now       time.Time // a message that was received later was received by a wrong clock
	Hurry     bool      // the store is over its bound, and may be growing
}

// Pruned is what has gone in one step.
type Pruned struct {
	Messages  int
	Addresses int
	Bytes     int64 // given back to the file system
	Through   int64 // how far the step came, for messages and addresses
	Done      bool  // nothing is left of the cut
}

const (
	// retentionEvery is how often it is looked what is to go, and how much space
	// there is on the disk.
	retentionEvery = 10 * time.Second
	// growthShare is the part of Keep.Bytes that may be stored before it is looked
	// again: one over this.
	growthShare = 128
	// retentionShare is the part of the committer's time that pruning takes at
	// most, one over this. In a hurry it is hurryShare while nothing is stored; else
	// steps and batches take turns.
	retentionShare = 4
	hurryShare     = 2
)

// Retention prunes a Store: at its start, every 10 seconds after, and whenever a 128th
// of Keep.Bytes was stored since it looked last. Each step is work of the
// Committer's, so that a batch waits for one of them at most; and after each it
// rests, so that a long prune takes a quarter of the committer's time. While the log
// is over its bound and messages come in it does not rest: steps and batches take
// turns then, and clients wait for both.
//
// What is too old is let go only when the clock has been steady for an hour since
// the start, and since it was last set. Until then everything stays, but for what
// is over Keep.Bytes.
//
// Set the fields before Start, and let the Committer tell Stored. A Retention must
// not be copied.
type Retention struct {
	Log       Pruner
	Committer *commit.Committer // of the same log
	Keep      Keep
	// Clock tells the time. Nil means time.Now.
	Clock func() time.Time
	// Logger gets a line when something was pruned, when that fails, and when
	// space on the disk runs low. The zero Logger is silent.
	Logger zerolog.Logger

	stop    context.CancelFunc
	running sync.WaitGroup
	grown   chan struct{} // holds one: it is time to look again
	stored  atomic.Int64  // bytes, since it was looked last

	// What follows belongs to run.
	clock  steadyClock
	failed string    // what it failed with last time, empty when it went well
	sum    Pruned    // since that was logged
	logged time.Time // when it was
}

// Start begins to prune, until Close.
func (r *Retention) Start() {
	r.clock.wall = r.Clock
	if r.Clock == nil {
		r.clock.wall = time.Now
	}
	r.grown = make(chan struct{}, 1)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.running.Go(func() { r.run(ctx) })
	r.running.Go(func() { r.watchSpace(ctx) })
}

// Close returns once nothing more is going to be pruned, except for a step that
// the Committer has in hand, which is over when the Committer is closed.
func (r *Retention) Close() {
	r.stop()
	r.running.Wait()
}

// Stored reports that a batch was stored, and about how many bytes it has. It never
// waits, because insertion waits for it.
func (r *Retention) Stored(bytes int) {
	if r.stored.Add(int64(bytes)); r.due() {
		select {
		case r.grown <- struct{}{}:
		default: // it is awake and will see
		}
	}
}

// due reports whether so much was stored that it is time to look again.
func (r *Retention) due() bool {
	return r.Keep.Bytes > 0 && r.stored.Load() >= r.Keep.Bytes/growthShare
}

func (r *Retention) run(ctx context.Context) {
	tick := time.NewTicker(retentionEvery)
	defer tick.Stop()
	defer r.logPruned()
	r.logged = time.Now()
	for ticked := true; ; {
		r.report(ctx, r.prune(ctx))
		if ticked {
			r.logPruned()
		}
		select {
		case <-tick.C:
			ticked = true
		case <-r.grown:
			ticked = false
		case <-ctx.Done():
			return
		}
	}
}

// prune prunes until nothing is in excess.
func (r *Retention) prune(ctx context.Context) error {
	for {
		select {
		case <-r.grown: // it is looked now
		default:
		}
		r.stored.Store(0)
		keep, now := r.bounds()
		cut, err := r.Log.Excess(ctx, keep, now)
		if err != nil || cut == (Cut{}) {
			return err
		}
		for done := false; !done; {
			if done, err = r.step(ctx, cut); err != nil {
				return err
			}
			if time.Since(r.logged) >= retentionEvery {
				r.logPruned()
			}
			done = done || r.due()
		}
	}
}

// step takes a step of a cut, and rests. It returns whether nothing is left of it.
func (r *Retention) step(ctx context.Context, cut Cut) (done bool, err error) {
	before := r.stored.Load()
	step, took, err := r.work(ctx, cut)
	if err != nil {
		return false, err
	}
	r.sum.add(cut, step)
	switch {
	case !cut.Hurry:
		err = r.rest(ctx, (retentionShare-1)*took)
	case r.stored.Load() == before:
		err = r.rest(ctx, (hurryShare-1)*took)
	}
	return step.Done, err
}

// rest waits, but no longer than until it is time to look again.
func (r *Retention) rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.grown:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// logPruned says what was pruned since it was called last.
func (r *Retention) logPruned() {
	if r.sum != (Pruned{}) {
		r.Logger.Info().Int("messages", r.sum.Messages).Int64("through", r.sum.Through).
			Int("addresses", r.sum.Addresses).Int64("bytes", r.sum.Bytes).Msg("pruned")
	}
	r.sum, r.logged = Pruned{}, time.Now()
}

// bounds returns what holds now, and the time.
func (r *Retention) bounds() (Keep, time.Time) {
	keep := r.Keep
	now, steady, set := r.clock.look()
	if set != 0 {
		r.Logger.Warn().Time("now", now).Dur("by_ms", set).Dur("wait_ms", steadyFor).
			Msg("the clock was set, nothing is too old until it has been steady")
	}
	if steady < steadyFor {
		keep.Age, keep.Addresses = 0, 0
	}
	return keep, now
}

// work lets the committer take one step, and returns how long that took.
func (r *Retention) work(ctx context.Context, cut Cut) (done Pruned, took time.Duration, err error) {
	type result struct {
		done Pruned
		took time.Duration
	}
	results := make(chan result, 1) // nobody takes it when ctx ends first
	err = r.Committer.Do(ctx, func() error {
		begin := time.Now()
		done, err := r.Log.Prune(cut)
		results <- result{done, time.Since(begin)}
		return err
	})
	if err != nil {
		return Pruned{}, 0, err
	}
	got := <-results
	return got.done, got.took, nil
}

// add adds a step of a cut.
func (p *Pruned) add(cut Cut, step Pruned) {
	p.Messages += step.Messages
	p.Addresses += step.Addresses
	p.Bytes += step.Bytes
	if cut.Messages != 0 {
		p.Through = step.Through
	}
}

// report logs a failure once, and not again each time.
func (r *Retention) report(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, commit.ErrClosed) {
		return // it is over, whatever err says
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != r.failed {
		r.Logger.Error().Err(err).Dur("every_ms", retentionEvery).Msg("pruning failed, trying again")
	}
	r.failed = text
}

// Space on the disk is low below the larger of these. There is room again a
// tenth above, so that it is not said at every change.
const (
	lowSpace        = 1 << 30
	lowSpacePercent = 5
)

// watchSpace looks at the space on the disk for itself, however long a prune takes.
func (r *Retention) watchSpace(ctx context.Context) {
	tick := time.NewTicker(retentionEvery)
	defer tick.Stop()
	for low := false; ; {
		low = r.lookForSpace(low)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lookForSpace logs when space runs low, and when there is room again. It takes and
// returns whether space is low.
func (r *Retention) lookForSpace(wasLow bool) (low bool) {
	free, total, err := r.Log.Space()
	if err != nil {
		return wasLow // some file systems do not say
	}
	limit := max(lowSpace, total/100*lowSpacePercent)
	switch {
	case !wasLow && free < limit:
		r.Logger.Warn().Uint64("free_bytes", free).Uint64("total_bytes", total).
			Msg("space on the store's disk runs low: make room, or keep less (--keep)")
		return true
	case wasLow && free > limit+limit/10:
		r.Logger.Info().Uint64("free_bytes", free).Msg("there is space on the store's disk again")
		return false
	}
	return wasLow
}
