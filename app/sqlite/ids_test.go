package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// again returns the receipts of retries of messages first to last, which were
// stored as seq first to last.
func again(first, last int) (receipts []app.Receipt) {
	for n := first; n <= last; n++ {
		receipts = append(receipts, app.Receipt{Seq: int64(n), ID: message(n).ID, Duplicate: true})
	}
	return receipts
}

// A retry is found whether its ID is still in memory, was read again, or stands
// in ids.
func TestRetriesAreFound(t *testing.T) {
	const batch = sqlite.IndexIDs/2 + 1
	path := newPath(t)
	log := open(t, path)
	for last := batch; last <= 6*batch; last += batch {
		store(t, log, last-batch+1, last)
		assert.Equal(t, again(1, last), store(t, log, 1, last), "last %d", last)
		require.NoError(t, log.Close())
		log = open(t, path)
		assert.Equal(t, again(1, last), store(t, log, 1, last), "reopened, last %d", last)
	}
	indexed := query[int](t, log, "SELECT count(*) FROM ids")
	assert.Equal(t, 6*batch, indexed, "the last commit was one that wrote them")
	assert.Equal(t, entries(1, 6*batch), readAll(t, log))
	store(t, log, 6*batch+1, 7*batch)
	assert.Equal(t, indexed, query[int](t, log, "SELECT count(*) FROM ids"), "and this one is not")
}

// Nor does it matter whether what was written was forgotten since, for messages
// that come in the order of their times, as most do, and for others.
func TestForgottenRetriesAreFound(t *testing.T) {
	const step, last = 700, sqlite.RecentIDs * 5 / 4
	for name, time := range map[string]func(n int) int64{
		"rising":  func(n int) int64 { return int64(n / 10) },
		"falling": func(n int) int64 { return int64(-n / 10) },
		"one":     func(int) int64 { return 7 },
		"mixed":   func(n int) int64 { return int64(n * 7919 % 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := open(t, newPath(t))
			timed := func(first, last int) []app.Message {
				batch := messages(first, last)
				for i := range batch {
					batch[i].ClientCreated = time(first + i)
				}
				return batch
			}
			for n := 1; n <= last; n += step {
				_, err := log.Append(timed(n, n+step-1))
				require.NoError(t, err)
				receipts, err := log.Append(timed(max(1, n-step), n+step-1))
				require.NoError(t, err)
				require.Equal(t, again(max(1, n-step), n+step-1), receipts)
			}
			receipts, err := log.Append(timed(1, last))
			require.NoError(t, err)
			assert.Equal(t, again(1, last), receipts)
		})
	}
}

// An ID goes with its message: from memory, from those that are being written,
// and from ids; whether it was pruned or deleted by somebody's shell.
func TestIDsArePruned(t *testing.T) {
	deletions := map[string]func(t *testing.T, log *sqlite.Store, through int){
		"pruned": func(t *testing.T, log *sqlite.Store, through int) {
			for done := false; !done; {
				step, err := log.Prune(retention.Cut{Messages: int64(through), Now: time.Now()})
				require.NoError(t, err)
				done = step.Done
			}
		},
		"shell": func(t *testing.T, log *sqlite.Store, through int) {
			shell(t, log, fmt.Sprint("DELETE FROM messages WHERE seq <= ", through))
		},
	}
	for name, remove := range deletions {
		for _, through := range []int{3, 200, sqlite.IndexIDs - 1, sqlite.IndexIDs, sqlite.IndexIDs + 5, sqlite.IndexIDs + 20} {
			t.Run(fmt.Sprintf("%s through %d", name, through), func(t *testing.T) {
				t.Parallel()
				path := newPath(t)
				log := open(t, path)
				store(t, log, 1, sqlite.IndexIDs+5)
				stored := sqlite.IndexIDs + 20 // with which the first 60 are written
				store(t, log, sqlite.IndexIDs+6, stored)
				remove(t, log, through)

				next := stored + 1
				for _, n := range []int{2, through} {
					want := app.Receipt{Seq: int64(next), ID: message(n).ID}
					assert.Equal(t, want, store(t, log, n, n)[0], "it is new")
					want.Duplicate = true
					assert.Equal(t, want, store(t, log, n, n)[0], "and found again")
					next++
				}
				for first := 10_000; first < 10_000+10*sqlite.IndexIDs; first += sqlite.IndexIDs {
					store(t, log, first, first+sqlite.IndexIDs-1)
				}
				for i, n := range []int{2, through} {
					want := app.Receipt{Seq: int64(stored + 1 + i), ID: message(n).ID, Duplicate: true}
					assert.Equal(t, want, store(t, log, n, n)[0], "nor is it forgotten")
				}
				assert.Equal(t, through+1, query[int](t, log, "SELECT min(seq) FROM messages"))
				if name == "pruned" {
					assert.Zero(t, query[int](t, log, `SELECT count(*) FROM ids LEFT JOIN messages
						USING (seq, client_created, id) WHERE messages.id IS NULL`), "nothing is left behind")
				}
			})
		}
	}
}

// IDs are written in the table's order: in an old store, where each stands on a page
// of its own, a commit writes a few of its pages, and not one for each.
func TestIDsAreWrittenInOrder(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	random := rand.New(rand.NewPCG(1, 2))
	n := 0
	storeAny := func(size int) {
		batch := messages(n+1, n+size)
		for i := range batch {
			batch[i].ClientCreated = random.Int64()
		}
		_, err := log.Append(batch)
		require.NoError(t, err)
		n += size
	}
	for n < 10*sqlite.IndexIDs {
		storeAny(sqlite.IndexIDs)
	}
	pages := func() int64 {
		info, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		return info.Size() / pageSize
	}
	before, indexed := pages(), query[int](t, log, "SELECT count(*) FROM ids")
	const commits = 20
	for range commits {
		storeAny(1)
	}
	assert.Greater(t, query[int](t, log, "SELECT count(*) FROM ids"), indexed+commits*20)
	assert.Less(t, pages()-before, int64(commits*12))
}

