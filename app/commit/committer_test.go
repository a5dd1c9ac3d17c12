package commit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/commit"
)

// answer is what one Commit returned.
type answer struct {
	receipt app.Receipt
	err     error
}

// commitEach commits messages first to last at the same time and returns where
// their answers will be once each has returned.
func commitEach(t *testing.T, c *commit.Committer, first, last int) func() []answer {
	t.Helper()
	answers := make([]answer, last-first+1)
	var wg sync.WaitGroup
	for n := first; n <= last; n++ {
		wg.Go(func() {
			a := &answers[n-first]
			a.receipt, a.err = c.Commit(t.Context(), apptest.Numbered(n))
		})
	}
	return func() []answer { wg.Wait(); return answers }
}

// gated returns a log whose Append waits for one value from the gate a batch.
func gated() (*apptest.FakeStore, chan error) {
	gate := make(chan error)
	return &apptest.FakeStore{Appending: func([]app.Message) error { return <-gate }}, gate
}

func TestCommitterZeroValue(t *testing.T) {
	c := commit.Committer{Log: &apptest.FakeStore{}}
	for n := 1; n <= 3; n++ {
		receipt, err := c.Commit(t.Context(), apptest.Numbered(n))
		require.NoError(t, err)
		assert.Equal(t, app.Receipt{Seq: int64(n), ID: apptest.Numbered(n).ID}, receipt)
	}
	receipt, err := c.Commit(t.Context(), apptest.Numbered(2))
	require.NoError(t, err)
	assert.Equal(t, app.Receipt{Seq: 2, ID: apptest.Numbered(2).ID, Duplicate: true}, receipt)
	assert.Equal(t, commit.Stats{Commits: 4, Messages: 4}, c.Stats())
	require.NoError(t, c.Close(t.Context()))
}

// A batch forms while the one before is stored, however many come, up to
// MaxBatch; the first one waits for nobody.
func TestCommitterGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, gate := gated()
		c := commit.Committer{Log: log, MaxBatch: 40}
		first := commitEach(t, &c, 1, 1)
		synctest.Wait()
		rest := commitEach(t, &c, 2, 101)
		synctest.Wait()
		assert.Equal(t, commit.Stats{Queued: 101}, c.Stats())

		for range 4 {
			gate <- nil
		}
		for _, a := range append(first(), rest()...) {
			assert.NoError(t, a.err)
		}
		synctest.Wait()
		assert.Equal(t, []int{1, 40, 40, 20}, log.Batches)
		assert.Equal(t, commit.Stats{Commits: 4, Messages: 101}, c.Stats())
	})
}

func TestCommitterBounds(t *testing.T) {
	large := apptest.Numbered(9)
	large.Data = make([]byte, 10_000)
	tests := []struct {
		name               string
		messages, maxBytes int
		next               app.Message
	}{
		{"count", 3, 0, apptest.Numbered(4)},
		{"bytes", 0, 10_000, large},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, gate := gated()
				c := commit.Committer{Log: log, MaxMessages: tt.messages, MaxBytes: tt.maxBytes}
				admitted := commitEach(t, &c, 1, 3)
				synctest.Wait()

				// Those being stored count too: they are in memory.
				_, err := c.Commit(t.Context(), tt.next)
				assert.ErrorIs(t, err, commit.ErrQueueFull)
				assert.Equal(t, commit.Stats{Queued: 3, Refused: 1}, c.Stats())

				close(gate)
				admitted()
				synctest.Wait()
				_, err = c.Commit(t.Context(), apptest.Numbered(4))
				assert.NoError(t, err, "there is room again")
				assert.Equal(t, 4, len(log.Seqs))
				assert.Zero(t, c.Stats().Queued)
			})
		})
	}
}

