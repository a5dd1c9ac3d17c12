package retention_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// cutLog is a log that is told what is in excess, and notes in which order it is
// asked for what.
type cutLog struct {
	apptest.FakeStore
	pruning func(retention.Cut) error // what Prune does, nil for nothing

	mu    sync.Mutex      // guards what follows
	cuts  []retention.Cut // what is in excess; each takes two steps
	half  bool
	order []string         // "append", "prune"
	asked []retention.Keep // by each Excess
	free  uint64
}

var _ retention.Pruner = (*cutLog)(nil)

func (l *cutLog) Append(batch []app.Message) ([]app.Receipt, error) {
	l.note("append")
	return l.FakeStore.Append(batch)
}

func (l *cutLog) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = append(l.order, what)
}

func (l *cutLog) noted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.order
}

func (l *cutLog) Excess(_ context.Context, keep retention.Keep, _ time.Time) (retention.Cut, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, keep)
	if len(l.cuts) == 0 {
		return retention.Cut{}, nil
	}
	return l.cuts[0], nil
}

func (l *cutLog) Prune(cut retention.Cut) (retention.Pruned, error) {
	l.Enter(1)
	defer l.Enter(-1)
	l.note("prune")
	if l.pruning != nil {
		if err := l.pruning(cut); err != nil {
			return retention.Pruned{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.half = !l.half; l.half {
		return retention.Pruned{Messages: 1, Through: cut.Messages - 1}, nil
	}
	l.cuts = l.cuts[1:]
	return retention.Pruned{Messages: 1, Through: cut.Messages, Done: true}, nil
}

func (l *cutLog) Space() (free, total uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.free, 100 << 30, nil
}

// set changes what the log says.
func (l *cutLog) set(free uint64, cuts ...retention.Cut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free, l.cuts = free, cuts
}

// retaining runs a test in a bubble of fake time, with a retention that is not
// started yet. Its clock is the bubble's plus skew.
func retaining(t *testing.T, test func(t *testing.T, r *retention.Retention, log *cutLog, skew *atomic.Int64, said *apptest.Sayings)) {
	synctest.Test(t, func(t *testing.T) {
		log := &cutLog{free: 50 << 30}
		var skew atomic.Int64
		var said apptest.Sayings
		r := &retention.Retention{Log: log, Committer: &commit.Committer{Log: log}, Logger: zerolog.New(&said),
			Clock: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }}
		test(t, r, log, &skew, &said)
		r.Close()
		require.NoError(t, r.Committer.Close(t.Context()))
	})
}

// lasting lets time pass and everything come to rest.
func lasting(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// It prunes at the start and every 10 seconds; one line says what.
func TestRetention(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, said *apptest.Sayings) {
		log.set(50<<30, retention.Cut{Messages: 10}, retention.Cut{Messages: 20})
		r.Start()
		synctest.Wait()
		assert.Len(t, log.noted(), 4)
		assert.JSONEq(t, `{"level":"info","messages":4,"through":20,"addresses":0,"bytes":0,"message":"pruned"}`, said.Take())
		lasting(9 * time.Second)
		log.set(50<<30, retention.Cut{Messages: 30})
		synctest.Wait()
		assert.Len(t, log.noted(), 4)
		lasting(time.Second)
		assert.Len(t, log.noted(), 6)
		assert.Contains(t, said.Take(), `"through":30`)
		lasting(time.Hour)
		assert.Empty(t, said.Take(), "nothing is said of nothing")
	})
}

// Nothing is too old before the clock has been steady for an hour: not at the
// start, and not when it was set, to and fro.
func TestRetentionDistrustsTheClock(t *testing.T) {
	keep := retention.Keep{Age: 90 * 24 * time.Hour, Addresses: 30 * 24 * time.Hour, Bytes: 1 << 30}
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, skew *atomic.Int64, said *apptest.Sayings) {
		r.Keep = keep
		believed := func() bool {
			log.mu.Lock()
			defer log.mu.Unlock()
			last := log.asked[len(log.asked)-1]
			assert.Equal(t, keep.Bytes, last.Bytes, "that has no need of a clock")
			assert.Equal(t, last.Age == 0, last.Addresses == 0)
			return last == keep
		}
		r.Start()
		lasting(59 * time.Minute)
		assert.False(t, believed())
		lasting(time.Minute)
		assert.True(t, believed())
		assert.Empty(t, said.Take())

		for _, by := range []time.Duration{73 * 365 * 24 * time.Hour, -73 * 365 * 24 * time.Hour, time.Minute, -time.Hour} {
			skew.Add(int64(by))
			lasting(time.Minute)
			assert.False(t, believed(), by)
			assert.Contains(t, said.Take(), fmt.Sprintf(`"by_ms":%d`, by.Milliseconds()))
			lasting(59 * time.Minute)
			assert.False(t, believed(), by)
			lasting(time.Minute)
			assert.True(t, believed(), by)
		}
		for range 100 { // a clock that is slow is not one that was set
			skew.Add(int64(50 * time.Second))
			lasting(time.Minute)
			assert.True(t, believed())
		}
		assert.Empty(t, said.Take())
	})
}

