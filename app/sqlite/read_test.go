package sqlite_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

func TestRead(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 30)
	shell(t, log, "DELETE FROM messages WHERE seq <= 5 OR seq = 20")
	// Of message(n), n%3 == 1 is LISTENER_INFO and n%2 == 1 is M0ABC/P.
	tests := []struct {
		name string
		q    app.Query
		seqs []int64
		next int64
	}{
		{"by bytes", app.Query{Limit: 9, MaxBytes: 30}, []int64{6, 7}, 7}, // each has more than 15
		{"by bytes, one at least", app.Query{Limit: 9, MaxBytes: 1}, []int64{6}, 6},
		{"by bytes, to the end", app.Query{After: 28, Limit: 9, MaxBytes: 1000}, []int64{29, 30}, 30},
		{"by bytes, filtered", app.Query{Limit: 9, MaxBytes: 1, Type: app.ListenerInfo}, []int64{7}, 7},
		{"last by bytes", app.Query{Limit: 9, MaxBytes: 30, Last: true}, []int64{29, 30}, 30},
		{"from the start", app.Query{Limit: 3}, []int64{6, 7, 8}, 8},
		{"before the start", app.Query{After: -9, Limit: 1}, []int64{6}, 6},
		{"pruned", app.Query{After: 2, Limit: 1}, []int64{6}, 6},
		{"over a hole", app.Query{After: 18, Limit: 2}, []int64{19, 21}, 21},
		{"to the end", app.Query{After: 28, Limit: 2}, []int64{29, 30}, 30},
		{"less than a page", app.Query{After: 28, Limit: 9}, []int64{29, 30}, 30},
		{"at the end", app.Query{After: 30, Limit: 9}, nil, 30},
		{"named", app.Query{After: 29, Limit: 9, Log: log.Name()}, []int64{30}, 30},
		{"type", app.Query{Limit: 2, Type: app.ListenerInfo}, []int64{7, 10}, 10},
		{"rest of a type", app.Query{After: 26, Limit: 9, Type: app.ListenerInfo}, []int64{28}, 30},
		{"callsign", app.Query{Limit: 2, Callsign: "M0ABC/P"}, []int64{7, 9}, 9},
		{"both", app.Query{Limit: 3, Type: app.ListenerInfo, Callsign: "M0ABC/P"}, []int64{7, 13, 19}, 19},
		{"nothing passes", app.Query{Limit: 3, Type: app.Telem}, nil, 30},
		{"unknown callsign", app.Query{After: 7, Limit: 3, Callsign: "m0abc/p"}, nil, 30},
		{"last", app.Query{Limit: 2, Last: true}, []int64{29, 30}, 30},
		{"last, whatever after", app.Query{After: 99, Limit: 1, Last: true}, []int64{30}, 30},
		{"last and more", app.Query{Limit: 28, Last: true, Callsign: "G8XYZ", Type: app.ListenerInfo}, []int64{10, 16, 22, 28}, 30},
		{"last of nothing", app.Query{Limit: 2, Last: true, Type: app.Telem}, nil, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			page, err := log.Read(t.Context(), tt.q)
			require.NoError(t, err)
			var want []app.Entry
			for _, seq := range tt.seqs {
				want = append(want, entries(int(seq), int(seq))...)
			}
			assert.Equal(t, app.Page{Log: log.Name(), Oldest: 6, Entries: want, Next: tt.next}, page)
		})
	}
}

func TestReadErrors(t *testing.T) {
	log := open(t, newPath(t))
	_, err := log.Read(t.Context(), app.Query{Limit: 1, Log: "0123456789abcdef"})
	assert.ErrorIs(t, err, app.ErrOtherLog)
	_, err = log.Read(t.Context(), app.Query{})
	assert.ErrorContains(t, err, "limit")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = log.Read(ctx, app.Query{Limit: 1})
	assert.ErrorIs(t, err, context.Canceled)
	_, err = log.Read(ctx, app.Query{Limit: 1, Last: true})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestReadDamage(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 2)
	for _, damage := range []string{
		"UPDATE messages SET id = x'00', address = NULL WHERE seq = 2",
		"UPDATE messages SET id = zeroblob(17) WHERE seq = 2",
		"UPDATE messages SET id = zeroblob(16), address = 'somewhere' WHERE seq = 2",
	} {
		shell(t, log, damage)
		_, err := log.Read(t.Context(), app.Query{Limit: 9})
		assert.ErrorContains(t, err, "the store is damaged (run windsock check): message 2", damage)
	}
}

