package sqlite_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/commit"
)

// BenchmarkInsert stores messages through the Committer, as the server does,
// from so many writers who each wait for one answer before the next message;
// p50-ms and so on is how long.
//
// Beside the store stand what bounds it from both sides on the same disk: a
// file that is appended to and synced, a batch at a time (plain-append), and
// the store without the batches (sqlite-transaction-each).
//
// They are measured as they are in the long run: each was filled before until
// the store's write-ahead log had grown to its size, since writing over what is
// there costs less than making a file longer.
func BenchmarkInsert(b *testing.B) {
	stores := []struct {
		name     string
		open     func(testing.TB) benchLog
		maxBatch int
	}{
		{"sqlite", openStore, 0},
		{"plain-append", openPlain, 0},
		{"sqlite-transaction-each", openStore, 1},
	}
	for _, s := range stores {
		b.Run(s.name, func(b *testing.B) {
			log := filled(b, s.open(b))
			for _, writers := range []int{1, 64, 1024} {
				b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
					log.insert(b, s.maxBatch, writers)
				})
			}
			require.Equal(b, log.n, log.stored(b))
		})
	}
}

// benchLog is a log that knows how much it holds.
type benchLog interface {
	app.Store
	stored(testing.TB) int
}

// filledLog is a log and how many messages were given to it.
type filledLog struct {
	benchLog
	n int
}

// filled returns a log that has come to its size.
func filled(b *testing.B, log benchLog) *filledLog {
	const messages, batch = 300_000, 1000 // 36,000 pages of write-ahead log, which begins anew at 20,000
	f := &filledLog{benchLog: log}
	for f.n < messages {
		all := make([]app.Message, batch)
		for i := range all {
			f.n++
			all[i] = benchMessage(int64(f.n))
		}
		_, err := log.Append(all)
		require.NoError(b, err)
	}
	return f
}

func (f *filledLog) insert(b *testing.B, maxBatch, writers int) {
	c := commit.Committer{Log: f, MaxBatch: maxBatch}
	var n atomic.Int64
	var wg sync.WaitGroup
	waited := make([]time.Duration, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime(b)
	for range writers {
		wg.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				m, start := benchMessage(int64(f.n)+i), time.Now()
				if _, err := c.Commit(context.Background(), m); err != nil {
					b.Error(err)
					return
				}
				waited[i-1] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	cpu = cpuTime(b) - cpu

	f.n += b.N
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(b.N), "cpu-us/message")
	b.ReportMetric(float64(b.N)/float64(c.Stats().Commits), "messages/batch")
	slices.Sort(waited)
	for name, part := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99, "p99.9-ms": 0.999} {
		b.ReportMetric(float64(waited[int(part*float64(b.N))].Nanoseconds())/1e6, name)
	}
}

// benchMessage returns the i-th of messages that come in at 2,000 a second.
func benchMessage(i int64) app.Message {
	m := app.Message{
		Callsign:       "G8XYZ",
		Type:           app.ReceivedTelem,
		TimeCreated:    1_301_774_389 + i/2000,
		TimeUploaded:   1_301_774_390 + i/2000,
		ClientCreated:  1_301_774_389 + i/2000,
		ClientUploaded: 1_301_774_390 + i/2000,
		Received:       time.UnixMicro(1_301_774_390_000_000 + i*500),
		Address:        netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}),
		Data: []byte(`{"frequency":434650000,"string":"` +
			`JCRLSVRFNyw0MiwwOToxNTozMCw1Mi4yMDgxNCwwLjA5MTIwLDE4NzMsNC4yLDE4LjUqQjVEQw=="}`),
	}
	// Ids are as good as random. A multiplication by an odd number mixes enough.
	binary.BigEndian.PutUint64(m.ID[:8], uint64(i)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(m.ID[8:], uint64(i))
	return m
}

// cpuTime returns what the process has used so far.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sqliteLog is the store that is measured.
type sqliteLog struct{ app.Store }

func openStore(tb testing.TB) benchLog {
	return sqliteLog{open(tb, filepath.Join(tb.TempDir(), "bench.db"))}
}

func (l sqliteLog) stored(tb testing.TB) (n int) {
	q := app.Query{Limit: 1000}
	for {
		page, err := l.Read(tb.Context(), q)
		require.NoError(tb, err)
		if page.Next == q.After {
			return n
		}
		n += len(page.Entries)
		q.After = page.Next
	}
}

// plainLog appends records to a file and syncs it once a batch: the least that
// a durable log can do. It finds no duplicates and nothing can be read from it.
type plainLog struct {
	app.Store // for Read, which is not called
	f         *os.File
	n         int
	buf       []byte
}

func openPlain(tb testing.TB) benchLog {
	f, err := os.Create(filepath.Join(tb.TempDir(), "plain.log"))
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, f.Close()) })
	return &plainLog{f: f}
}

func (l *plainLog) Append(batch []app.Message) ([]app.Receipt, error) {
	receipts := make([]app.Receipt, len(batch))
	l.buf = l.buf[:0]
	for i := range batch {
		l.n++
		l.buf = appendRecord(l.buf, &batch[i])
		receipts[i] = app.Receipt{Seq: int64(l.n), ID: batch[i].ID}
	}
	if _, err := l.f.Write(l.buf); err != nil {
		return nil, err
	}
	return receipts, syscall.Fdatasync(int(l.f.Fd()))
}

// appendRecord writes a length, all of the message and a checksum.
func appendRecord(to []byte, m *app.Message) []byte {
	start := len(to)
	to = binary.BigEndian.AppendUint32(to, 0)
	to = append(to, m.ID[:]...)
	for _, n := range []int64{m.TimeCreated, m.TimeUploaded, m.ClientCreated, m.ClientUploaded, m.Received.UnixMicro()} {
		to = binary.BigEndian.AppendUint64(to, uint64(n))
	}
	for _, s := range []string{m.Callsign, string(m.Type), m.Address.String(), string(m.Data)} {
		to = binary.BigEndian.AppendUint32(to, uint32(len(s)))
		to = append(to, s...)
	}
	binary.BigEndian.PutUint32(to[start:], uint32(len(to)-start))
	return binary.BigEndian.AppendUint32(to, crc32.ChecksumIEEE(to[start:]))
}

// stored counts the records of the file whose checksums are right.
func (l *plainLog) stored(tb testing.TB) (n int) {
	content, err := os.ReadFile(l.f.Name())
	require.NoError(tb, err)
	for len(content) > 4 {
		end := binary.BigEndian.Uint32(content)
		require.Equal(tb, binary.BigEndian.Uint32(content[end:]), crc32.ChecksumIEEE(content[:end]))
		content = content[end+4:]
		n++
	}
	return n
}
