package sqlite_test

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/sqlite"
)

// This file is about an opening that is given up.

// A context that has ended makes nothing.
func TestOpenContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := newPath(t)
	_, err := sqlite.OpenContext(ctx, path)
	assert.ErrorIs(t, err, context.Canceled)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// A migration that is given up leaves the store as it was, and nothing beside it but
// the lock's file. The next one comes to its end.
func TestOpenContextEndsInMigration(t *testing.T) {
	const messages = 6_000 // 24 MB: more than a writer keeps in memory
	path := newPath(t)
	makeVersion1(t, path, 2)
	enlarge(t, path, messages)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		for ctx.Err() == nil && size(path+"-wal") < 1<<20 { // the migration has begun to write
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := sqlite.OpenContext(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, path+"-wal")
	assert.NoFileExists(t, path+"-shm")
	_, err = sqlite.OpenReadOnly(path)
	assert.ErrorContains(t, err, "open it for writing once (windsock serve)", "it is of version 1")

	log := open(t, path)
	assert.Equal(t, messages, query[int](t, log, "SELECT count(*) FROM messages"))
	assert.Equal(t, messages, query[int](t, log, "SELECT count(*) FROM ids"))
}

// enlarge adds messages of 4,000 bytes to a store of version 1, up to n of them.
func enlarge(t *testing.T, path string, n int) {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path}).String())
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(`INSERT INTO messages (client_created, id, type, callsign, client_uploaded, time_created, time_uploaded,
		received, address, data) WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i+1 FROM n WHERE i < ?)
		SELECT i, randomblob(16), 'LISTENER_INFO', 'G8XYZ', i, i, i, i, NULL, hex(zeroblob(2000)) FROM n`, n)
	require.NoError(t, err)
}

// size is that of a file, and 0 when there is none.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