// An After that the log never gave out is of another log. One that it did give out
// is not, whatever became of its message: pruned, or deleted behind its back.
func TestReadBeyondTheEnd(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	other, err := sqlite.OpenReadOnly(path)
	require.NoError(t, err)
	defer other.Close()
	beyond := func(highest int64) {
		t.Helper()
		for _, r := range []interface {
			Read(context.Context, app.Query) (app.Page, error)
		}{log, other} {
			page, err := r.Read(t.Context(), app.Query{After: highest, Limit: 1})
			require.NoError(t, err)
			assert.Equal(t, highest, page.Next)
			for _, after := range []int64{highest + 1, math.MaxInt64} {
				_, err = r.Read(t.Context(), app.Query{After: after, Limit: 1})
				require.ErrorIs(t, err, app.ErrOtherLog)
				_, err = r.Read(t.Context(), app.Query{After: after, Limit: 1, Log: log.Name()})
				require.ErrorIs(t, err, app.ErrOtherLog, "with its name, too: seqs were lost")
			}
			_, err = r.Read(t.Context(), app.Query{After: highest + 1, Limit: 1, Last: true})
			require.NoError(t, err, "it means nothing there")
		}
	}
	beyond(0)
	store(t, log, 1, 3)
	beyond(3)
	pruneSteps(t, log, retention.Cut{Messages: 3, Now: day(1)})
	beyond(3)
	log.SortAt(5)
	store(t, log, 4, 13)
	store(t, log, 14, 14)
	require.Equal(t, 13, query[int](t, log, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'indexed'"))
	beyond(14)
	shell(t, log, "DELETE FROM messages WHERE seq > 6")
	beyond(13) // as far as is known
}

// A seq that was just given out is never beyond the end for a reader, also while the
// write-ahead log is copied back and starts over.
func TestReadAfterReceipt(t *testing.T) {
	log := open(t, newPath(t))
	log.TrimAt(10)
	var wg sync.WaitGroup
	newest := make(chan int64)
	for range 3 {
		wg.Go(func() {
			for seq := range newest {
				_, err := log.Read(t.Context(), app.Query{After: seq, Limit: 1})
				assert.NoError(t, err)
			}
		})
	}
	for n := range 300 {
		for range 3 {
			newest <- store(t, log, n+1, n+1)[0].Seq
		}
	}
	close(newest)
	wg.Wait()
}

// sparseStore is a store of n messages. Every 20,000th from the 50th on has the
// callsign RARE.
func sparseStore(t *testing.T, n int) *sqlite.Store {
	t.Helper()
	log := open(t, newPath(t))
	shell(t, log, fmt.Sprintf(`WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < %d)
		INSERT INTO messages (client_created, id, type, callsign, client_uploaded,
			time_created, time_uploaded, received, data)
		SELECT n, zeroblob(16), 'LISTENER_INFO', iif(n %% 20000 = 50, 'RARE', 'G8XYZ'), 0, 0, 0, 0, '{}' FROM n`, n))
	return log
}

// When a query's time is over its page ends, at once, and says so: reading on after
// Next misses nothing, and the newest are not said to be all that there are.
func TestReadUntil(t *testing.T) {
	const n = 2*sqlite.MaxExamined + 100
	log := sparseStore(t, n)
	long := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name string
		q    app.Query
		seqs []int64
		next int64
		from int64
	}{
		{"nothing found", app.Query{After: 50}, nil, 50 + sqlite.MaxUnwatched, 0},
		{"found", app.Query{}, []int64{50}, sqlite.MaxUnwatched, 0},
		{"at the end", app.Query{After: n - 3}, nil, n, 0},
		{"there is time", app.Query{After: 50, Until: long}, nil, 50 + sqlite.MaxExamined, 0},
		{"last", app.Query{Last: true}, []int64{2*sqlite.MaxExamined + 50}, n, n - sqlite.MaxUnwatched + 1},
		{"last, nothing found", app.Query{Last: true, Type: app.Telem}, nil, n, n - sqlite.MaxUnwatched + 1},
		{"last, enough found", app.Query{Last: true, Limit: 1}, []int64{2*sqlite.MaxExamined + 50}, n, 0},
		{"last, there is time", app.Query{Last: true, Until: long}, []int64{50, 2*sqlite.MaxExamined + 50}, n, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.q.Callsign = "RARE"
			tt.q.Limit = cmp.Or(tt.q.Limit, 10)
			if tt.q.Until.IsZero() {
				tt.q.Until = time.Unix(1, 0)
			}
			page, err := log.Read(t.Context(), tt.q)
			require.NoError(t, err)
			assert.Equal(t, tt.seqs, seqs(page.Entries))
			assert.Equal(t, tt.next, page.Next)
			assert.Equal(t, tt.from, page.From)
			assert.EqualValues(t, 1, page.Oldest)
		})
	}
	q, found := app.Query{Limit: 10, Callsign: "RARE", Until: time.Unix(1, 0)}, []int64(nil)
	for q.After < n {
		page, err := log.Read(t.Context(), q)
		require.NoError(t, err)
		require.Greater(t, page.Next, q.After)
		found, q.After = append(found, seqs(page.Entries)...), page.Next
	}
	assert.Equal(t, []int64{50, 2*sqlite.MaxExamined + 50}, found)
	shell(t, log, fmt.Sprint("DELETE FROM messages WHERE seq < ", n))
	page, err := log.Read(t.Context(), app.Query{Limit: 10, Last: true, Callsign: "RARE", Until: time.Unix(1, 0)})
	require.NoError(t, err)
	assert.Zero(t, page.From, "there is nothing more to look at")
}