// A batch that was not stored leaves nothing in memory, whether its IDs would
// have been written or not.
func TestIDsOfFailedBatch(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 100)
	pages := query[int](t, log, "PRAGMA page_count")
	for _, size := range []int{100, 3 * sqlite.IndexIDs} {
		query[int](t, log, fmt.Sprint("PRAGMA max_page_count = ", pages))
		_, err := log.Append(messages(51, 50+size))
		require.ErrorIs(t, err, app.ErrDiskFull)
	}
	query[int](t, log, "PRAGMA max_page_count = 1000000")
	receipts := store(t, log, 51, 150)
	assert.Equal(t, again(51, 100), receipts[:50])
	assert.Equal(t, app.Receipt{Seq: 101, ID: message(101).ID}, receipts[50])
	assert.Equal(t, entries(1, 150), readAll(t, log))
}

// A batch that fails while it is looked at what is forgotten next makes nothing be
// forgotten that was not.
func TestFailedLookAtIDs(t *testing.T) {
	log := open(t, newPath(t))
	log.SortAt(100)
	log.ForgetAt(300)
	batch := func(first int) []app.Message {
		batch := messages(first, first+99)
		for i := range batch {
			batch[i].ClientCreated = int64(first + i)
		}
		return batch
	}
	first := 1
	append := func() error {
		_, err := log.Append(batch(first))
		if err == nil {
			first += 100
		}
		return err
	}
	for log.InMemory() != 100 || first == 101 {
		require.NoError(t, append())
	}
	shell(t, log, `CREATE TEMP VIEW ids AS SELECT abs(-9223372036854775807 - 1) AS client_created, 0 AS id, 0 AS seq;
		CREATE TEMP TRIGGER none INSTEAD OF INSERT ON ids BEGIN SELECT 1; END`)
	var err error
	for err == nil {
		err = append()
	}
	require.ErrorContains(t, err, "indexing messages: integer overflow")
	require.NotErrorIs(t, err, app.ErrStoreFailed)
	shell(t, log, "DROP VIEW temp.ids")
	receipts, err := log.Append(batch(1))
	require.NoError(t, err)
	assert.Equal(t, again(1, 100), receipts)
}

// What memory holds of the IDs is bounded, also where most messages are pruned
// before their IDs are written.
func TestIDsInMemoryAreBounded(t *testing.T) {
	for _, keep := range []int{0, 150, 1_000_000} {
		log := open(t, newPath(t))
		log.SortAt(100)
		log.ForgetAt(300)
		for last := 15; last < 1800; last += 15 {
			store(t, log, last-14, last)
			require.Less(t, log.InMemory(), 300+2*100+15)
			if last > keep {
				pruneSteps(t, log, retention.Cut{Messages: int64(last - keep), Now: time.Now()})
			}
			if last%500 == 0 { // some are written, the others pruned
				pruneSteps(t, log, retention.Cut{Messages: int64(last), Now: time.Now()})
				require.Zero(t, log.InMemory())
			}
		}
		for through := int64(1770); through <= 1785; through++ {
			pruneSteps(t, log, retention.Cut{Messages: through, Now: time.Now()})
		}
		require.Zero(t, log.InMemory())
	}
}

// A seq that is taken is not given again: then the store is damaged, and nothing
// more is stored.
func TestConflictIsDamage(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 600)
	shell(t, log, "UPDATE messages SET seq = 601 WHERE seq = 600")
	_, err := log.Append(messages(601, 1100))
	require.ErrorIs(t, err, app.ErrStoreFailed)
	assert.ErrorContains(t, err, "run windsock check")
	_, err = log.Append(messages(1101, 1101))
	require.ErrorIs(t, err, app.ErrStoreFailed)
	assert.Len(t, readAll(t, log), 600)
}

// IDs that were put in order are all written before others are.
func TestManyIDsWait(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	log.SortAt(2000)
	store(t, log, 1, 1999)
	store(t, log, 2000, 2000)
	log.SortAt(5)
	for n := 2001; n <= 2050; n++ {
		store(t, log, n, n)
	}
	assert.Equal(t, 50*32, query[int](t, log, "SELECT count(*) FROM ids"))
	for n := 2051; n <= 2070; n++ {
		store(t, log, n, n)
	}
	require.NoError(t, log.Close())
	log = open(t, path)
	assert.Equal(t, again(1, 2070), store(t, log, 1, 2070))
}

// A seq that somebody's shell made free is not given again either, nor after a new
// start as far as messages are indexed.
func TestSeqOfDeletedIsNotUsed(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	store(t, log, 1, 10)
	shell(t, log, "DELETE FROM messages WHERE seq > 7")
	assert.Equal(t, int64(11), store(t, log, 11, 12)[0].Seq)
	shell(t, log, "DELETE FROM messages")
	receipts := store(t, log, 13, 14)
	assert.Equal(t, int64(13), receipts[0].Seq)
	assert.Equal(t, int64(14), receipts[1].Seq)

	log.SortAt(4)
	store(t, log, 15, 20)
	store(t, log, 21, 21) // with which the others are written
	shell(t, log, "DELETE FROM messages")
	require.NoError(t, log.Close())
	log = open(t, path)
	assert.Equal(t, int64(21), store(t, log, 22, 22)[0].Seq)
}
