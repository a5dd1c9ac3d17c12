package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/sqlite"
)

// A second name of a store that is in use would have a lock and a write-ahead log of
// its own. Nobody opens it under either name, until the other one is gone.
func TestHardLink(t *testing.T) {
	path := newPath(t)
	other := filepath.Join(t.TempDir(), "other.db")
	log := open(t, path)
	store(t, log, 1, 10)
	require.NoError(t, os.Link(path, other))
	refused := func(path string) {
		t.Helper()
		cure := "has 2 names (hard links)"
		_, err := sqlite.Open(path)
		require.ErrorContains(t, err, cure)
		assert.ErrorContains(t, err, "remove the other names (find / -xdev -samefile "+path+" lists them)")
		_, err = sqlite.OpenReadOnly(path)
		require.ErrorContains(t, err, cure)
		_, err = sqlite.Check(t.Context(), path, nil)
		require.ErrorContains(t, err, cure)
		_, err = sqlite.Backup(t.Context(), path, newPath(t), false, nil)
		require.ErrorContains(t, err, cure)
	}
	refused(other)
	assert.NoFileExists(t, other+".lock", "it is left alone")
	assert.NoFileExists(t, other+"-shm")
	store(t, log, 11, 20)
	require.NoError(t, log.Close(), "whoever had it before goes on")
	refused(path)
	require.NoError(t, os.Remove(other))
	assert.Equal(t, entries(1, 20), readAll(t, open(t, path)))
}

// The same holds for what lies beside a store: snapshots of a folder by cp -al have
// links to all of it.
func TestHardLinkBeside(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm"} {
		path := newPath(t)
		cmd := role(t, "writer", path)
		_, out := start(t, cmd)
		_, err := out.ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, os.Link(path+suffix, path+".snapshot"))
		require.NoError(t, cmd.Process.Kill())
		assert.Error(t, cmd.Wait())
		_, err = sqlite.Open(path)
		require.ErrorContains(t, err, path+suffix+" has 2 names")
		require.NoError(t, os.Remove(path+".snapshot"))
		assert.Equal(t, entries(1, 10), readAll(t, open(t, path)))
	}
}

// A symbolic link is no second name: the lock is that of the file it leads to.
func TestSymbolicLink(t *testing.T) {
	path := newPath(t)
	link := filepath.Join(t.TempDir(), "link.db")
	require.NoError(t, os.Symlink(path, link))
	log := open(t, path)
	_, err := sqlite.Open(link)
	require.ErrorContains(t, err, "another process is writing to it")
	require.NoError(t, log.Close())
	store(t, open(t, link), 1, 1)
	assert.NoFileExists(t, link+".lock")
	_, err = sqlite.Open(path)
	require.ErrorContains(t, err, "another process is writing to it")
}

// A backup may have more names, since it gets its own by a rename: the others keep
// the earlier one.
func TestReplaceLinkedBackup(t *testing.T) {
	path, backup := newPath(t), newPath(t)
	log := open(t, path)
	for n := range 2 {
		store(t, log, n+1, n+1)
		_, err := sqlite.Backup(t.Context(), path, backup, true, nil)
		require.NoError(t, err)
		require.NoError(t, os.Link(backup, backup+string(rune('a'+n))))
	}
	for n := range 2 {
		name := backup + string(rune('a'+n))
		require.NoError(t, os.Rename(name, name+".moved"))
		copied, err := os.ReadFile(name + ".moved")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, copied, 0o600))
		assert.Equal(t, entries(1, n+1), readAll(t, open(t, name)))
	}
}

func TestIsMountPoint(t *testing.T) {
	const mounts = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /data rw shared:2 - tmpfs tmpfs rw
41 22 8:1 /srv/w.db /data/w.db rw shared:1 - ext4 /dev/sda1 rw
42 22 8:1 /srv/w.db /data/a\040b\134c.db rw - ext4 /dev/sda1 rw
`
	for path, want := range map[string]bool{
		"/data/w.db": true, `/data/a b\c.db`: true, "/data/other.db": false, "/srv/w.db": false,
	} {
		got, err := sqlite.IsMountPoint(strings.NewReader(mounts), path)
		require.NoError(t, err)
		assert.Equal(t, want, got, path)
	}
}