// A message waits for one step at most, however much there is to prune; and steps
// take a quarter of the time.
func TestRetentionTakesTurns(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, _ *apptest.Sayings) {
		var cuts []retention.Cut
		for n := range 50 {
			cuts = append(cuts, retention.Cut{Messages: int64(n + 1)})
		}
		log.set(50<<30, cuts...)
		const step = 5 * time.Millisecond
		log.pruning = func(retention.Cut) error { time.Sleep(step); return nil }
		log.Appending = func([]app.Message) error { time.Sleep(step); return nil }
		r.Start()
		var wg sync.WaitGroup
		for client := range 20 {
			wg.Go(func() {
				for n := range 25 {
					time.Sleep(time.Duration(client) * 3 * time.Millisecond)
					before := len(log.noted())
					_, err := r.Committer.Commit(t.Context(), apptest.Numbered(client*1000+n))
					assert.NoError(t, err)
					since := strings.Join(log.noted()[before:], " ")
					// One may be under way already, and is noted before.
					assert.LessOrEqual(t, strings.Count(since, "prune"), 1, since)
				}
			})
		}
		wg.Wait()
		lasting(10 * time.Second)
		assert.Equal(t, 100, strings.Count(strings.Join(log.noted(), " "), "prune"))
		assert.Equal(t, int64(500), r.Committer.Stats().Messages)
	})
}

// orderedStore is a store that notes in which order it is asked for what, and
// after which steps somebody waits.
type orderedStore struct {
	*sqlite.Store
	committer *commit.Committer
	order     cutLog
	steps     atomic.Int64
	done      chan struct{} // closed after 10 steps
}

func (s *orderedStore) Append(batch []app.Message) ([]app.Receipt, error) {
	s.order.note("append")
	return s.Store.Append(batch)
}

func (s *orderedStore) Prune(cut retention.Cut) (retention.Pruned, error) {
	s.order.note("prune")
	done, err := s.Store.Prune(cut)
	if s.committer.Stats().Queued > 0 {
		s.order.note("waited for")
	}
	if s.steps.Add(1) == 10 {
		close(s.done)
	}
	return done, err
}

// The same with a real store, of which nothing is to be kept, while clients post.
func TestRetentionOfAStore(t *testing.T) {
	log, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	const stored, clients = 2_000, 4
	for n := 0; n < stored; n += 1000 {
		batch := make([]app.Message, 1000)
		for i := range batch {
			batch[i] = apptest.Numbered(n + i)
		}
		_, err := log.Append(batch)
		require.NoError(t, err)
	}
	store := &orderedStore{Store: log, done: make(chan struct{})}
	c := &commit.Committer{Log: store}
	store.committer = c
	r := &retention.Retention{Log: store, Committer: c, Keep: retention.Keep{Bytes: 1}}
	r.Start()
	var wg sync.WaitGroup
	var posted atomic.Int64
	for range clients {
		wg.Go(func() {
			for pruning := true; pruning; {
				_, err := c.Commit(t.Context(), apptest.Numbered(stored+int(posted.Add(1))))
				assert.NoError(t, err)
				select {
				case <-store.done:
					pruning = false
				default:
				}
			}
		})
	}
	wg.Wait()
	r.Close()
	require.NoError(t, c.Close(t.Context()))
	order := strings.Join(store.order.noted(), ", ")
	assert.Contains(t, order, "prune, waited for, append")
	assert.NotContains(t, order, "waited for, prune", "who waits for one does not wait for the next")
	page, err := log.Read(t.Context(), app.Query{Last: true, Limit: 1})
	require.NoError(t, err)
	assert.Equal(t, stored+posted.Load(), page.Next)
	assert.Greater(t, page.Oldest, int64(1))
}

