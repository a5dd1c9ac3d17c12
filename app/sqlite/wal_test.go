package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// What is left of a store that was moved away would be applied to a new one.
func TestOpenLeftover(t *testing.T) {
	from := newPath(t)
	log := open(t, from)
	store(t, log, 1, 20)
	tests := []struct {
		name, suffix string
		empty        bool // there is an empty file in the store's place
	}{
		{"write-ahead log", "-wal", false},
		{"write-ahead log of an empty file", "-wal", true},
		{"journal", "-journal", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := newPath(t)
			copyFile(t, from+"-wal", path+tt.suffix)
			if tt.empty {
				require.NoError(t, os.WriteFile(path, nil, 0o600))
			}
			before := folder(t, path)
			_, err := sqlite.Open(path)
			assert.ErrorContains(t, err, path+tt.suffix+" is left of one")
			_, err = sqlite.OpenReadOnly(path)
			assert.ErrorContains(t, err, "put the store's file back")
			assert.Equal(t, before, folder(t, path))

			require.NoError(t, os.Truncate(path+tt.suffix, 0))
			assert.Empty(t, readAll(t, open(t, path)), "an empty one holds nothing")
		})
	}

	path := newPath(t)
	copyFile(t, from+"-wal", path+"-wal")
	_, err := sqlite.Open(path)
	require.Error(t, err)
	copyFile(t, from, path)
	assert.Equal(t, entries(1, 20), readAll(t, open(t, path)), "put back, as it says")
}

// What is no whole write-ahead log counts for nothing, as it does for SQLite.
func TestOpenTornWAL(t *testing.T) {
	from := newPath(t)
	log := open(t, from)
	store(t, log, 1, 20)
	store(t, log, 21, 500)
	const frame = 24 + 4096
	info, err := os.Stat(from + "-wal")
	require.NoError(t, err)
	for name, size := range map[string]int64{
		"in its header":     20,
		"behind its header": 32,
		"in a commit":       info.Size() - frame,
		"in a frame":        info.Size() - frame/2,
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			copyFile(t, from, path)
			copyFile(t, from+"-wal", path+"-wal")
			require.NoError(t, os.Truncate(path+"-wal", size))
			stored := readAll(t, open(t, path))
			assert.Equal(t, entries(1, len(stored)), stored)
			assert.Less(t, len(stored), 500)
		})
	}
}

// A last frame that came to the disk in part may say anything.
func TestOpenGarbledWAL(t *testing.T) {
	from, path := newPath(t), newPath(t)
	log := open(t, from)
	store(t, log, 1, 20)
	store(t, log, 21, 40)
	copyFile(t, from, path)
	copyFile(t, from+"-wal", path+"-wal")
	info, err := os.Stat(path + "-wal")
	require.NoError(t, err)
	f, err := os.OpenFile(path+"-wal", os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{0, 1, 0, 0}, info.Size()-(24+4096)+4) // how many pages there are
	require.NoError(t, err)
	require.NoError(t, f.Close())
	assert.Equal(t, entries(1, 20), readAll(t, open(t, path)))
}

// A reader elsewhere keeps the write-ahead log from being folded in: it stays,
// as part of the store.
func TestCloseWithReader(t *testing.T) {
	path, copied := newPath(t), newPath(t)
	log := open(t, path)
	store(t, log, 1, 10)
	reader, err := sqlite.OpenReadOnly(path)
	require.NoError(t, err)
	defer reader.Close()
	tx, err := reader.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	var held int
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM messages").Scan(&held))
	store(t, log, 11, 500)
	require.NoError(t, log.Close())

	copyFile(t, path, copied)
	copyFile(t, path+"-wal", copied+"-wal")
	assert.Equal(t, entries(1, 500), readAll(t, open(t, copied)), "both are the store")
	require.NoError(t, tx.Rollback())
	require.NoError(t, reader.Close())
	require.NoError(t, open(t, path).Close())
	assert.NoFileExists(t, path+"-wal")
	assert.Equal(t, entries(1, 500), readAll(t, open(t, path)))
}

