package sqlite_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// A store that cannot be read is refused for that, by name and reason.
func TestUnreadableStore(t *testing.T) {
	if frontend.AsLesserUser(t) {
		return
	}
	path := newStore(t, 10)
	require.NoError(t, os.Chmod(path, 0o200))
	_, opened := sqlite.Open(path)
	_, checked := sqlite.Check(t.Context(), path, nil)
	_, copied := sqlite.Backup(t.Context(), path, newPath(t), false, nil)
	for _, err := range []error{opened, checked, copied} {
		assert.ErrorIs(t, err, fs.ErrPermission)
		assert.ErrorContains(t, err, path)
	}
}

// A store that cannot be written to is not opened for writing, and left as it
// is; once it can, all is there.
func TestOpenReadOnlyStore(t *testing.T) {
	if frontend.AsLesserUser(t) {
		return
	}
	for name, make := range map[string]func(path string) (name string, mode fs.FileMode){
		"file":   func(path string) (string, fs.FileMode) { return path, 0o400 },
		"folder": func(path string) (string, fs.FileMode) { return filepath.Dir(path), 0o500 },
		"lock":   func(path string) (string, fs.FileMode) { return path + ".lock", 0o400 },
	} {
		t.Run(name, func(t *testing.T) {
			path := newStore(t, 100)
			restricted, mode := make(path)
			info, err := os.Stat(restricted)
			require.NoError(t, err)
			require.NoError(t, os.Chmod(restricted, mode))
			t.Cleanup(func() { _ = os.Chmod(restricted, info.Mode()) }) // or it could not be removed
			before := folder(t, path)
			delete(before, filepath.Base(path)+".lock") // who came last stands in it
			_, err = sqlite.Open(path)
			require.Error(t, err)
			assert.ErrorIs(t, err, fs.ErrPermission)
			assert.ErrorContains(t, err, path)
			after := folder(t, path)
			delete(after, filepath.Base(path)+".lock")
			assert.Equal(t, before, after)
			found, err := sqlite.Check(t.Context(), path, nil)
			require.NoError(t, err)
			assert.Empty(t, found.Faults, "a check needs no more than to read")

			require.NoError(t, os.Chmod(restricted, info.Mode()))
			log := open(t, path)
			assert.Len(t, readAll(t, log), 100)
			storeDecoded(t, log, 101, 110)
		})
	}
}
