package sqlite_test

import (
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// What a large store holds, and a small one.
var large = flag.Int("messages", 200_000, "how many messages the large store of BenchmarkGrowth holds")

const small = 5_000

// BenchmarkGrowth does the same to a small and to a large store in turn and
// gives the median of the CPU time that each takes, and as large/small how much
// more it is for the large one. It must hardly be more, whatever -messages is.
func BenchmarkGrowth(b *testing.B) {
	stores := [2]grownStore{makeStore(b, small), makeStore(b, *large)}
	for _, m := range []struct {
		name, unit string
		units      int
		do         func(grownStore, *testing.B) time.Duration
	}{
		{"insertion", "message", 100 * 32, grownStore.insert},
		{"paging", "page", 20, grownStore.page},
		{"opening", "opening", 1, grownStore.open},
	} {
		b.Run(m.name, func(b *testing.B) {
			var took [2][]time.Duration
			for b.Loop() {
				for i, s := range stores {
					took[i] = append(took[i], m.do(s, b))
				}
			}
			var us [2]float64
			for i, each := range took {
				slices.Sort(each)
				us[i] = float64(each[len(each)/2].Nanoseconds()) / 1e3 / float64(m.units)
			}
			b.ReportMetric(us[0], "small-cpu-us/"+m.unit)
			b.ReportMetric(us[1], "large-cpu-us/"+m.unit)
			b.ReportMetric(us[1]/us[0], "large/small")
		})
	}
}

// grownStore is a file with a store of so many messages, closed.
type grownStore struct {
	path string
	n    int
}

// makeStore fills a store in large batches, the last of which has IDs that are
// read again when it is opened.
func makeStore(b *testing.B, n int) grownStore {
	s := grownStore{filepath.Join(b.TempDir(), "grown.db"), n}
	log, err := sqlite.Open(s.path)
	require.NoError(b, err)
	for i := 0; i < n; {
		size := min(10_000, n-i)
		if size > sqlite.IndexIDs/2 && i+size == n {
			size -= sqlite.IndexIDs / 2
		}
		s.append(b, log, i, size)
		i += size
	}
	require.NoError(b, log.Close())
	return s
}

// append stores messages from number first on.
func (s grownStore) append(b *testing.B, log *sqlite.Store, first, n int) {
	batch := make([]app.Message, n)
	for i := range batch {
		batch[i] = benchMessage(int64(first + i + 1))
	}
	receipts, err := log.Append(batch)
	require.NoError(b, err)
	require.Equal(b, app.Receipt{Seq: int64(first + n), ID: batch[n-1].ID}, receipts[n-1])
}

// insert stores 100 batches and folds them in, in a copy of the small store
// that thus stays small.
func (s grownStore) insert(b *testing.B) time.Duration {
	if s.n == small {
		s.path = copyStore(b, s.path)
		defer os.Remove(s.path) // or the folder takes it along
	}
	log, err := sqlite.Open(s.path)
	require.NoError(b, err)
	page, err := log.Read(b.Context(), app.Query{Last: true, Limit: 1})
	require.NoError(b, err)
	next := int(page.Next)
	s.append(b, log, next, 32) // what there is to read at first
	return spent(b, func() {
		for i := range 100 {
			s.append(b, log, next+32+i*32, 32)
		}
		require.NoError(b, log.Close())
	})
}

func copyStore(b *testing.B, path string) string {
	from, err := os.Open(path)
	require.NoError(b, err)
	defer from.Close() // it was only read, and nobody has the store open
	to, err := os.CreateTemp(b.TempDir(), "copy")
	require.NoError(b, err)
	_, err = io.Copy(to, from)
	require.NoError(b, err)
	require.NoError(b, to.Close())
	return to.Name()
}

// page reads 20 full pages from anywhere.
func (s grownStore) page(b *testing.B) time.Duration {
	log, err := sqlite.OpenReadOnly(s.path)
	require.NoError(b, err)
	defer log.Close() // nothing was written
	read := func() {
		after := rand.IntN(s.n - 1000)
		page, err := log.Read(b.Context(), app.Query{After: int64(after), Limit: 1000})
		require.NoError(b, err)
		require.Len(b, page.Entries, 1000)
		require.Equal(b, int64(after+1000), page.Next)
	}
	read()
	return spent(b, func() {
		for range 20 {
			read()
		}
	})
}

// open opens the store and closes it.
func (s grownStore) open(b *testing.B) time.Duration {
	return spent(b, func() {
		log, err := sqlite.Open(s.path)
		require.NoError(b, err)
		require.NoError(b, log.Close())
	})
}

// spent returns the CPU time that something takes.
func spent(b *testing.B, do func()) time.Duration {
	before := cpuTime(b)
	do()
	return cpuTime(b) - before
}
