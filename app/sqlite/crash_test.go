package sqlite_test

import (
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/windsock-scgi/windsock/app/sqlite"
)

// copyFile does what a crash does to a file: what was written is there. It
// reads through a descriptor of its own and never closes it, since closing
// would take away SQLite's locks.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	require.NoError(t, err)
	kept.Store(f, nil)
	content, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, content, 0o600))
}

var kept sync.Map // of *os.File

func TestUncleanStop(t *testing.T) {
	path, copied := newPath(t), newPath(t)
	log := open(t, path)
	for n := 1; n <= 20; n++ {
		store(t, log, n, n)
	}
	copyFile(t, path, copied)
	copyFile(t, path+"-wal", copied+"-wal")
	before := folder(t, copied)

	read, err := sqlite.OpenReadOnly(copied)
	require.NoError(t, err)
	assert.Equal(t, entries(1, 20), readAll(t, read), "an export does not need a writer")
	require.NoError(t, read.Close())
	assert.Subset(t, folder(t, copied), before, "and changes nothing")

	again := open(t, copied)
	assert.Equal(t, log.Name(), again.Name())
	assert.Equal(t, entries(1, 20), readAll(t, again))
	assert.True(t, store(t, again, 20, 21)[0].Duplicate)
}

// A process that is killed in a checkpoint leaves a file whose first page knows
// of pages that are not there yet.
func TestUncleanStopInCheckpoint(t *testing.T) {
	path, copied := newPath(t), newPath(t)
	log := open(t, path)
	store(t, log, 1, 500)
	copyFile(t, path, copied)
	copyFile(t, path+"-wal", copied+"-wal")
	require.NoError(t, log.Close())
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := os.OpenFile(copied, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(after[:4096], 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	assert.Equal(t, entries(1, 500), readAll(t, open(t, copied)))
}

// Somebody else who holds a lock for a moment, as a checkpoint of his own does, is
// no error.
func TestBusyForAMoment(t *testing.T) {
	for n := 1; ; n++ {
		d := newDisk(t, nil)
		log := open(t, d.path)
		log.TrimAt(6)
		store(t, log, 1, 300)
		locked := d.calls["lock -shm"]
		d.fault = fault{"lock -shm", locked + n, notDone, sqlite3.SQLITE_BUSY}
		store(t, log, 301, 302)
		if d.calls["lock -shm"] < locked+n {
			assert.Greater(t, n, 4, "or nothing is tested here")
			break
		}
	}
}

// The write-ahead log is copied back now and then, and a reader who stays puts
// that off without stopping anything.
func TestTrimWAL(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	log.TrimAt(20)
	state := func() (pages, copied int) {
		var busy int
		require.NoError(t, log.Query("PRAGMA wal_checkpoint(NOOP)", &busy, &pages, &copied))
		return pages, copied
	}
	n := 0
	some := func(batches int) {
		for range batches {
			store(t, log, n+1, n+10)
			n += 10
		}
	}
	some(50)
	pages, _ := state()
	assert.Less(t, pages, 40, "it begins anew after each checkpoint")

	tx, err := log.Readers().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	var held int
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM messages").Scan(&held))
	some(50)
	pages, copied := state()
	assert.Greater(t, pages, 100)
	assert.Less(t, copied, 40)
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM messages").Scan(&held))
	assert.Equal(t, 500, held, "the reader's moment")
	require.NoError(t, tx.Rollback())

	some(10)
	pages, _ = state()
	assert.Less(t, pages, 100, "and catches up after it")
	assert.Equal(t, entries(1, n), readAll(t, log))
}

// The write-ahead log is bounded however many read: it starts over even when there is
// no moment without a reader.
func TestTrimWALWhileReading(t *testing.T) {
	log := open(t, newPath(t))
	log.TrimAt(100)
	log.WaitForReaders(time.Minute) // a busy machine may hold a reader up for long
	store(t, log, 1, 10)
	begin := func() (*sql.Tx, error) {
		tx, err := log.Readers().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return nil, err
		}
		var n int
		return tx, tx.QueryRow("SELECT max(seq) FROM messages").Scan(&n)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 { // with two connections each
		tx, err := begin()
		require.NoError(t, err)
		readers.Go(func() {
			for {
				select {
				case <-stop:
					assert.NoError(t, tx.Rollback())
					return
				default:
				}
				next, err := begin()
				if !assert.NoError(t, errors.Join(err, tx.Rollback())) {
					return
				}
				tx = next
			}
		})
	}
	most := 0
	for n := 11; n < 6000; n += 20 {
		store(t, log, n, n+19)
		var busy, pages, copied int
		require.NoError(t, log.Query("PRAGMA wal_checkpoint(NOOP)", &busy, &pages, &copied))
		most = max(most, pages)
	}
	close(stop)
	readers.Wait()
	assert.Less(t, most, 150+100, "a batch is less than a hundred pages")
}

// Whoever is killed while a store is made leaves no store, or a whole one.
func TestKilledWhileMaking(t *testing.T) {
	path := newPath(t)
	for _, suffix := range []string{".unfinished", ".unfinished-wal", ".unfinished-shm", ".unfinished-journal"} {
		require.NoError(t, os.WriteFile(path+suffix, []byte("half of it"), 0o600))
	}
	_, err := sqlite.OpenReadOnly(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path+".new", []byte("a copy that waits for its place"), 0o600))
	store(t, open(t, path), 1, 1)
	assert.FileExists(t, path+".new")
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.unfinished*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
