package app

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"
)

// Pruner is a Log that can let go of what is no longer to be kept, bit by bit.
type Pruner interface {
	// Excess returns what is to go first of what the bounds no longer allow, the
	// zero Cut when that is nothing. It only reads.
	Excess(ctx context.Context, keep Keep, now time.Time) (Cut, error)

	// Prune takes one step of a cut, durable when it returns, and so small that
	// it takes about as long as storing a batch. Errors are as Append's. It must
	// not be called at the same time as Append.
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

// Cut is what is to go. One of the first three is set.
type Cut struct {
	Messages  int64     // messages up to this seq
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
	// retentionEvery is how often it is looked what is to go. What comes in
	// meanwhile may fill the disk, and then nothing can be pruned either.
	retentionEvery = 10 * time.Second
	// retentionShare is the part of the committer's time that pruning takes at
	// most, one over this; in a hurry it is hurryShare.
	retentionShare = 4
	hurryShare     = 2
)

// Retention prunes a Log: at its start and every 10 seconds after. Each step is
// work of the Committer's, so that a message waits for one of them at most; and
// after each it rests, so that a long prune takes a quarter of the committer's
// time, and half of it while the log is over its bound: more may be coming in than
// a quarter can take away.
//
// What is too old is let go only when the clock has been steady for an hour since
// the start, and since it was last set. Until then everything stays, but for what
// is over Keep.Bytes.
//
// Set the fields before Start. A Retention must not be copied.
type Retention struct {
	Log       Pruner
	Committer *Committer // of the same log
	Keep      Keep
	// Clock tells the time. Nil means time.Now.
	Clock func() time.Time
	// Logger gets a line when something was pruned, when that fails, and when
	// space on the disk runs low. The zero Logger is silent.
	Logger zerolog.Logger

	stop    context.CancelFunc
	stopped chan struct{} // closed when run has returned

	// What follows belongs to run.
	clock  steadyClock
	failed string // what it failed with last time, empty when it went well
	low    bool   // space is, and that was said
}

// Start begins to prune, until Close.
func (r *Retention) Start() {
	r.clock.wall = r.Clock
	if r.Clock == nil {
		r.clock.wall = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.stopped = stop, make(chan struct{})
	go r.run(ctx)
}

// Close returns once nothing more is going to be pruned, except for a step that
// the Committer has in hand, which is over when the Committer is closed.
func (r *Retention) Close() {
	r.stop()
	<-r.stopped
}

func (r *Retention) run(ctx context.Context) {
	defer close(r.stopped)
	tick := time.NewTicker(retentionEvery)
	defer tick.Stop()
	for {
		r.report(ctx, r.pass(ctx))
		r.watchSpace()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// pass prunes until nothing is in excess.
func (r *Retention) pass(ctx context.Context) error {
	var sum Pruned
	err := r.pruneAll(ctx, &sum)
	if sum != (Pruned{}) {
		r.Logger.Info().Int("messages", sum.Messages).Int64("through", sum.Through).
			Int("addresses", sum.Addresses).Int64("bytes", sum.Bytes).Msg("pruned")
	}
	return err
}

func (r *Retention) pruneAll(ctx context.Context, sum *Pruned) error {
	keep, now := r.bounds()
	for {
		cut, err := r.Log.Excess(ctx, keep, now)
		if err != nil || cut == (Cut{}) {
			return err
		}
		for done := false; !done; {
			step, took, err := r.step(ctx, cut)
			if err != nil {
				return err
			}
			sum.add(cut, step)
			if err := rest(ctx, (cut.share()-1)*took); err != nil {
				return err
			}
			done = step.Done
		}
	}
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

// step lets the committer take one step, and returns how long that took.
func (r *Retention) step(ctx context.Context, cut Cut) (done Pruned, took time.Duration, err error) {
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

// share is the part of the committer's time that the cut may take: one over this.
func (c Cut) share() time.Duration {
	if c.Hurry {
		return hurryShare
	}
	return retentionShare
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

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// report logs a failure once, and not again each time.
func (r *Retention) report(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, ErrCommitterClosed) {
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

// watchSpace logs when space runs low, and when there is room again.
func (r *Retention) watchSpace() {
	free, total, err := r.Log.Space()
	if err != nil {
		return // some file systems do not say
	}
	limit := max(lowSpace, total/100*lowSpacePercent)
	switch {
	case !r.low && free < limit:
		r.low = true
		r.Logger.Warn().Uint64("free_bytes", free).Uint64("total_bytes", total).
			Msg("space on the store's disk runs low: make room, or keep less (--keep)")
	case r.low && free > limit+limit/10:
		r.low = false
		r.Logger.Info().Uint64("free_bytes", free).Msg("there is space on the store's disk again")
	}
}