// Steps rest between each other, less so where the bound is not held.
func TestRetentionRests(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, _ *apptest.Sayings) {
		var starts []time.Duration
		begin := time.Now()
		log.set(50<<30, retention.Cut{Messages: 10}, retention.Cut{Messages: 20})
		log.pruning = func(retention.Cut) error {
			starts = append(starts, time.Since(begin))
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		r.Start()
		lasting(time.Second)
		assert.Equal(t, []time.Duration{0, 40 * time.Millisecond, 80 * time.Millisecond, 120 * time.Millisecond}, starts)

		starts, begin = nil, begin.Add(10*time.Second)
		log.set(50<<30, retention.Cut{Messages: 30, Hurry: true}, retention.Cut{Messages: 40})
		lasting(10 * time.Second)
		assert.Equal(t, []time.Duration{0, 20 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond}, starts)
	})
}

// A failure is said once, as long as it is the same one, and the next time is
// another try; a log that has failed takes no more messages.
func TestRetentionFails(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, said *apptest.Sayings) {
		log.set(50<<30, retention.Cut{Messages: 10})
		var fate atomic.Pointer[error]
		fail := func(err error) { fate.Store(&err) }
		log.pruning = func(retention.Cut) error { return *fate.Load() }
		fail(fmt.Errorf("no room: %w", app.ErrDiskFull))
		r.Start()
		lasting(100 * time.Second)
		assert.Len(t, log.noted(), 11)
		text := said.Take()
		assert.Equal(t, 1, strings.Count(text, "pruning failed"), text)
		assert.Contains(t, text, "no room")
		_, err := r.Committer.Commit(t.Context(), apptest.Numbered(1))
		require.NoError(t, err)

		fail(nil)
		lasting(time.Minute)
		assert.Contains(t, said.Take(), `"through":10`)
		fail(app.ErrStoreFailed)
		log.set(50<<30, retention.Cut{Messages: 20})
		lasting(10 * time.Minute)
		text = said.Take()
		assert.Equal(t, 1, strings.Count(text, "pruning failed"), text)
		_, err = r.Committer.Commit(t.Context(), apptest.Numbered(2))
		require.ErrorIs(t, err, app.ErrStoreFailed)
		assert.ErrorIs(t, r.Committer.Stats().Err, app.ErrStoreFailed)
		assert.Equal(t, "prune", log.noted()[len(log.noted())-1], "and it is not asked again")
	})
}

// It looks again when a 128th of the bound in bytes was stored, and need not wait for
// its time.
func TestRetentionLooksAtGrowth(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, _ *apptest.Sayings) {
		r.Keep.Bytes = 128 * 2000
		r.Committer.Stored = r.Stored
		looks := func() int {
			log.mu.Lock()
			defer log.mu.Unlock()
			return len(log.asked)
		}
		r.Start()
		synctest.Wait()
		assert.Equal(t, 1, looks())
		commit := func(n int) {
			m := apptest.Numbered(n)
			m.Data = bytes.Repeat([]byte("x"), 1000)
			_, err := r.Committer.Commit(t.Context(), m)
			require.NoError(t, err)
			synctest.Wait()
		}
		commit(1)
		assert.Equal(t, 1, looks())
		commit(2)
		assert.Equal(t, 2, looks())
		commit(3)
		assert.Equal(t, 2, looks())
		log.set(50<<30, retention.Cut{Messages: 10})
		log.pruning = func(retention.Cut) error { r.Stored(5000); return nil }
		commit(4)
		assert.Equal(t, 5, looks(), "and after each step that takes so long, with one to see that nothing is left")
	})
}

// While messages come in, steps that are in a hurry do not rest.
func TestRetentionHurries(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, _ *apptest.Sayings) {
		r.Keep.Bytes = 1 << 40
		var starts []time.Duration
		begin := time.Now()
		log.set(50<<30, retention.Cut{Messages: 10, Hurry: true}, retention.Cut{Messages: 20})
		log.pruning = func(retention.Cut) error {
			starts = append(starts, time.Since(begin))
			time.Sleep(10 * time.Millisecond)
			r.Stored(1)
			return nil
		}
		r.Start()
		lasting(time.Second)
		assert.Equal(t, []time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond}, starts)
	})
}

// busyLog prunes without end.
type busyLog struct{ *cutLog }