// Whatever Append does, everybody in the batch gets an answer; whether there
// is a next batch depends on what it did.
func TestCommitterFaults(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		fault  func() error
		want   error
		failed bool
	}{
		{"error", func() error { return broken }, broken, false},
		{"disk full", func() error { return app.ErrDiskFull }, app.ErrDiskFull, false},
		{"failed", func() error { return fmt.Errorf("sync: %w", app.ErrStoreFailed) }, app.ErrStoreFailed, true},
		{"panic", func() error { panic("at the disk") }, app.ErrStoreFailed, true},
		{"nil panic", func() error { panic(nil) }, app.ErrStoreFailed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan func() error)
				log := &apptest.FakeStore{Appending: func([]app.Message) error { return (<-gate)() }}
				var logged bytes.Buffer
				c := commit.Committer{Log: log, MaxBatch: 2, Logger: zerolog.New(&logged)}
				plug := commitEach(t, &c, 1, 1) // so that the next two are one batch
				synctest.Wait()
				batch := commitEach(t, &c, 2, 3)
				synctest.Wait()
				queued := commitEach(t, &c, 4, 6)
				synctest.Wait()

				gate <- func() error { return nil }
				assert.NoError(t, plug()[0].err)
				gate <- tt.fault
				for _, a := range batch() {
					assert.ErrorIs(t, a.err, tt.want)
					assert.Zero(t, a.receipt)
				}
				if !tt.failed {
					gate <- func() error { return nil }
					gate <- func() error { return nil }
				}
				for _, a := range queued() {
					assert.Equal(t, tt.failed, errors.Is(a.err, app.ErrStoreFailed), a.err)
				}
				synctest.Wait()

				stats := c.Stats()
				assert.Zero(t, stats.Queued)
				assert.Equal(t, tt.failed, stats.Err != nil)
				assert.Equal(t, tt.failed, logged.Len() > 0)
				if tt.failed {
					_, err := c.Commit(t.Context(), apptest.Numbered(7))
					assert.Equal(t, stats.Err, err, "at once: nobody opens the gate")
					assert.Len(t, log.Seqs, 1)
				}
				assert.NoError(t, c.Close(t.Context()))
			})
		})
	}
}

// miscounting returns a receipt too few or too many.
type miscounting struct {
	apptest.FakeStore
	extra int
}

func (l *miscounting) Append(batch []app.Message) ([]app.Receipt, error) {
	return make([]app.Receipt, len(batch)+l.extra), nil
}

func TestCommitterWrongReceipts(t *testing.T) {
	for _, extra := range []int{-1, 1} {
		c := commit.Committer{Log: &miscounting{extra: extra}}
		_, err := c.Commit(t.Context(), apptest.Numbered(1))
		assert.ErrorIs(t, err, app.ErrStoreFailed)
		assert.ErrorIs(t, c.Stats().Err, app.ErrStoreFailed)
	}
}

func TestCommitterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, gate := gated()
		c := commit.Committer{Log: log, MaxBatch: 2}
		first := commitEach(t, &c, 1, 1)
		synctest.Wait()
		busy := commitEach(t, &c, 2, 5)
		synctest.Wait()

		closed := make(chan error, 2)
		for range 2 {
			go func() { closed <- c.Close(t.Context()) }()
		}
		synctest.Wait()
		_, err := c.Commit(t.Context(), apptest.Numbered(6))
		assert.ErrorIs(t, err, commit.ErrClosed)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		assert.ErrorIs(t, c.Close(ctx), context.DeadlineExceeded, "the log is stuck")
		assert.Equal(t, time.Minute, time.Since(start))
		assert.Empty(t, closed)

		gate <- nil
		gate <- errors.New("one batch fails while it closes")
		gate <- nil
		failed := 0
		for _, a := range append(first(), busy()...) {
			if a.err != nil {
				failed++
			}
		}
		assert.Equal(t, 2, failed)
		assert.NoError(t, <-closed)
		assert.NoError(t, <-closed)
		assert.NoError(t, c.Close(t.Context()), "again")
		assert.Len(t, log.Seqs, 3)
	})
}

func TestCommitterCloseUnused(t *testing.T) {
	c := commit.Committer{Log: &apptest.FakeStore{}}
	require.NoError(t, c.Close(t.Context()))
	_, err := c.Commit(t.Context(), apptest.Numbered(1))
	assert.ErrorIs(t, err, commit.ErrClosed)
	assert.Equal(t, commit.Stats{Refused: 1}, c.Stats())
}

// Who stops waiting gets his answer from a retry: the message is stored.
func TestCommitterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, gate := gated()
		c := commit.Committer{Log: log}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Commit(ctx, apptest.Numbered(1))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 1, c.Stats().Queued)

		close(gate)
		receipt, err := c.Commit(t.Context(), apptest.Numbered(1))
		require.NoError(t, err)
		assert.Equal(t, app.Receipt{Seq: 1, ID: apptest.Numbered(1).ID, Duplicate: true}, receipt)
		_, err = c.Commit(ctx, apptest.Numbered(2))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, c.Close(t.Context()))
		assert.Len(t, log.Seqs, 1, "what was given up before it was admitted is not stored")
	})
}

