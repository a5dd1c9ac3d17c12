package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// day returns the beginning of a day of a time long past.
func day(n int) time.Time { return time.Date(2030, 1, n, 0, 0, 0, 0, time.UTC) }

// receivedOn stores one message a day, the next ones by number, on these days.
func receivedOn(t testing.TB, log *sqlite.Store, first int, days ...int) {
	t.Helper()
	for i, d := range days {
		m := message(first + i)
		m.Received = day(d)
		m.Address = netip.AddrFrom4([4]byte{198, 51, 100, byte(first + i)})
		_, err := log.Append([]app.Message{m})
		require.NoError(t, err)
	}
}

// prune takes steps until nothing is in excess.
func prune(t testing.TB, log *sqlite.Store, keep retention.Keep, now time.Time) (steps int) {
	t.Helper()
	for {
		cut, err := log.Excess(t.Context(), keep, now)
		require.NoError(t, err)
		if cut == (retention.Cut{}) {
			return steps
		}
		pruneSteps(t, log, cut)
		steps++
		require.Less(t, steps, 10_000, "it comes to an end")
	}
}

// seqsOf returns the seqs of what is stored, and of those which have an address.
func seqsOf(t testing.TB, log *sqlite.Store) (all, addressed []int64) {
	t.Helper()
	for _, e := range readAll(t, log) {
		all = append(all, e.Seq)
		if e.Address.IsValid() {
			addressed = append(addressed, e.Seq)
		}
	}
	return all, addressed
}

func between(first, last int64) (all []int64) {
	for ; first <= last; first++ {
		all = append(all, first)
	}
	return all
}

const days = 24 * time.Hour

// What is too old goes, whatever the clock once was: nothing goes early by a wrong
// time, and nothing stays for ever.
func TestPruneByAge(t *testing.T) {
	for _, tt := range []struct {
		name     string
		received []int // by the clock of that moment
		now      int
		want     []int64 // what is kept for 10 days
	}{
		{"nothing is old", []int{20, 21, 22}, 23, between(1, 3)},
		{"some", []int{1, 2, 3, 20}, 14, between(4, 4)},
		{"a day that is just over", []int{1, 2, 3}, 12, between(2, 3)},
		{"everything", []int{1, 2, 3}, 30, nil},
		{"the clock was ahead for a while", []int{1, 2, 300, 301, 3, 4}, 14, between(6, 6)},
		{"was ahead, and nothing came since", []int{1, 2, 300, 301}, 30, between(3, 4)},
		{"was ahead from the beginning on", []int{300, 301, 20, 21}, 25, between(1, 4)},
		{"was ahead until all of it is old", []int{300, 301, 20, 21}, 32, nil},
		{"the clock was behind for a while", []int{1, 20, -300, -299, 21, 22}, 25, between(2, 6)},
		{"was behind, until a later one is old", []int{1, 20, -300, -299, 21, 22}, 32, between(6, 6)},
		{"was behind, and nothing came since", []int{1, 2, -300, -299}, 30, between(3, 4)},
		{"the clock is behind now", []int{1, 2, 3}, -300, between(1, 3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := open(t, newPath(t))
			receivedOn(t, log, 1, tt.received...)
			prune(t, log, retention.Keep{Age: 10 * days}, day(tt.now))
			all, _ := seqsOf(t, log)
			assert.Equal(t, tt.want, all)
			prune(t, log, retention.Keep{Age: 10 * days}, day(tt.now))
			all, _ = seqsOf(t, log)
			assert.Equal(t, tt.want, all, "once more does nothing")
		})
	}
}

