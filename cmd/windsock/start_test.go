package main_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"
)

// This file is about SIGTERM within a start that takes long.

// A migration is given up: the exit code is that of a stop, and nothing is left but
// the store as it was. The next start brings it to its end.
func TestStopWithinMigration(t *testing.T) {
	const messages = 6_000 // 24 MB: more than a writer keeps in memory
	dir := folder(t)
	store := oldStore(t, dir, messages)
	p := launch(t, dir, exec.Command(binary(t, buildFlags...), "serve"))
	until(t, "the migration writes", func() bool { return fileSize(store+"-wal") > 1<<20 })
	assert.Zero(t, p.stop(), p.log)
	assert.Contains(t, p.log.String(), "stopping before the start is complete")
	assert.NotContains(t, p.log.String(), `"message":"serving"`)
	left, err := filepath.Glob(filepath.Join(dir, "data", "*"))
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{store, store + ".lock"}, left)

	again := serve(t, dir)
	assert.Zero(t, again.stop())
	_, err = os.Stat(filepath.Join(dir, "data", "windsock.sock"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.Greater(t, userVersion(t, store), 1)
}

// A call that cannot be interrupted, here the wait for somebody's lock on the store,
// does not keep a start from being given up.
func TestStopWithinStartOnLockedStore(t *testing.T) {
	dir := folder(t)
	assert.Zero(t, serve(t, dir).stop())
	store := filepath.Join(dir, "data", "windsock.db")
	require.NoError(t, os.Truncate(store+".lock", 0))
	release := lockStore(t, store)
	p := launch(t, dir, exec.Command(binary(t, buildFlags...), "serve"))
	until(t, "the store is being opened", func() bool { return fileSize(store+".lock") > 0 })
	assert.Zero(t, p.stop(), p.log)
	assert.Contains(t, p.log.String(), "stopping before the start is complete")
	release()
	assert.Zero(t, serve(t, dir).stop())
}

// lockStore keeps others from writing to a store until release is called.
func lockStore(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String())
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec("BEGIN IMMEDIATE")
	require.NoError(t, err)
	return func() { require.NoError(t, db.Close()) }
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, time.Minute, time.Millisecond, what)
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// oldStore makes a store of schema version 1 where serve looks for it, with n
// messages of 4,000 bytes.
func oldStore(t *testing.T, dir string, n int) (path string) {
	t.Helper()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
	schema, err := os.ReadFile("../../app/sqlite/testdata/schema-1.sql")
	require.NoError(t, err)
	path = filepath.Join(dir, "data", "windsock.db")
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "_journal_mode=WAL"}).String())
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = 0x7773636b; PRAGMA user_version = 1;" +
		string(schema) + "; INSERT INTO meta VALUES ('name', '0123456789abcdef');" + fmt.Sprintf(`
		INSERT INTO messages (client_created, id, type, callsign, client_uploaded, time_created, time_uploaded, received, address, data)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
		SELECT i, randomblob(16), 'LISTENER_INFO', 'G8XYZ', i, i, i, i, NULL, hex(zeroblob(2000)) FROM n`, n))
	require.NoError(t, err)
	return path
}

func userVersion(t *testing.T, path string) (version int) {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro"}).String())
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.QueryRow("PRAGMA user_version").Scan(&version))
	return version
}