// Many writers, small limits, a log that fails now and then, some who give up,
// and a Close in the middle: who is told of success finds his message stored
// under the seq he was told, and everybody is told something.
func TestCommitterManyWriters(t *testing.T) {
	const writers, each = 64, 100
	broken := errors.New("broken")
	log := &apptest.FakeStore{Appending: func([]app.Message) error {
		if rand.IntN(10) == 0 {
			return broken
		}
		return nil
	}}
	c := commit.Committer{Log: log, MaxMessages: 50, MaxBatch: 7}
	var answers [writers][each]answer
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				answers[w][i] = commitOrGiveUp(t, &c, w*each+i)
				if w == 0 && i == each/2 {
					assert.NoError(t, c.Close(t.Context()))
				}
			}
		})
	}
	wg.Wait()

	acknowledged, refused := 0, int64(0)
	for n := range writers * each {
		a := answers[n/each][n%each]
		switch {
		case a.err == nil:
			acknowledged++
			require.Equal(t, log.Seqs[apptest.Numbered(n).ID], a.receipt.Seq)
			require.Equal(t, apptest.Numbered(n).ID, a.receipt.ID)
		case errors.Is(a.err, commit.ErrQueueFull), errors.Is(a.err, commit.ErrClosed):
			refused++
			require.Zero(t, log.Seqs[apptest.Numbered(n).ID])
		default:
			require.True(t, errors.Is(a.err, broken) || errors.Is(a.err, context.Canceled), a.err)
		}
	}
	stats := c.Stats()
	assert.Equal(t, refused, stats.Refused)
	assert.Zero(t, stats.Queued)
	assert.NoError(t, stats.Err)
	assert.Equal(t, len(log.Seqs), int(stats.Messages))
	assert.LessOrEqual(t, acknowledged, len(log.Seqs))
}

// commitOrGiveUp commits message n, one time in eight with a context that ends
// at some moment meanwhile.
func commitOrGiveUp(t *testing.T, c *commit.Committer, n int) (a answer) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n%8 == 0 {
		go cancel()
	}
	a.receipt, a.err = c.Commit(ctx, apptest.Numbered(n))
	return a
}

// CommitAll keeps the bounds and the order, and says how far it came.
func TestCommitAll(t *testing.T) {
	broken := errors.New("broken")
	large := apptest.Numbered(9)
	large.Data = make([]byte, 2_000)
	tests := []struct {
		name                         string
		maxMessages, maxBytes, batch int
		messages                     []app.Message
		failing                      int // the number of the Append that fails
		receipts                     int
		err                          error
		batches                      []int
	}{
		{"none", 0, 0, 0, nil, 0, 0, nil, nil},
		{"one group", 0, 0, 0, someNumbered(20), 0, 20, nil, []int{20}},
		{"by MaxBatch", 0, 0, 8, someNumbered(20), 0, 20, nil, []int{8, 8, 4}},
		{"by MaxMessages", 40, 0, 0, someNumbered(12), 0, 12, nil, []int{5, 5, 2}},
		{"by a small MaxMessages", 1, 0, 0, someNumbered(3), 0, 3, nil, []int{1, 1, 1}},
		{"by MaxBytes", 0, 8 * 1100, 0, someNumbered(5), 0, 5, nil, []int{2, 2, 1}},
		{"one too large", 0, 2_000, 0, []app.Message{apptest.Numbered(1), large, apptest.Numbered(2)}, 0, 1, commit.ErrQueueFull, []int{1}},
		{"a group fails", 0, 0, 8, someNumbered(20), 2, 8, broken, []int{8}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			appends := 0
			log := &apptest.FakeStore{Appending: func([]app.Message) error {
				if appends++; appends == tt.failing {
					return broken
				}
				return nil
			}}
			c := commit.Committer{Log: log, MaxMessages: tt.maxMessages, MaxBytes: tt.maxBytes, MaxBatch: tt.batch}
			receipts, err := c.CommitAll(t.Context(), tt.messages)
			assert.ErrorIs(t, err, tt.err)
			require.Len(t, receipts, tt.receipts)
			for i, r := range receipts {
				assert.Equal(t, app.Receipt{Seq: int64(i + 1), ID: tt.messages[i].ID}, r)
			}
			assert.Equal(t, tt.batches, log.Batches)
			assert.Zero(t, c.Stats().Queued)
		})
	}
}

func someNumbered(n int) (messages []app.Message) {
	for i := range n {
		messages = append(messages, apptest.Numbered(i+1))
	}
	return messages
}

