package sqlite_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

func TestOpenMakesStore(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	assert.Regexp(t, "^[0-9a-f]{16}$", log.Name())
	assert.Equal(t, 0x7773636b, query[int](t, log, "PRAGMA application_id"))
	assert.Equal(t, sqlite.SchemaVersion, query[int](t, log, "PRAGMA user_version"))
	assert.Equal(t, 2, query[int](t, log, "PRAGMA auto_vacuum"), "incremental")
	assert.Equal(t, 4, query[int](t, log, "SELECT count(*) FROM pragma_table_list WHERE strict"))
	assert.Zero(t, query[int](t, log, "SELECT count(*) FROM pragma_index_list('messages')"), "insertion pays for each")

	page, err := log.Read(t.Context(), app.Query{Limit: 1})
	require.NoError(t, err)
	assert.Equal(t, app.Page{Log: log.Name(), Oldest: 1}, page)
	assert.NotEqual(t, log.Name(), open(t, newPath(t)).Name())
}

// pragma reads a setting of a connection.
func pragma(t *testing.T, c *sql.Conn, name string) (value string) {
	t.Helper()
	require.NoError(t, c.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value))
	return value
}

func TestSettings(t *testing.T) {
	log := open(t, newPath(t))
	for name, want := range map[string]string{
		"journal_mode":       "wal",
		"synchronous":        "2", // FULL
		"busy_timeout":       "5000",
		"wal_autocheckpoint": "0",
		"journal_size_limit": "163840000",
		"secure_delete":      "1",
		"cache_size":         "-16000",
		"auto_vacuum":        "2", // INCREMENTAL
		"locking_mode":       "normal",
	} {
		assert.Equal(t, want, query[string](t, log, "PRAGMA "+name), name)
	}
	for _, text := range []string{"INSERT INTO meta VALUES ('name', '')", "INSERT INTO ids VALUES (1, x'00', NULL)"} {
		err := log.Run(text)
		var e interface{ Code() int }
		require.ErrorAs(t, err, &e)
		assert.Contains(t, []int{sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_NOTNULL}, e.Code(), "an extended one")
		assert.ErrorContains(t, err, "constraint failed: ", "what failed")
	}
	for range 4 { // kept open, so that each is another one
		c, err := log.Readers().Conn(t.Context())
		require.NoError(t, err)
		defer c.Close()
		assert.Equal(t, "wal", pragma(t, c, "journal_mode"))
		assert.Equal(t, "5000", pragma(t, c, "busy_timeout"))
		_, err = c.ExecContext(t.Context(), "DELETE FROM messages")
		assert.ErrorContains(t, err, "readonly")
	}
	assert.Equal(t, 4, log.Readers().Stats().MaxOpenConnections)
}

// What is not known of a store is not guessed.
func TestOpenWithoutIndexed(t *testing.T) {
	path := newStore(t, 10, "DELETE FROM meta WHERE key = 'indexed'")
	_, err := sqlite.Open(path)
	assert.ErrorContains(t, err, "reading up to where messages are indexed: no row")
}

func TestReopen(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	name := log.Name()
	store(t, log, 1, 20)
	require.NoError(t, log.Close())
	require.NoError(t, log.Close(), "again")
	assert.NoFileExists(t, path+"-wal", "all is in the one file")
	assert.NoFileExists(t, path+"-shm")

	_, err := log.Append(messages(21, 21))
	assert.ErrorIs(t, err, fs.ErrClosed)
	_, err = log.Read(t.Context(), app.Query{Limit: 1})
	assert.Error(t, err)

	log = open(t, path)
	assert.Equal(t, name, log.Name())
	assert.Equal(t, entries(1, 20), readAll(t, log))
	assert.Equal(t, int64(21), store(t, log, 21, 21)[0].Seq)
}

func TestOpenLinks(t *testing.T) {
	path := newPath(t)
	link := filepath.Join(t.TempDir(), "link.db")
	require.NoError(t, os.Symlink(path, link))
	_, err := sqlite.Open(link)
	assert.ErrorIs(t, err, fs.ErrNotExist, "a link to nothing is not replaced")

	open(t, path)
	_, err = sqlite.Open(link)
	assert.ErrorContains(t, err, "another process is writing to it")
	r, err := sqlite.OpenReadOnly(link)
	require.NoError(t, err)
	assert.NoError(t, r.Close())
}

// An empty file is what an operator makes to say who may read it.
func TestOpenEmptyFile(t *testing.T) {
	path := newPath(t)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.WriteFile(path+".unfinished", []byte("what a crash left"), 0o600))
	log := open(t, path)
	store(t, log, 1, 1)
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), suffix)
	}
	assert.NoFileExists(t, path+".unfinished")
}