// What came while the clock was behind is not taken for old when it has become
// the first, and the process was started anew meanwhile.
func TestPruneByAgeAcrossSteps(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	receivedOn(t, log, 1, 1, 2, -300, 20)
	prune(t, log, retention.Keep{Age: 10 * days}, day(15))
	require.NoError(t, log.Close())
	log = open(t, path)
	prune(t, log, retention.Keep{Age: 10 * days}, day(15))
	all, _ := seqsOf(t, log)
	assert.Equal(t, between(3, 4), all)
	prune(t, log, retention.Keep{Age: 10 * days}, day(31))
	all, _ = seqsOf(t, log)
	assert.Empty(t, all)
}

// A step takes so many messages, or so many bytes, and no more; the last one of a
// cut what is left.
func TestPruneInSmallSteps(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 450)
	cut := retention.Cut{Messages: 420, Now: day(1)}
	for _, want := range []retention.Pruned{
		{Messages: sqlite.PruneRows, Through: sqlite.PruneRows},
		{Messages: sqlite.PruneRows, Through: 2 * sqlite.PruneRows},
		{Messages: 420 - 2*sqlite.PruneRows, Through: 420, Done: true},
		{Done: true}, // there is nothing left to do
	} {
		done, err := log.Prune(cut)
		require.NoError(t, err)
		assert.Equal(t, want, done)
	}
	all, _ := seqsOf(t, log)
	assert.Equal(t, between(421, 450), all)

	var large []app.Message
	for n := 451; n <= 460; n++ {
		m := message(n)
		m.Data = fmt.Appendf(nil, "%q", bytes.Repeat([]byte("x"), sqlite.PruneBytes/2))
		large = append(large, m)
	}
	_, err := log.Append(large)
	require.NoError(t, err)
	done, err := log.Prune(retention.Cut{Messages: 460, Now: day(1)})
	require.NoError(t, err)
	assert.EqualValues(t, 452, done.Through)
	assert.False(t, done.Done)
	for _, hurry := range []bool{false, true} {
		before := done.Through
		done, err = log.Prune(retention.Cut{Messages: 460, Bytes: 1000, Now: day(1), Hurry: hurry})
		require.NoError(t, err)
		assert.Equal(t, retention.Pruned{Messages: 1, Through: before + 1, Done: true}, done, "no more than was asked for")
	}
}

// Addresses go before their messages, and are really gone: from the file too, and
// so are messages.
func TestPruneAddresses(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	receivedOn(t, log, 1, 1, 2, 300, 3, -300, 4, 20)
	keep := retention.Keep{Addresses: 10 * days}
	prune(t, log, keep, day(13))
	all, addressed := seqsOf(t, log)
	assert.Equal(t, between(1, 7), all)
	assert.Equal(t, between(3, 7), addressed, "the third goes with the fourth")
	prune(t, log, keep, day(15))
	_, addressed = seqsOf(t, log)
	assert.Equal(t, between(7, 7), addressed)

	receivedOn(t, log, 8, 21)
	prune(t, log, retention.Keep{Age: 10 * days, Addresses: 20 * days}, day(31))
	all, addressed = seqsOf(t, log)
	assert.Equal(t, between(8, 8), all)
	assert.Equal(t, between(8, 8), addressed, "those of what is left are not counted as done")
	prune(t, log, keep, day(32))
	_, addressed = seqsOf(t, log)
	assert.Empty(t, addressed)

	require.NoError(t, log.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(content), "198.51.100.", "not in what is free either")
	assert.NotContains(t, string(content), `{"n":1,`)
	assert.Contains(t, string(content), `{"n":8,`, "the test must be able to fail")
}

// Many steps of addresses, some of which are missing, and what came later.
func TestPruneManyAddresses(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 3*sqlite.PruneRows+7)
	steps := prune(t, log, retention.Keep{Addresses: days}, day(1))
	assert.Equal(t, 1, steps)
	_, addressed := seqsOf(t, log)
	assert.Empty(t, addressed)
	store(t, log, 1000, 1001)
	prune(t, log, retention.Keep{Addresses: days}, day(1))
	_, addressed = seqsOf(t, log)
	assert.Empty(t, addressed)
	assert.Equal(t, 3*sqlite.PruneRows+9, query[int](t, log, "SELECT count(*) FROM messages"))
}