// A client that leaves, or a deadline, is no damage, whenever it comes while rows
// are read.
func TestReadEndsWithItsContext(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	store(t, log, 1, 2000)
	reader, err := sqlite.OpenReadOnly(path)
	require.NoError(t, err)
	defer reader.Close()
	resting := newStore(t, 1000) // Check must have a store to itself
	reads := map[string]func(context.Context) error{
		"read": func(ctx context.Context) error {
			_, err := log.Read(ctx, app.Query{Limit: 1000})
			return err
		},
		"last": func(ctx context.Context) error {
			_, err := log.Read(ctx, app.Query{Limit: 1000, Last: true})
			return err
		},
		"export": func(ctx context.Context) error {
			var e exported
			_, err := reader.Export(ctx, 0, &e)
			assert.NotContains(t, strings.Join(e.faults, "\n"), "cannot")
			return err
		},
		"excess": func(ctx context.Context) error {
			_, err := log.Excess(ctx, retention.Keep{Age: 1}, time.Now())
			return err
		},
		"check": func(ctx context.Context) error {
			found, err := sqlite.Check(ctx, resting, nil)
			assert.Empty(t, found.Faults)
			return err
		},
		"backup": func(ctx context.Context) error {
			_, err := sqlite.Backup(ctx, path, newPath(t), false, nil)
			return err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			for i := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*20)*time.Microsecond)
				if i%2 == 1 {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(time.Duration(i*20)*time.Microsecond, cancel)
				}
				err := read(ctx)
				if err != nil {
					require.ErrorIs(t, err, ctx.Err())
					require.NotContains(t, err.Error(), "damage")
				}
				cancel()
			}
		})
	}
}

