package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// benchStore is a store with so many messages, a thousand a commit.
func benchStore(b *testing.B, messages int) *sqlite.Store {
	b.Helper()
	log := open(b, filepath.Join(b.TempDir(), "bench.db"))
	fillStore(b, log, 1, messages)
	return log
}

func fillStore(b *testing.B, log *sqlite.Store, first, last int) {
	b.Helper()
	for first <= last {
		var batch []app.Message
		for ; first <= last && len(batch) < 1000; first++ {
			batch = append(batch, benchMessage(int64(first)))
		}
		_, err := log.Append(batch)
		require.NoError(b, err)
	}
}

// BenchmarkPruneStep takes one step each time, and an Append of one message
// beside it shows what waiting for a commit is.
func BenchmarkPruneStep(b *testing.B) {
	for _, kind := range []struct {
		name string
		cut  retention.Cut
	}{
		{"messages", retention.Cut{Messages: 1 << 60, Now: time.Now()}},
		{"addresses", retention.Cut{Addresses: 1 << 60}},
		{"space", retention.Cut{Space: 1 << 60}},
	} {
		b.Run(kind.name, func(b *testing.B) {
			const stock = 100_000
			log := benchStore(b, 2*stock)
			seq, n := 2*stock, 0
			var cpu time.Duration
			if kind.cut.Space != 0 {
				pruneSteps(b, log, retention.Cut{Messages: stock})
			}
			for b.Loop() {
				before := cpuTime(b)
				done, err := log.Prune(kind.cut)
				if err != nil {
					b.Fatal(err)
				}
				cpu += cpuTime(b) - before
				n += done.Messages + done.Addresses + int(done.Bytes/4096)
				if done.Messages+done.Addresses+int(done.Bytes) > 0 {
					continue
				}
				b.StopTimer()
				fillStore(b, log, seq+1, seq+stock)
				seq += stock
				if kind.cut.Space != 0 {
					pruneSteps(b, log, retention.Cut{Messages: int64(seq - stock)})
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(n)/float64(b.N), "items/step")
			b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(n), "cpu-us/item")
		})
	}
	for _, size := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("append=%d", size), func(b *testing.B) {
			log := benchStore(b, 100_000)
			n := 100_001
			for b.Loop() {
				fillStore(b, log, n, n+size-1)
				n += size
			}
		})
	}
}

// BenchmarkInsertWhilePruning is BenchmarkInsert with 64 writers, with and without
// somebody who prunes as much as they insert, a quarter of the time at most.
func BenchmarkInsertWhilePruning(b *testing.B) {
	for _, pruning := range []bool{false, true} {
		b.Run(fmt.Sprintf("pruning=%t", pruning), func(b *testing.B) {
			const kept = 50_000
			log := benchStore(b, kept)
			var newest, pruned atomic.Int64
			c := commit.Committer{Log: log, Committed: newest.Store}
			ctx, stop := context.WithCancel(b.Context())
			var pruner sync.WaitGroup
			if pruning {
				pruner.Go(func() { pruneBehind(ctx, b, &c, log, &newest, &pruned, kept) })
			}
			var n atomic.Int64
			n.Store(kept)
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				wg.Go(func() {
					for i := n.Add(1); i <= int64(b.N)+kept; i = n.Add(1) {
						if _, err := c.Commit(context.Background(), benchMessage(i)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			stop()
			pruner.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(pruned.Load())/float64(b.N), "pruned/message")
		})
	}
}

func pruneBehind(ctx context.Context, b *testing.B, c *commit.Committer, log *sqlite.Store, newest, pruned *atomic.Int64, kept int64) {
	for ctx.Err() == nil {
		var took time.Duration
		err := c.Do(ctx, func() error {
			begin := time.Now()
			done, err := log.Prune(retention.Cut{Messages: max(1, newest.Load()-kept), Now: begin})
			pruned.Add(int64(done.Messages))
			took = time.Since(begin)
			return err
		})
		if err != nil && ctx.Err() == nil {
			b.Error(err)
			return
		}
		select {
		case <-time.After(3 * took):
		case <-ctx.Done():
		}
	}
}

// pruneSteps takes all steps of a cut.
func pruneSteps(tb testing.TB, log *sqlite.Store, cut retention.Cut) (sum retention.Pruned) {
	tb.Helper()
	for !sum.Done {
		done, err := log.Prune(cut)
		require.NoError(tb, err)
		sum.Messages += done.Messages
		sum.Addresses += done.Addresses
		sum.Bytes += done.Bytes
		sum.Through, sum.Done = done.Through, done.Done
	}
	return sum
}
