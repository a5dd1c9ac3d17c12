package sqlite_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

func TestAppend(t *testing.T) {
	log := open(t, newPath(t))
	receipts, err := log.Append(nil)
	require.NoError(t, err)
	assert.Empty(t, receipts)
	for i, r := range append(store(t, log, 1, 1), store(t, log, 2, 50)...) {
		assert.Equal(t, app.Receipt{Seq: int64(i + 1), ID: message(i + 1).ID}, r)
	}
	assert.Equal(t, entries(1, 50), readAll(t, log))
}

func TestAppendDuplicates(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	store(t, log, 1, 3)
	again := func(n int, seq int64) app.Receipt {
		return app.Receipt{Seq: seq, ID: message(n).ID, Duplicate: true}
	}
	first := func(n int, seq int64) app.Receipt {
		return app.Receipt{Seq: seq, ID: message(n).ID}
	}
	retry := message(2) // what a retry changes
	retry.ClientUploaded++
	retry.TimeUploaded++
	retry.Address = message(7).Address

	batch := []app.Message{message(4), retry, message(5), message(4), message(4), message(6)}
	want := []app.Receipt{first(4, 4), again(2, 2), first(5, 5), again(4, 4), again(4, 4), first(6, 6)}
	receipts, err := log.Append(batch)
	require.NoError(t, err)
	assert.Equal(t, want, receipts, "and duplicates use up no seq")

	require.NoError(t, log.Close())
	log = open(t, path)
	receipts, err = log.Append([]app.Message{message(6), message(1)})
	require.NoError(t, err)
	assert.Equal(t, []app.Receipt{again(6, 6), again(1, 1)}, receipts)
	assert.Equal(t, entries(1, 6), readAll(t, log), "as they came first")
}

func TestSeqIsNeverReused(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	store(t, log, 1, 5)
	shell(t, log, "DELETE FROM messages; INSERT INTO meta VALUES ('pruned', '5')") // as pruning does
	require.NoError(t, log.Close())

	log = open(t, path)
	page, err := log.Read(t.Context(), app.Query{After: 5, Limit: 10})
	require.NoError(t, err)
	assert.Equal(t, app.Page{Log: log.Name(), Oldest: 6, Next: 5}, page)
	receipts := store(t, log, 1, 1)
	assert.Equal(t, app.Receipt{Seq: 6, ID: message(1).ID}, receipts[0], "its id went with it")
}

// A full disk costs the batch that met it, and nothing else.
func TestAppendDiskFull(t *testing.T) {
	log := open(t, newPath(t))
	store(t, log, 1, 100)
	pages := query[int](t, log, "PRAGMA page_count")
	query[int](t, log, fmt.Sprintf("PRAGMA max_page_count = %d", pages+2))

	_, err := log.Append(messages(101, 500))
	require.ErrorIs(t, err, app.ErrDiskFull)
	require.NotErrorIs(t, err, app.ErrStoreFailed)
	assert.ErrorContains(t, err, "inserting a message")
	assert.Equal(t, entries(1, 100), readAll(t, log))

	assert.Equal(t, int64(101), store(t, log, 101, 101)[0].Seq, "one still fits")
	query[int](t, log, "PRAGMA max_page_count = 1000000")
	store(t, log, 102, 500)
	assert.Equal(t, entries(1, 500), readAll(t, log))
}

// Once writing has failed in a way that leaves doubt, nothing more is stored,
// not even when it would work again.
func TestAppendFails(t *testing.T) {
	path := newPath(t)
	out := run(t, "file size limit", path)
	assert.Equal(t, "small: <nil>\nlarge: failed\nlater: failed\nread: 1\n", out)

	log := open(t, path)
	assert.Equal(t, entries(1, 1), readAll(t, log))
	store(t, log, 2, 2)
}

func TestAppendLarge(t *testing.T) {
	log := open(t, newPath(t))
	m := message(1)
	m.Data = append(append([]byte(`{"name":"`), bytes.Repeat([]byte("x"), 2<<20)...), `"}`...)
	_, err := log.Append([]app.Message{m})
	require.NoError(t, err)
	assert.Equal(t, m, readAll(t, log)[0].Message)
}

// Data may be of any size, after whatever other: it is where the last one's was,
// or where there is more room.
func TestAppendSizes(t *testing.T) {
	log := open(t, newPath(t))
	var batch []app.Message
	for i, size := range []int{0, 1, 1 << 16, 1<<16 - 200, 1<<16 - 100, 0, 1<<16 + 1, 5, 2 << 20, 1 << 20, 3 << 20, 0, 1} {
		m := message(i + 1)
		m.Data = bytes.Repeat([]byte{'a' + byte(i)}, size)
		batch = append(batch, m)
	}
	batch[4].Callsign, batch[4].Type = "", ""
	_, err := log.Append(batch)
	require.NoError(t, err)
	for i, data := range stored[string](t, log, "SELECT data FROM messages ORDER BY seq") {
		assert.True(t, string(batch[i].Data) == data, "%d: %d bytes", i, len(batch[i].Data))
	}
	assert.Equal(t, 3, query[int](t, log, "SELECT count(*) FROM messages WHERE data = ''"), "which is not NULL")
	assert.Equal(t, "", query[string](t, log, "SELECT callsign || type FROM messages WHERE seq = 5"))
}

// stored reads a column.
func stored[T any](t *testing.T, log *sqlite.Store, text string) (all []T) {
	t.Helper()
	rows, err := log.Readers().QueryContext(t.Context(), text)
	require.NoError(t, err)
	defer rows.Close() // what it would say, Err has said
	for rows.Next() {
		var value T
		require.NoError(t, rows.Scan(&value))
		all = append(all, value)
	}
	require.NoError(t, rows.Err())
	return all
}

func TestMeaning(t *testing.T) {
	for code, want := range map[int]error{
		sqlite3.SQLITE_FULL:              app.ErrDiskFull,
		sqlite3.SQLITE_IOERR_SHMSIZE:     app.ErrDiskFull,
		sqlite3.SQLITE_IOERR_FSYNC:       app.ErrStoreFailed,
		sqlite3.SQLITE_IOERR_DIR_FSYNC:   app.ErrStoreFailed,
		sqlite3.SQLITE_IOERR_WRITE:       app.ErrStoreFailed,
		sqlite3.SQLITE_IOERR_READ:        app.ErrStoreFailed,
		sqlite3.SQLITE_CORRUPT:           app.ErrStoreFailed,
		sqlite3.SQLITE_CORRUPT_INDEX:     app.ErrStoreFailed,
		sqlite3.SQLITE_NOTADB:            app.ErrStoreFailed,
		sqlite3.SQLITE_READONLY_DBMOVED:  app.ErrStoreFailed,
		sqlite3.SQLITE_BUSY:              nil,
		sqlite3.SQLITE_BUSY_RECOVERY:     nil,
		sqlite3.SQLITE_NOMEM:             nil,
		sqlite3.SQLITE_CONSTRAINT_UNIQUE: nil,
		0:                                nil,
	} {
		assert.Equal(t, want, sqlite.Meaning(code), code)
	}
}