// fileSize is how long the store's file is once all is in it.
func fileSize(t testing.TB, log *sqlite.Store, path string) int64 {
	t.Helper()
	shell(t, log, "PRAGMA wal_checkpoint")
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// While messages come in without end, the file stays within its bound, what is
// kept are the newest, and a bound that is lowered makes it shorter.
func TestPruneBySize(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	const bound = 1 << 20
	n, most := 0, int64(0)
	for range 60 {
		store(t, log, n+1, n+200) // some 30 to 50 kB, about what is kept free
		n += 200
		prune(t, log, retention.Keep{Bytes: bound}, day(1))
		most = max(most, fileSize(t, log, path))
	}
	assert.LessOrEqual(t, most, int64(bound))
	assert.Greater(t, most, int64(bound*9/10))
	all, _ := seqsOf(t, log)
	assert.Equal(t, between(int64(n-len(all)+1), int64(n)), all)
	assert.Greater(t, len(all), 2000)

	used := query[int64](t, log, "SELECT (page_count - freelist_count) * 4096 FROM pragma_page_count, pragma_freelist_count")
	for bytes, hurry := range map[int64]bool{used: false, used - 1: true} { // the first is in what is kept free
		cut, err := log.Excess(t.Context(), retention.Keep{Bytes: bytes}, day(1))
		require.NoError(t, err)
		assert.NotZero(t, cut.Messages)
		assert.Equal(t, hurry, cut.Hurry)
	}
	prune(t, log, retention.Keep{Bytes: bound / 2}, day(1))
	assert.LessOrEqual(t, fileSize(t, log, path), int64(bound/2))
	kept, _ := seqsOf(t, log)
	assert.Equal(t, all[len(all)-len(kept):], kept)
	assert.Greater(t, len(kept), 1000)
	assert.Equal(t, "ok", query[string](t, log, "PRAGMA integrity_check"))
}

// A cut makes more room than was missing, so that what comes next is not at once
// too much again: pruning is not for every batch.
func TestPruneLeavesRoom(t *testing.T) {
	log := open(t, newPath(t))
	keep := retention.Keep{Bytes: 4 << 20}
	n := 0
	some := func(messages int) {
		var batch []app.Message
		for range messages {
			n++
			m := message(n)
			m.Data = fmt.Appendf(nil, `"%01900d"`, n) // two of them are a page
			batch = append(batch, m)
		}
		_, err := log.Append(batch)
		require.NoError(t, err)
	}
	for range 25 {
		some(100)
	}
	require.Positive(t, prune(t, log, keep, day(1)))
	for range 5 {
		some(4)
		cut, err := log.Excess(t.Context(), keep, day(1))
		require.NoError(t, err)
		assert.Zero(t, cut)
	}
	some(20)
	assert.Positive(t, prune(t, log, keep, day(1)), "the test must be able to fail")
}

// Without a bound in bytes, too, what is free is given back but for a quarter.
func TestPruneGivesSpaceBack(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	store(t, log, 1, 10_000)
	before := fileSize(t, log, path)
	pruneSteps(t, log, retention.Cut{Messages: 9_000})
	prune(t, log, retention.Keep{}, day(1))
	assert.Less(t, fileSize(t, log, path), before/6)
	assert.Equal(t, entries(9_001, 10_000), readAll(t, log))
	assert.Equal(t, "ok", query[string](t, log, "PRAGMA integrity_check"))
}

// What is noted only rises, whatever is asked for.
func TestPruneNotes(t *testing.T) {
	log := open(t, newPath(t))
	receivedOn(t, log, 1, 5, 6, -300, 7)
	for _, step := range []struct {
		through      int64
		now          int
		pruned, time int64
	}{
		{2, 20, 2, day(6).UnixMicro()},
		{3, 20, 3, day(6).UnixMicro()}, // that one's time was wrong
		{1, 20, 3, day(6).UnixMicro()}, // long gone
		{1 << 40, 20, 4, day(7).UnixMicro()},
		{1 << 50, 20, 4, day(7).UnixMicro()}, // nothing is left
	} {
		_, err := log.Prune(retention.Cut{Messages: step.through, Now: day(step.now)})
		require.NoError(t, err)
		assert.Equal(t, step.pruned, query[int64](t, log, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'pruned'"))
		assert.Equal(t, step.time, query[int64](t, log, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'pruned_received'"))
	}
	receivedOn(t, log, 5, 300, 20)
	prune(t, log, retention.Keep{Age: 10 * days}, day(400)) // a clock that is ahead, and believed
	receivedOn(t, log, 7, 21, 22)
	prune(t, log, retention.Keep{Age: 10 * days}, day(33))
	all, _ := seqsOf(t, log)
	assert.Empty(t, all, "what it noted stops nothing")
	assertTime := func(want time.Time) {
		t.Helper()
		assert.Equal(t, want.UnixMicro(), query[int64](t, log, "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'pruned_received'"))
	}
	assertTime(day(22))
	receivedOn(t, log, 9, 23, 300)
	pruneSteps(t, log, retention.Cut{Messages: 10, Now: day(25)})
	assertTime(day(23))
}

// However many messages came while the clock was ahead, what is old behind them is
// found, and takes them along.
func TestPruneBehindManyFromTheFuture(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, sqlite.MaxExamined+1)
	shell(t, log, fmt.Sprint("UPDATE messages SET received = ", day(300).UnixMicro()))
	receivedOn(t, log, sqlite.MaxExamined+2, 20, 30)
	cut, err := log.Excess(t.Context(), retention.Keep{Age: 10 * days}, day(32))
	require.NoError(t, err)
	assert.EqualValues(t, sqlite.MaxExamined+2, cut.Messages)
}

// Messages received by a wrong clock are looked at once, and again only when their
// time can be right. The test sees that by changing rows behind the store's back.
func TestPruneLooksPastOnce(t *testing.T) {
	for name, keep := range map[string]retention.Keep{"messages": {Age: 10 * days}, "addresses": {Addresses: 10 * days}} {
		t.Run(name, func(t *testing.T) {
			log := open(t, newPath(t))
			receivedOn(t, log, 1, 300, 301, 20)
			through := func(now int) int64 {
				cut, err := log.Excess(t.Context(), keep, day(now))
				require.NoError(t, err)
				return max(cut.Messages, cut.Addresses)
			}
			assert.Zero(t, through(25))
			shell(t, log, fmt.Sprintf("UPDATE messages SET received = %d WHERE seq = 2", day(1).UnixMicro()))
			assert.Zero(t, through(26), "it is not looked at again")
			assert.EqualValues(t, 3, through(31), "but goes with what is old behind it")
			shell(t, log, fmt.Sprintf("UPDATE messages SET received = %d WHERE seq = 1", day(2).UnixMicro()))
			assert.EqualValues(t, 3, through(31))
			shell(t, log, fmt.Sprintf("UPDATE messages SET received = %d WHERE seq = 3", day(300).UnixMicro()))
			assert.Zero(t, through(299))
			assert.EqualValues(t, 1, through(300), "now the second one can be right, so all are looked at: the first is old")
		})
	}
}

// A look finds a limited number of old messages, so that other things to prune are
// looked for in between.
func TestPruneLooksBitByBit(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, sqlite.MaxExamined+7)
	cut, err := log.Excess(t.Context(), retention.Keep{Age: days}, day(20))
	require.NoError(t, err)
	assert.EqualValues(t, sqlite.MaxExamined, cut.Messages)
	pruneSteps(t, log, cut)
	cut, err = log.Excess(t.Context(), retention.Keep{Age: days}, day(20))
	require.NoError(t, err)
	assert.EqualValues(t, sqlite.MaxExamined+7, cut.Messages)
	cut, err = log.Excess(t.Context(), retention.Keep{Age: days, Bytes: 1}, day(20))
	require.NoError(t, err)
	assert.True(t, cut.Hurry, "what is over a bound in bytes comes first")
}

// Readers cannot keep Excess from a connection: it has one of its own.
func TestPruneBesideReaders(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 10)
	for range log.Readers().Stats().MaxOpenConnections {
		conn, err := log.Readers().Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close() // it is not used
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cut, err := log.Excess(ctx, retention.Keep{Age: days, Bytes: 1}, day(20))
	require.NoError(t, err)
	assert.NotZero(t, cut.Messages)
}

// A step in a hurry removes what was stored since the last one and more, so that the
// store does not grow, however large the batches are; without a hurry it is small.
func TestPruneKeepsPace(t *testing.T) {
	log := open(t, newPath(t))
	n := 0
	batch := func(messages, size int) (bytes int) {
		var batch []app.Message
		for range messages {
			n++
			m := message(n)
			m.Data = fmt.Appendf(nil, `"%0*d"`, size-2, n)
			batch = append(batch, m)
		}
		_, err := log.Append(batch)
		require.NoError(t, err)
		return messages * size
	}
	held := func() int { return query[int](t, log, "SELECT sum(octet_length(data)) FROM messages") }
	step := func(hurry bool) (removed int) {
		before := held()
		_, err := log.Prune(retention.Cut{Messages: int64(n), Now: day(1), Hurry: hurry})
		require.NoError(t, err)
		return before - held()
	}
	for range 8 {
		batch(1000, 1000)
	}
	assert.LessOrEqual(t, step(false), sqlite.PruneRows*1000)
	assert.LessOrEqual(t, step(true), sqlite.PruneRows*1000, "nothing was stored meanwhile")
	for _, store := range []func() int{
		func() int { return batch(1000, 1000) },
		func() int { return batch(10, 100_000) },
		func() int { return batch(1000, 300) + batch(500, 1000) },
	} {
		stored := store()
		removed := step(true)
		assert.GreaterOrEqual(t, removed, stored)
		assert.Less(t, removed, 2*stored)
	}
	for range 30 {
		batch(100, 1000)
	}
	assert.Less(t, step(true), 12*100*1000, "a step is never much more than some batches")
}

// Pruning keeps the write-ahead log short, also when nothing else is written.
func TestPruneTrimsWAL(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	store(t, log, 1, 4_000)
	shell(t, log, "PRAGMA wal_checkpoint(TRUNCATE)")
	log.TrimAt(50)
	pruneSteps(t, log, retention.Cut{Messages: 3_900})
	info, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	assert.NotZero(t, info.Size())
	assert.Less(t, info.Size(), int64(150*4096), "a step is less than a hundred pages")
}

// A file that was made so that it cannot shrink, as by a tool, is left as it is.
func TestPruneWithoutGivingBack(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	store(t, log, 1, 2_000)
	require.NoError(t, errors.Join(log.Readers().Close(), log.Finder().Close()))
	shell(t, log, "PRAGMA journal_mode = DELETE")
	shell(t, log, "PRAGMA auto_vacuum = NONE")
	shell(t, log, "VACUUM")
	require.NoError(t, log.Close())
	log = open(t, path)
	pruneSteps(t, log, retention.Cut{Messages: 1_900})
	assert.Zero(t, prune(t, log, retention.Keep{}, day(1)))
	assert.Equal(t, entries(1_901, 2_000), readAll(t, log))
}

// After all was pruned the log knows where it is: no seq comes again, and ids and
// keys are free.
func TestPruneEverything(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	_, err := log.Append([]app.Message{keyed(2, "a"), keyed(4, "b"), message(3)})
	require.NoError(t, err)
	done, err := log.Prune(retention.Cut{Messages: 3, Now: day(1)})
	require.NoError(t, err)
	assert.Equal(t, retention.Pruned{Messages: 3, Through: 3, Done: true}, done)
	assert.Zero(t, query[int](t, log, "SELECT count(*) FROM keys"))
	assert.Equal(t, "3", query[string](t, log, "SELECT value FROM meta WHERE key = 'pruned'"))
	require.NoError(t, log.Close())

	log = open(t, path)
	name := log.Name()
	for _, tt := range []struct {
		query app.Query
		want  app.Page
	}{
		{app.Query{Limit: 10}, app.Page{Log: name, Oldest: 4, Next: 3}},
		{app.Query{Limit: 10, After: 3}, app.Page{Log: name, Oldest: 4, Next: 3}},
		{app.Query{Limit: 10, Last: true}, app.Page{Log: name, Oldest: 4, Next: 3}},
	} {
		page, err := log.Read(t.Context(), tt.query)
		require.NoError(t, err)
		assert.Equal(t, tt.want, page)
	}
	receipts, err := log.Append([]app.Message{keyed(6, "a"), message(2)})
	require.NoError(t, err)
	assert.Equal(t, []app.Receipt{{Seq: 4, ID: message(6).ID}, {Seq: 5, ID: message(2).ID}}, receipts)
}

// A page is of one moment, and whoever follows next sees each message once or is
// told of what is gone.
func TestReadWhilePruning(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 3000)
	stop := make(chan struct{})
	pruned := make(chan error)
	go func() {
		for n := int64(3); ; n += 3 {
			select {
			case <-stop:
				pruned <- nil
				return
			default:
			}
			if _, err := log.Prune(retention.Cut{Messages: min(n, 2900), Now: day(1)}); err != nil {
				pruned <- err
				return
			}
		}
	}()
	after, seen, missed := int64(0), int64(0), int64(0)
	for {
		page, err := log.Read(t.Context(), app.Query{After: after, Limit: 7})
		require.NoError(t, err)
		if page.Next == after {
			break
		}
		if gone := page.Oldest - 1 - after; gone > 0 {
			missed += gone
			after = page.Oldest - 1
		}
		for _, e := range page.Entries {
			after++
			require.Equal(t, after, e.Seq)
			seen++
		}
		require.Equal(t, page.Next, after)
	}
	close(stop)
	require.NoError(t, <-pruned)
	assert.EqualValues(t, 3000, seen+missed)
}

// A full disk costs the step that met it; and deleting itself needs no page more,
// so that a store which may not grow comes below its bound.
func TestPruneWhenFull(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 2000)
	pages := query[int](t, log, "PRAGMA page_count")
	query[int](t, log, fmt.Sprint("PRAGMA max_page_count = ", pages))
	_, err := log.Append(messages(2001, 4000))
	require.ErrorIs(t, err, app.ErrDiskFull)
	prune(t, log, retention.Keep{Bytes: int64(pages) * 4096 / 2}, day(1))
	store(t, log, 4001, 4100)
}

// After a failure that nobody can vouch for nothing is pruned, and after Close.
func TestPruneAfterFailure(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 10)
	shell(t, log, "PRAGMA query_only = 1")
	_, err := log.Prune(retention.Cut{Messages: 5})
	require.ErrorIs(t, err, app.ErrStoreFailed, "read-only")
	shell(t, log, "PRAGMA query_only = 0")
	_, err = log.Prune(retention.Cut{Messages: 5})
	require.ErrorIs(t, err, app.ErrStoreFailed, "and it stays so")
	_, err = log.Append(messages(11, 11))
	require.ErrorIs(t, err, app.ErrStoreFailed)
	assert.Equal(t, entries(1, 10), readAll(t, log))
	require.NoError(t, log.Close())
	_, err = log.Prune(retention.Cut{Messages: 5})
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = log.Excess(context.Background(), retention.Keep{Age: 1}, day(1))
	require.Error(t, err)
}