// fullRole opens the store on a disk that is full for a while, reads it and
// appends.
func fullRole(path string) int {
	return onFullDisk(path, func(log *sqlite.Store) (int, error) {
		receipts, err := log.Append(messages(20, 21))
		return len(receipts), err
	})
}

// fullPruneRole prunes it.
func fullPruneRole(path string) int {
	return onFullDisk(path, func(log *sqlite.Store) (int, error) {
		done, err := log.Prune(retention.Cut{Messages: 20, Now: day(1)})
		return done.Messages, err
	})
}

func onFullDisk(path string, do func(*sqlite.Store) (int, error)) int {
	runtime.LockOSThread() // strace counts a thread's system calls
	log, err := sqlite.Open(path)
	if err != nil {
		fmt.Println("not opened:", err)
		return 0
	}
	n, err := readPages(context.Background(), log)
	fmt.Println("read:", n, err)
	for range 3 {
		n, err := do(log)
		if errors.Is(err, app.ErrDiskFull) && !errors.Is(err, app.ErrStoreFailed) {
			fmt.Println("full")
			continue
		}
		fmt.Println("done:", n, err)
	}
	os.Exit(0) // as if killed, so that closing writes nothing
	return 0
}

// A full disk keeps nobody from reading. What recovery found is made durable
// before the first append that works.
func TestOpenDiskFull(t *testing.T) {
	path := assertSettled(t, "full", "read: 20 <nil>\nfull\ndone: 2 <nil>\ndone: 2 <nil>\n")
	assert.Equal(t, entries(1, 21), readAll(t, open(t, path)))
}

// And before anything is pruned.
func TestPruneDiskFull(t *testing.T) {
	path := assertSettled(t, "full prune", "read: 20 <nil>\nfull\ndone: 20 <nil>\ndone: 0 <nil>\n")
	assert.Empty(t, readAll(t, open(t, path)))
}

// assertSettled lets a role open a store on a disk that is full then and for the
// first thing that it does, and looks at what it says and when it syncs.
func assertSettled(t *testing.T, role, want string) (path string) {
	t.Helper()
	frontend.RequireProgram(t, "strace", "strace")
	path = newPath(t)
	from := newPath(t)
	log := open(t, from)
	store(t, log, 1, 20)
	copyFile(t, from, path)
	copyFile(t, from+"-wal", path+"-wal")

	self, err := os.Executable()
	require.NoError(t, err)
	trace := t.TempDir() + "/trace"
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-o", trace, "-P", path, "-P", path+"-wal",
		"-y", "-e", "trace=pwrite64,fsync,fdatasync", "-e", "inject=pwrite64:error=ENOSPC:when=1..2", self)
	cmd.Env = environment(role, path)
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, want, string(out))

	calls, err := os.ReadFile(trace)
	require.NoError(t, err)
	var order []string // of calls on the file and its log
	for line := range strings.Lines(string(calls)) {
		_, call, _ := strings.Cut(line, " ")
		switch call = strings.TrimLeft(call, " "); { // short thread numbers are padded
		case strings.Contains(call, "(INJECTED)"):
			order = append(order, "full")
		case strings.Contains(call, "-wal>") && strings.HasPrefix(call, "pwrite64"):
			order = append(order, "log")
		case strings.Contains(call, "-wal>") && strings.Contains(call, "sync("):
			order = append(order, "log synced")
		}
	}
	require.Greater(t, len(order), 4)
	assert.Equal(t, []string{"full", "full"}, order[:2])
	rewritten := strings.Count(strings.Join(order[:slices.Index(order, "log synced")], " "), "log")
	info, err := os.Stat(from + "-wal")
	require.NoError(t, err)
	assert.Equal(t, (int(info.Size())+32<<10-1)/(32<<10), rewritten, "all of the log, 32 KiB at a time")
	assert.Equal(t, []string{"full", "log", "log synced", "log", "log synced"}, slices.Compact(order)[:5])
	return path
}