// A filter that lets little through must not make one request look at
// everything: the page ends where it stopped looking, and Next says so.
func TestReadBound(t *testing.T) {
	const n = 2*sqlite.MaxExamined + 100
	log := sparseStore(t, n)
	q := app.Query{Limit: 10, Callsign: "RARE"}
	for _, want := range []struct {
		seqs []int64
		next int64
	}{
		{[]int64{50}, sqlite.MaxExamined},
		{nil, 2 * sqlite.MaxExamined},
		{[]int64{2*sqlite.MaxExamined + 50}, n},
		{nil, n},
	} {
		page, err := log.Read(t.Context(), q)
		require.NoError(t, err)
		assert.Equal(t, want.seqs, seqs(page.Entries))
		assert.Equal(t, want.next, page.Next)
		q.After = page.Next
	}

	page, err := log.Read(t.Context(), app.Query{Limit: 10, Callsign: "RARE", Last: true})
	require.NoError(t, err)
	assert.Equal(t, []int64{50, 2*sqlite.MaxExamined + 50}, seqs(page.Entries), "the newest that match, however far back")
	assert.Equal(t, int64(n), page.Next)

	page, err = log.Read(t.Context(), app.Query{Limit: 1, Callsign: "RARE", Last: true})
	require.NoError(t, err)
	assert.Equal(t, []int64{2*sqlite.MaxExamined + 50}, seqs(page.Entries))
	page, err = log.Read(t.Context(), app.Query{Limit: sqlite.MaxExamined + 1, Last: true})
	require.NoError(t, err)
	require.Len(t, page.Entries, sqlite.MaxExamined+1, "without a filter too")
	assert.Equal(t, int64(sqlite.MaxExamined+100), page.Entries[0].Seq)

	page, err = log.Read(t.Context(), app.Query{Limit: n})
	require.NoError(t, err)
	assert.Len(t, page.Entries, sqlite.MaxExamined, "without a filter too")
	assert.Equal(t, int64(sqlite.MaxExamined), page.Next)
}

// A page ends with the message that makes its data long enough, and one that is
// longer than a page is a page.
func TestReadBytes(t *testing.T) {
	log := open(t, newPath(t))
	const mib = 1 << 20
	for i, size := range []int{1 * mib, 2 * mib, 2 * mib, 10, 2 * sqlite.MaxPageBytes, 10, 1 * mib} {
		m := message(i + 1)
		m.Data = bytes.Repeat([]byte("1"), size)
		_, err := log.Append([]app.Message{m})
		require.NoError(t, err)
	}
	q := app.Query{Limit: 10}
	for _, want := range []struct {
		seqs []int64
		next int64
	}{
		{[]int64{1, 2, 3}, 3},
		{[]int64{4, 5}, 5},
		{[]int64{6, 7}, 7},
		{nil, 7},
	} {
		page, err := log.Read(t.Context(), q)
		require.NoError(t, err)
		assert.Equal(t, want.seqs, seqs(page.Entries))
		assert.Equal(t, want.next, page.Next)
		q.After = page.Next
	}
	page, err := log.Read(t.Context(), app.Query{After: 4, Limit: 10})
	require.NoError(t, err)
	assert.Equal(t, []int64{5}, seqs(page.Entries))

	page, err = log.Read(t.Context(), app.Query{Limit: 10, Last: true})
	require.NoError(t, err)
	assert.Equal(t, []int64{5, 6, 7}, seqs(page.Entries), "the newest are kept")
	assert.Equal(t, int64(7), page.Next)
}

func seqs(entries []app.Entry) (all []int64) {
	for _, e := range entries {
		all = append(all, e.Seq)
	}
	return all
}

// Readers who page while messages come in see each of them, once and in order.
func TestReadWhileAppending(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	log.TrimAt(20) // so that checkpoints come in between
	other, err := sqlite.OpenReadOnly(path)
	require.NoError(t, err)
	defer other.Close()
	assert.Equal(t, log.Name(), other.Name())

	const batches, size = 40, 10
	var wg sync.WaitGroup
	for _, r := range []interface {
		Read(context.Context, app.Query) (app.Page, error)
	}{log, log, other} {
		wg.Go(func() {
			q := app.Query{Limit: 7}
			for q.After < batches*size {
				page, err := r.Read(t.Context(), q)
				if !assert.NoError(t, err) || !assert.Equal(t, entriesAfter(q.After, len(page.Entries)), page.Entries) {
					return
				}
				q.After = page.Next
			}
		})
	}
	for n := range batches {
		store(t, log, n*size+1, n*size+size)
	}
	wg.Wait()
}

func entriesAfter(after int64, n int) []app.Entry { return entries(int(after)+1, int(after)+n) }