func TestSpace(t *testing.T) {
	free, total, err := open(t, newPath(t)).Space()
	require.NoError(t, err)
	assert.Positive(t, free)
	assert.Greater(t, total, free)
}

// pruneRole prunes and appends without end, and says what was acknowledged and
// what it was about to prune.
func pruneRole(path string) int {
	log, err := sqlite.Open(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	page, err := log.Read(context.Background(), app.Query{Last: true, Limit: 1})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for n := int(page.Next) + 1; ; n++ {
		m := message(n)
		m.Key = fmt.Sprint("key ", n)
		if _, err := log.Append([]app.Message{m}); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("stored", n)
		if n%10 == 0 {
			fmt.Println("pruning", n-50)
			if _, err := log.Prune(retention.Cut{Messages: int64(n - 50), Now: day(1)}); err != nil {
				fmt.Println(err)
				return 1
			}
			_, err := log.Prune(retention.Cut{Addresses: int64(n - 20)})
			_, err2 := log.Prune(retention.Cut{Space: 1 << 20})
			if err := errors.Join(err, err2); err != nil {
				fmt.Println(err)
				return 1
			}
		}
	}
}

// Killed at any moment, nothing is gone but what was to go, no step is half
// done, and no seq comes twice.
func TestKilledWhilePruning(t *testing.T) {
	path := newPath(t)
	stored, pruning := 0, 0
	for round := range 5 {
		cmd := role(t, "prune", path)
		_, out := start(t, cmd)
		for lines := 0; lines < 97+31*round; lines++ {
			readPruneLine(t, out, &stored, &pruning)
		}
		require.NoError(t, cmd.Process.Kill())
		for readable := true; readable; {
			readable = tryPruneLine(t, out, &stored, &pruning)
		}
		assert.Error(t, cmd.Wait())

		log := open(t, path)
		all, _ := seqsOf(t, log)
		require.NotEmpty(t, all)
		assert.GreaterOrEqual(t, all[len(all)-1], int64(stored))
		assert.Equal(t, between(all[0], all[len(all)-1]), all)
		assert.LessOrEqual(t, all[0], int64(pruning)+1, "only what was to go")
		mark := query[int64](t, log, "SELECT CAST(coalesce(max(value), '0') AS INTEGER) FROM meta WHERE key = 'pruned'")
		assert.Equal(t, all[0]-1, mark)
		assert.Equal(t, len(all), query[int](t, log, "SELECT count(*) FROM keys JOIN messages USING (seq)"))
		assert.Equal(t, len(all), query[int](t, log, "SELECT count(*) FROM keys"), "keys go with their message")
		for _, e := range readAll(t, log) {
			assert.Equal(t, message(int(e.Seq)).ID, e.ID)
		}
		assert.Equal(t, "ok", query[string](t, log, "PRAGMA integrity_check"))
		require.NoError(t, log.Close())
	}
	assert.Positive(t, pruning)
	assert.FileExists(t, filepath.Clean(path))
}

// readPruneLine takes one line of pruneRole's.
func readPruneLine(t *testing.T, out *bufio.Reader, stored, pruning *int) {
	t.Helper()
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	notePruneLine(t, line, stored, pruning)
}

// tryPruneLine takes one if there is one.
func tryPruneLine(t *testing.T, out *bufio.Reader, stored, pruning *int) bool {
	t.Helper()
	line, err := out.ReadString('\n')
	if err == nil {
		notePruneLine(t, line, stored, pruning)
	}
	return err == nil
}

func notePruneLine(t *testing.T, line string, stored, pruning *int) {
	t.Helper()
	var what string
	var n int
	_, err := fmt.Sscan(line, &what, &n)
	require.NoError(t, err, line)
	if what == "stored" {
		*stored = n
	} else {
		*pruning = max(*pruning, n)
	}
}