// A group joins the batch that forms when it fits as a whole, else it begins
// the next; and whoever gives up gets no receipts for what is under way.
func TestCommitAllGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, gate := gated()
		c := commit.Committer{Log: log, MaxBatch: 10}
		plug := commitEach(t, &c, 1, 1)
		synctest.Wait()
		six := someNumbered(6)
		for range 3 {
			go c.CommitAll(t.Context(), six[:4])
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		receipts, err := c.CommitAll(ctx, six)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, receipts)
		assert.Equal(t, 1+3*4+6, c.Stats().Queued)
		close(gate)
		plug()
		synctest.Wait()
		assert.Equal(t, []int{1, 8, 10}, log.Batches)
		receipts, err = c.CommitAll(ctx, six)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, receipts)
	})
}

func BenchmarkCommitter(b *testing.B) {
	for _, writers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			log := &discard{}
			c := commit.Committer{Log: log}
			b.ReportAllocs()
			b.SetParallelism(max(1, writers/2))
			b.RunParallel(func(pb *testing.PB) {
				m := apptest.Numbered(1)
				for pb.Next() {
					if _, err := c.Commit(context.Background(), m); err != nil {
						b.Error(err)
						return
					}
				}
			})
			if stats := c.Stats(); stats.Messages != int64(b.N) {
				b.Errorf("%d messages were stored, want %d", stats.Messages, b.N)
			}
			b.ReportMetric(float64(c.Stats().Messages)/float64(c.Stats().Commits), "messages/batch")
		})
	}
}

// discard acknowledges everything.
type discard struct{ apptest.FakeStore }

func (*discard) Append(batch []app.Message) ([]app.Receipt, error) {
	return make([]app.Receipt, len(batch)), nil
}

// Committed is told before the writer is answered, and of what is stored only.
func TestCommitterTells(t *testing.T) {
	broken := errors.New("no")
	var told []int64
	var fate error
	c := commit.Committer{
		Log:       &apptest.FakeStore{Appending: func([]app.Message) error { return fate }},
		Committed: func(seq int64) { told = append(told, seq) },
	}
	for _, n := range []int{1, 2, 1} { // the last one is a duplicate
		_, err := c.Commit(t.Context(), apptest.Numbered(n))
		require.NoError(t, err)
		assert.EqualValues(t, n, told[len(told)-1])
	}
	fate = broken
	_, err := c.Commit(t.Context(), apptest.Numbered(3))
	require.ErrorIs(t, err, broken)
	assert.Equal(t, []int64{1, 2, 1}, told)
}

// Of a batch it is the highest, wherever that stands.
func TestCommitterTellsTheHighest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, gate := gated()
		var told []int64
		c := commit.Committer{Log: log, Committed: func(seq int64) { told = append(told, seq) }}
		first := commitEach(t, &c, 1, 1)
		synctest.Wait()
		second := commitEach(t, &c, 2, 2)
		synctest.Wait()
		third := commitEach(t, &c, 1, 1) // a duplicate, behind the second one
		synctest.Wait()
		gate <- nil
		gate <- nil
		for _, answers := range []func() []answer{first, second, third} {
			answers()
		}
		assert.Equal(t, []int64{1, 2}, told)
	})
}

// Groups wait for each other, so that many uploads at once find room, and single
// messages too.
func TestCommitAllLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := apptest.BlockedStore{Began: make(chan struct{}), Release: make(chan struct{})}
		c := &commit.Committer{Log: log, MaxMessages: 80}
		var uploads sync.WaitGroup
		for i := range 20 {
			uploads.Go(func() {
				group := make([]app.Message, 10) // an eighth of the queue
				for j := range group {
					group[j] = apptest.Numbered(i*10 + j)
				}
				receipts, err := c.CommitAll(t.Context(), group)
				assert.NoError(t, err)
				assert.Len(t, receipts, 10)
			})
		}
		go func() {
			for range log.Began {
			}
		}()
		synctest.Wait() // nothing is stored yet
		assert.LessOrEqual(t, c.Stats().Queued, 40)
		alone := make(chan error)
		go func() {
			_, err := c.Commit(t.Context(), apptest.Numbered(1000))
			alone <- err
		}()
		synctest.Wait()
		close(log.Release)
		assert.NoError(t, <-alone)
		uploads.Wait()
		require.NoError(t, c.Close(t.Context()))
		close(log.Began)
		assert.Zero(t, c.Stats().Refused)
	})
}
