package sqlite_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/app/sqlite/sqlitetest"
)

// TestFaultTable lets each call that a store makes of its disk fail in each way,
// wherever it comes: while the store is opened, a transaction begins, messages
// and keys are inserted and found, IDs are written behind, while a batch is
// committed and the write-ahead log is copied back. Whatever that does, what was acknowledged is
// stored, what is stored was sent, nothing is there twice, and all is in order:
// as the process leaves it, after a power cut then, and once the store was
// opened anew and took everything again.
func TestFaultTable(t *testing.T) {
	const (
		full  = sqlite3.SQLITE_FULL
		busy  = sqlite3.SQLITE_BUSY
		ioerr = sqlite3.SQLITE_IOERR
	)
	reported := []outcome{notDone, doneToo}
	partly := []outcome{notDone, halfDone, doneToo}
	crashed := []outcome{killed, powerLost}
	rows := []struct {
		call     string
		code     int32
		outcomes []outcome
	}{
		{"open -wal", sqlite3.SQLITE_CANTOPEN, reported},
		{"read ", sqlite3.SQLITE_IOERR_READ, reported},
		{"read -wal", sqlite3.SQLITE_IOERR_READ, reported},
		{"map -shm", sqlite3.SQLITE_IOERR_SHMSIZE, reported},
		{"map -shm", sqlite3.SQLITE_IOERR_SHMMAP, reported},
		{"lock -shm", busy, []outcome{notDone}},
		{"lock -shm", sqlite3.SQLITE_IOERR_SHMLOCK, reported},
		{"lock -shm", ioerr, crashed},
		{"write -wal", sqlite3.SQLITE_IOERR_WRITE, partly},
		{"write -wal", full, partly},
		{"write -wal", ioerr, crashed},
		{"sync -wal", sqlite3.SQLITE_IOERR_FSYNC, partly},
		{"sync -wal", ioerr, crashed},
		{"write ", sqlite3.SQLITE_IOERR_WRITE, partly},
		{"write ", full, partly},
		{"write ", ioerr, crashed},
		{"sync ", sqlite3.SQLITE_IOERR_FSYNC, partly},
		{"sync ", ioerr, crashed},
		{"truncate ", sqlite3.SQLITE_IOERR_TRUNCATE, reported},
		{"truncate ", ioerr, crashed},
		{"delete -wal", sqlite3.SQLITE_IOERR_DELETE, reported},
		{"delete -wal", ioerr, crashed},
	}
	template := faultTemplate(t)
	calls := countCalls(t, template)
	t.Log("calls:", calls)
	steps := map[string]bool{} // of append that have failed
	for _, row := range rows {
		for _, outcome := range row.outcomes {
			name := fmt.Sprintf("%s, %d, %s", row.call, row.code, outcome)
			t.Run(name, func(t *testing.T) {
				require.Positive(t, calls[row.call], "or nothing is tested here")
				for _, n := range spread(calls[row.call]) {
					for _, step := range runFault(t, template, fault{row.call, n, outcome, row.code}) {
						steps[step] = true
					}
				}
			})
		}
	}
	for _, step := range []string{"inserting a message", "committing", "copying the write-ahead log back"} {
		assert.Contains(t, steps, step)
	}
	if *every {
		assert.Contains(t, steps, "beginning a transaction")
	}
}

var every = flag.Bool("every", false, "let TestFaultTable try every call, not some of each kind, and TestModel more seeds")

// spread is which of n calls fail: all of few, such as the syncs, and of many the
// first, the last and some between them.
func spread(n int) (calls []int) {
	const few, some = 12, 4
	stride := max(1, (n+some-2)/(some-1))
	if n <= few || *every {
		stride = 1
	}
	for call := 1; call < n; call += stride {
		calls = append(calls, call)
	}
	return append(calls, n)
}

// countCalls is how many calls of each kind there are when none fails.
func countCalls(t *testing.T, template []byte) map[string]int {
	t.Helper()
	d := newDisk(t, map[string][]byte{"": slices.Clone(template)})
	known := tally{map[string]app.Message{}, map[string]int64{}}
	log, failed := known.send(t, d, "no fault")
	require.Empty(t, failed)
	require.NoError(t, log.Close())
	return d.calls
}

