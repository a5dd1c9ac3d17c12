package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/app/sqlite/sqlitetest"
)

// migrated is how many messages are in the store that is brought up to date.
const migrated = 60

// A store is brought up to date as a whole or not at all, whatever call of the
// disk fails, is where the process is killed or the power goes. It is opened by
// the next one, and has all that it had.
func TestMigrateFaults(t *testing.T) {
	from := newPath(t)
	makeVersion1(t, from, migrated)
	template, err := os.ReadFile(from)
	require.NoError(t, err)
	whole := newDisk(t, map[string][]byte{"": bytes.Clone(template)})
	require.NoError(t, open(t, whole.path).Close())
	t.Log("calls:", whole.calls)

	versions := map[int]bool{} // that were left
	for _, call := range []string{"write -wal", "sync -wal", "write ", "sync "} {
		for _, outcome := range []outcome{halfDone, doneToo, killed, powerLost} {
			t.Run(call+", "+string(outcome), func(t *testing.T) {
				require.Positive(t, whole.calls[call], "or nothing is tested here")
				for _, n := range spread(whole.calls[call]) {
					d := newDisk(t, map[string][]byte{"": bytes.Clone(template)})
					d.fault = fault{call, n, outcome, sqlite3.SQLITE_IOERR}
					log, err := sqlite.Open(d.path)
					closeLog(log)
					for _, next := range d.left(t) {
						version := checkMigrated(t, next, d.fault.String())
						require.True(t, err != nil || version == sqlite.SchemaVersion, d.fault)
						versions[version] = true
					}
				}
			})
		}
	}
	assert.Equal(t, map[int]bool{1: true, 2: true}, versions)
}

// left are the disks that the next process may find.
func (d *disk) left(t *testing.T) []*disk {
	cut := d.afterPowerCut(t, rand.New(rand.NewPCG(uint64(d.fault.n), 1)))
	if d.fault.outcome == powerLost {
		return []*disk{cut}
	}
	return []*disk{d.afterKill(t), cut}
}

// checkMigrated returns the version of the store that is there, which must be
// whole, and opens it.
func checkMigrated(t *testing.T, d *disk, what string) (version int) {
	t.Helper()
	rows, err := sqlitetest.Read(d.path)
	require.NoError(t, err, what)
	require.Len(t, rows, migrated, what)
	version = versionOf(t, d.path)
	log := open(t, d.path)
	require.Equal(t, entries(1, migrated), readAll(t, log), what)
	require.Equal(t, again(1, migrated), store(t, log, 1, migrated), what)
	require.Equal(t, migrated, query[int](t, log, "SELECT count(*) FROM ids JOIN messages USING (seq, client_created, id)"), what)
	require.NoError(t, log.Close())
	require.Equal(t, sqlite.SchemaVersion, versionOf(t, d.path))
	rows, err = sqlitetest.Read(d.path)
	require.NoError(t, err, what)
	require.Len(t, rows, migrated, what)
	return version
}

func versionOf(t *testing.T, path string) (version int) {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro"}).String())
	require.NoError(t, err)
	defer db.Close() // only read
	require.NoError(t, db.QueryRow("PRAGMA user_version").Scan(&version))
	return version
}

// A disk that is full says what is needed, and leaves the store as it was.
func TestMigrateDiskFull(t *testing.T) {
	from := newPath(t)
	makeVersion1(t, from, migrated)
	template, err := os.ReadFile(from)
	require.NoError(t, err)
	for _, n := range []int{1, 2, 10, 20} {
		for _, outcome := range []outcome{notDone, halfDone} {
			d := newDisk(t, map[string][]byte{"": bytes.Clone(template)})
			d.fault = fault{"write -wal", n, outcome, sqlite3.SQLITE_FULL}
			_, err := sqlite.Open(d.path)
			require.ErrorIs(t, err, app.ErrDiskFull, d.fault)
			require.ErrorContains(t, err, "as much disk space again", d.fault)
			require.False(t, errors.Is(err, app.ErrStoreFailed))
			left, err := os.ReadFile(d.path)
			require.NoError(t, err)
			require.True(t, bytes.Equal(template, left), d.fault)
			require.Equal(t, 1, checkMigrated(t, d, fmt.Sprint(d.fault, ", and there is space again")))
		}
	}
}