// What Open refuses it leaves as it is, with nothing beside it.
func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"text", writeFile("hello, world\n"), "not a windsock store"},
		{"long text", writeFile(fmt.Sprintf("%08192d", 0)), "not a windsock store"},
		{"other database", foreign("CREATE TABLE t (x)"), "not a windsock store: an SQLite database with application_id 0x0"},
		{"other application", foreign("PRAGMA application_id = 7; CREATE TABLE t (x)"), "application_id 0x7"},
		{"other in WAL mode", foreign("PRAGMA journal_mode = WAL; CREATE TABLE t (x)"), "not a windsock store"},
		{"folder", func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o700)) }, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newPath(t)
			tt.make(t, path)
			before := folder(t, path)
			_, err := sqlite.Open(path)
			assert.ErrorContains(t, err, tt.want)
			assert.ErrorContains(t, err, path)
			_, err = sqlite.OpenReadOnly(path)
			assert.ErrorContains(t, err, tt.want)
			assert.Equal(t, before, folder(t, path))
		})
	}
}

func writeFile(content string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
}

// foreign makes a database that is not a store.
func foreign(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		plain := filepath.Join(t.TempDir(), "plain.db")
		db, err := sql.Open("sqlite", plain)
		require.NoError(t, err)
		_, err = db.Exec(text)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		require.NoError(t, os.Rename(plain, path))
	}
}

// folder returns what lies beside path: names and their contents' sums.
func folder(t *testing.T, path string) map[string]string {
	t.Helper()
	files := map[string]string{}
	listed, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	for _, f := range listed {
		content, _ := os.ReadFile(filepath.Join(filepath.Dir(path), f.Name())) // a folder has none
		files[f.Name()] = sum(content)
	}
	return files
}

// sum makes comparing files' contents readable when they differ.
func sum(content []byte) string { return fmt.Sprintf("%x", sha256.Sum256(content)) }

func TestOpenOtherVersions(t *testing.T) {
	for version, want := range map[int]string{
		sqlite.SchemaVersion + 1: "made by a newer windsock",
		0:                        "the store is damaged",
	} {
		path := newPath(t)
		log := open(t, path)
		store(t, log, 1, 3)
		shell(t, log, fmt.Sprintf("PRAGMA user_version = %d", version))
		require.NoError(t, log.Close())
		before := folder(t, path)

		_, err := sqlite.Open(path)
		assert.ErrorContains(t, err, want)
		delete(before, filepath.Base(path)+".lock") // who came last stands in it
		after := folder(t, path)
		delete(after, filepath.Base(path)+".lock")
		assert.Equal(t, before, after)
		_, err = sqlite.OpenReadOnly(path)
		assert.ErrorContains(t, err, want)
	}
}

// A backup of a newer windsock's store is in rollback mode; opening it for writing
// would change that.
func TestOpenNewerBackup(t *testing.T) {
	path, backup := newPath(t), newPath(t)
	store(t, open(t, path), 1, 3)
	_, err := sqlite.Backup(t.Context(), path, backup, false, nil)
	require.NoError(t, err)
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: backup}).String())
	require.NoError(t, err)
	_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", sqlite.SchemaVersion+1))
	require.NoError(t, errors.Join(err, db.Close()))
	before := folder(t, backup)
	_, err = sqlite.Open(backup)
	assert.ErrorContains(t, err, "made by a newer windsock")
	assert.Equal(t, before, folder(t, backup))
}

func TestOpenNothing(t *testing.T) {
	path := newPath(t)
	_, err := sqlite.OpenReadOnly(path)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = sqlite.Open(filepath.Join(path, "x.db"))
	assert.ErrorIs(t, err, fs.ErrNotExist, "the folder is not made")
	assert.Empty(t, folder(t, path))
}

// Damage must be an error when the store is opened or read, not a wrong page.
func TestOpenDamaged(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	for n := range 10 {
		store(t, log, 1+n*200, 200+n*200)
	}
	require.NoError(t, log.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	zeroed := append([]byte{}, whole...)
	clear(zeroed[3*4096:])
	tests := map[string][]byte{
		"cut in a page":   whole[:5*4096+100],
		"cut by a page":   whole[:len(whole)-4096],
		"only its header": whole[:100],
		"zeroed":          zeroed,
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, content, 0o600))
			log, err := sqlite.Open(path)
			if err == nil {
				_, err = readPages(t.Context(), log)
				assert.NoError(t, log.Close())
			}
			require.Error(t, err)
			assert.Contains(t, err.Error(), "sqlite: ")
			after, readErr := os.ReadFile(path)
			require.NoError(t, readErr)
			assert.Equal(t, sum(content), sum(after), "left as it is")
		})
	}
}

// readPages counts what can be read.
func readPages(ctx context.Context, log *sqlite.Store) (n int, err error) {
	q := app.Query{Limit: 1000}
	for {
		page, err := log.Read(ctx, q)
		if err != nil || page.Next == q.After {
			return n, err
		}
		n += len(page.Entries)
		q.After = page.Next
	}
}