// faultTemplate is a store that was closed, with messages in it.
func faultTemplate(t *testing.T) []byte {
	t.Helper()
	path := newPath(t)
	log := open(t, path)
	for n := 1; n <= templateMessages; n += 2 {
		_, err := log.Append([]app.Message{message(n), keyed(n+1, fmt.Sprint("key ", n+1))})
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	template, err := os.ReadFile(path)
	require.NoError(t, err)
	return template
}

// What is sent beside the template's messages.
const (
	templateMessages = 60
	faultBatches     = 6
	newInBatch       = 3
)

// faultBatchAt is the i-th batch: new messages with keys and without, retries
// of old and of new ones, by key too, and a key that stands for another message.
func faultBatchAt(i int) []app.Message {
	n, old := 100+10*i, 2*i+2
	key := func(n int) string { return fmt.Sprint("key ", n) }
	return []app.Message{
		message(n), keyed(n+1, key(n+1)), message(old + 1), message(n), keyed(n+1, key(n+1)),
		keyed(old, key(old)), keyed(n+2, key(old)), message(n + 3),
	}
}

// reusesKey is where a key stands for another message.
const reusesKey = 6

// tally is what is known of a store by what was sent and what was answered.
type tally struct {
	sent         map[string]app.Message // by id, in hex
	acknowledged map[string]int64
}

func hexID(m *app.Message) string { return hex.EncodeToString(m.ID[:]) }

// runFault sends all to a store that meets one fault, and again to what is left
// of it. It returns the steps of append that failed.
func runFault(t *testing.T, template []byte, f fault) (steps []string) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(f.n), uint64(f.code)))
	known := tally{map[string]app.Message{}, map[string]int64{}}
	for n := 1; n <= templateMessages; n++ {
		m := message(n)
		known.sent[hexID(&m)], known.acknowledged[hexID(&m)] = m, int64(n)
	}
	d := newDisk(t, map[string][]byte{"": slices.Clone(template)})
	d.fault = f
	log, steps := known.send(t, d, f.String())
	known.check(t, d.afterPowerCut(t, random), f.String()+", then the power went")
	next := d.afterPowerCut(t, random)
	if f.outcome != powerLost {
		next = d.afterKill(t)
		known.check(t, next, f.String()+", then the process was killed")
	}
	closeLog(log)
	if !d.dead {
		known.check(t, d.afterPowerCut(t, random), f.String()+", then it was closed")
	}

	// The next process meets no fault.
	again := f.String() + ", opened again"
	log, failed := known.send(t, next, again)
	require.Empty(t, failed, again)
	require.Equal(t, templateMessages+faultBatches*newInBatch, len(known.acknowledged), again)
	known.check(t, next.afterPowerCut(t, random), again+", then the power went")
	require.NoError(t, log.Close())
	return steps
}

// closeLog closes what was opened, which may fail: the disk may be dead.
func closeLog(log *sqlite.Store) {
	if log != nil {
		_ = log.Close()
	}
}

// send opens the store and appends all batches, whatever happens to them. It
// returns the steps that failed. Once a sync has, or the log says so by itself,
// nothing more may be acknowledged.
func (known *tally) send(t *testing.T, d *disk, what string) (log *sqlite.Store, failed []string) {
	t.Helper()
	log, err := sqlite.Open(d.path)
	if err != nil {
		return nil, []string{"opening"}
	}
	d.opened(t)
	log.TrimAt(6)
	log.SortAt(5)
	dead := false
	for i := range faultBatches {
		batch := faultBatchAt(i)
		for i := range batch {
			known.sent[hexID(&batch[i])] = batch[i]
		}
		receipts, err := log.Append(batch)
		if err != nil {
			failed = append(failed, failedStep(err))
			dead = dead || errors.Is(err, app.ErrStoreFailed)
			continue
		}
		require.False(t, dead || d.lossy, "%s: acknowledged after the log had failed", what)
		known.acknowledge(t, batch, receipts, what)
	}
	return log, failed
}

// acknowledge takes down receipts, which must say what earlier ones said.
func (known *tally) acknowledge(t *testing.T, batch []app.Message, receipts []app.Receipt, what string) {
	t.Helper()
	for i, r := range receipts {
		id := hexID(&batch[i])
		require.Equal(t, batch[i].ID, r.ID, what)
		if r.KeyReused {
			require.Equal(t, reusesKey, i, what)
			continue
		}
		seq, ok := known.acknowledged[id]
		if ok {
			require.Equal(t, app.Receipt{Seq: seq, ID: r.ID, Duplicate: true}, r, what)
		}
		known.acknowledged[id] = r.Seq
	}
}

// failedStep is what an error of Append's says that it was doing.
func failedStep(err error) string {
	text := strings.TrimPrefix(err.Error(), "sqlite: ")
	step, _, _ := strings.Cut(text, ":")
	return step
}

// check reads a store behind the product's back.
func (known *tally) check(t *testing.T, d *disk, what string) {
	t.Helper()
	rows, err := sqlitetest.Read(d.path)
	require.NoError(t, err, what)
	seqs := map[string]int64{}
	for _, row := range rows {
		seqs[row.ID] = row.Seq
		m, ok := known.sent[row.ID]
		require.True(t, ok, "%s: %+v was never sent", what, row)
		require.Equal(t, sqlitetest.Row{Seq: row.Seq, ID: row.ID, Callsign: m.Callsign, Type: string(m.Type),
			ClientCreated: m.ClientCreated, Data: string(m.Data)}, row, what)
	}
	for id, seq := range known.acknowledged {
		require.Equal(t, seq, seqs[id], "%s: acknowledged and not stored", what)
	}
}
