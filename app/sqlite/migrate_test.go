package sqlite_test

import (
	"database/sql"
	_ "embed"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

//go:embed testdata/schema-1.sql
var schema1 string

// makeVersion1 makes a store as it was made at schema version 1, with messages
// 1 to n, of which the second has a key.
func makeVersion1(t *testing.T, path string, n int) {
	t.Helper()
	makeVersion1Of(t, path, messages(1, n))
}

func makeVersion1Of(t *testing.T, path string, all []app.Message) {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "_journal_mode=WAL"}).String())
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	exec := func(text string, args ...any) {
		_, err := db.Exec(text, args...)
		require.NoError(t, err, text)
	}
	exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = 0x7773636b; PRAGMA user_version = 1;" + schema1)
	exec("INSERT INTO meta VALUES ('name', '0123456789abcdef')")
	exec("BEGIN")
	for _, m := range all {
		var address any
		if m.Address.IsValid() {
			address = m.Address.String()
		}
		exec(`INSERT INTO messages (client_created, id, type, callsign, client_uploaded, time_created, time_uploaded,
			received, address, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			m.ClientCreated, m.ID[:], string(m.Type), m.Callsign, m.ClientUploaded, m.TimeCreated, m.TimeUploaded,
			m.Received.UnixMicro(), address, string(m.Data))
	}
	exec("COMMIT")
	if len(all) >= 2 {
		exec("INSERT INTO keys VALUES (?, ?, 2)", all[1].Callsign, []byte("a"))
	}
	require.NoError(t, db.Close())
}

func TestMigrate(t *testing.T) {
	path := newPath(t)
	makeVersion1(t, path, 3000)
	_, err := sqlite.OpenReadOnly(path)
	require.ErrorContains(t, err, "open it for writing once (windsock serve)")

	log := open(t, path)
	assert.Equal(t, "0123456789abcdef", log.Name())
	assert.Equal(t, entries(1, 3000), readAll(t, log))
	assert.Equal(t, sqlite.SchemaVersion, query[int](t, log, "PRAGMA user_version"))
	assert.Equal(t, 3000, query[int](t, log, "SELECT count(*) FROM ids JOIN messages USING (seq, client_created, id)"))
	assert.Equal(t, again(1, 3000), store(t, log, 1, 3000))
	receipts, err := log.Append([]app.Message{keyed(2, "a"), keyed(4, "a"), message(3001)})
	require.NoError(t, err)
	assert.Equal(t, []app.Receipt{again(2, 2)[0], {ID: message(4).ID, KeyReused: true}, {Seq: 3001, ID: message(3001).ID}}, receipts)
	shell(t, log, "DELETE FROM messages WHERE seq = 2")
	assert.Zero(t, query[int](t, log, "SELECT count(*) FROM keys"))
	assert.Equal(t, 2999, query[int](t, log, "SELECT count(*) FROM ids"))
	assert.Equal(t, "ok", query[string](t, log, "PRAGMA integrity_check"))

	require.NoError(t, log.Close())
	log = open(t, path)
	assert.Equal(t, int64(3002), store(t, log, 3002, 3002)[0].Seq)
	tables := `SELECT group_concat(replace(sql, '"', ''), ';') FROM
		(SELECT sql FROM sqlite_master WHERE name <> 'sqlite_sequence' ORDER BY name)`
	assert.Equal(t, query[string](t, open(t, newPath(t)), tables), query[string](t, log, tables), "as a new one")
}

// What was used stays used, and an empty store is one too.
func TestMigratePruned(t *testing.T) {
	for n, want := range map[int]int64{0: 1, 5: 6} {
		path := newPath(t)
		makeVersion1(t, path, n)
		db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String())
		require.NoError(t, err)
		_, err = db.Exec("DELETE FROM messages WHERE seq > 2")
		require.NoError(t, err)
		require.NoError(t, db.Close())
		log := open(t, path)
		assert.Equal(t, min(n, 2), len(readAll(t, log)))
		assert.Equal(t, want, store(t, log, 7, 7)[0].Seq, fmt.Sprint(n))
	}
}