func (l busyLog) Excess(context.Context, retention.Keep, time.Time) (retention.Cut, error) {
	return retention.Cut{Messages: 10}, nil
}

func (l busyLog) Prune(cut retention.Cut) (retention.Pruned, error) {
	time.Sleep(time.Second)
	return retention.Pruned{Messages: 1, Through: cut.Messages, Done: true}, nil
}

// A prune that does not end keeps nothing from being said: neither what was pruned
// nor that space runs low.
func TestRetentionSpeaksWhilePruning(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, said *apptest.Sayings) {
		r.Log = busyLog{log}
		r.Start()
		lasting(15 * time.Second)
		text := said.Take()
		assert.Equal(t, 1, strings.Count(text, `"message":"pruned"`), text)
		assert.NotContains(t, text, "space")
		log.set(1 << 20)
		lasting(30 * time.Second)
		text = said.Take()
		assert.Equal(t, 1, strings.Count(text, "runs low"), text)
		assert.Contains(t, text, `"message":"pruned"`)
	})
}

// With a bound in bytes the store keeps to it under clients that send batches as fast
// as they can: they wait for what has to go first.
func TestRetentionHoldsTheBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	log, err := sqlite.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	const keep, clients, batches, size = 16 << 20, 2, 80, 300
	c := &commit.Committer{Log: log}
	r := &retention.Retention{Log: log, Committer: c, Keep: retention.Keep{Bytes: keep}}
	c.Stored = r.Stored
	r.Start()
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for n := range batches {
				batch := make([]app.Message, size)
				for i := range batch {
					batch[i] = apptest.Numbered((client*batches+n)*size + i)
					batch[i].Data = fmt.Appendf(nil, `"%01000d"`, i)
				}
				_, err := c.CommitAll(t.Context(), batch)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	r.Close()
	require.NoError(t, c.Close(t.Context()))
	require.NoError(t, log.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.LessOrEqual(t, info.Size(), int64(keep*11/10))
	assert.Greater(t, info.Size(), int64(keep*9/10))
}

// Space that runs low is said once, and when there is room again.
func TestRetentionWatchesSpace(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, said *apptest.Sayings) {
		r.Start()
		for _, step := range []struct {
			free uint64
			want string
		}{
			{6 << 30, ""}, {4 << 30, "runs low"}, {3 << 30, ""}, {5<<30 + 1<<20, ""}, {4 << 30, ""},
			{6 << 30, "there is space"}, {6 << 30, ""}, {0, "runs low"},
		} {
			log.set(step.free)
			lasting(time.Minute)
			if step.want == "" {
				assert.Empty(t, said.Take(), step.free)
				continue
			}
			assert.Contains(t, said.Take(), step.want, step.free)
		}
	})
}

// A stop waits for the one step that is under way, and there is no other.
func TestRetentionStops(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, _ *apptest.Sayings) {
		gate := make(chan struct{})
		log.pruning = func(retention.Cut) error { <-gate; return nil }
		log.set(50<<30, retention.Cut{Messages: 10}, retention.Cut{Messages: 20})
		r.Start()
		synctest.Wait()
		r.Close() // which does not wait for a disk that hangs
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, r.Committer.Close(ctx), context.DeadlineExceeded, "but this does, as for a batch")
		close(gate)
		require.NoError(t, r.Committer.Close(t.Context()))
		assert.Equal(t, []string{"prune"}, log.noted())
		assert.ErrorIs(t, r.Committer.Do(t.Context(), func() error { return nil }), commit.ErrClosed)
	})
}

// slowLog takes its time to say that nothing is in excess, also when nobody wants
// to know any more.
type slowLog struct {
	*cutLog
	said atomic.Bool
}

func (l *slowLog) Excess(ctx context.Context, _ retention.Keep, _ time.Time) (retention.Cut, error) {
	<-ctx.Done()
	time.Sleep(time.Second)
	l.said.Store(true)
	return retention.Cut{}, ctx.Err()
}

// A stop waits for whoever reads the store: it is closed next.
func TestRetentionStopsReading(t *testing.T) {
	retaining(t, func(t *testing.T, r *retention.Retention, log *cutLog, _ *atomic.Int64, said *apptest.Sayings) {
		slow := &slowLog{cutLog: log}
		r.Log = slow
		r.Start()
		synctest.Wait()
		r.Close()
		assert.True(t, slow.said.Load())
		assert.Empty(t, said.Take(), "it is no failure")
	})
}
