package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// A backup is one file that holds the log up to its end, with the store's
// permissions, and can be read where nothing can be written.
func TestBackup(t *testing.T) {
	for _, closed := range []bool{false, true} {
		path, to := newPath(t), newPath(t)
		log := open(t, path)
		storeDecoded(t, log, 1, 2000)
		want := readAll(t, log)
		require.NoError(t, os.Chmod(path, 0o604))
		if closed {
			require.NoError(t, log.Close())
		}
		var pages, of int64
		made, err := sqlite.Backup(t.Context(), path, to, false, func(doing string, done, total int64) {
			if doing == "copying" {
				pages, of = done, total
			}
		})
		require.NoError(t, err)
		assert.Equal(t, of, pages)
		info, err := os.Stat(to)
		require.NoError(t, err)
		assert.Equal(t, sqlite.Copied{Log: log.Name(), Messages: 2000, Oldest: 1, Newest: 2000, Bytes: info.Size()}, made)
		assert.Equal(t, of*4096, info.Size())
		assert.Equal(t, fs.FileMode(0o604), info.Mode())
		before := listing(t, to)
		assert.Len(t, before, 2, "the folder and the file")

		found, err := sqlite.Check(t.Context(), to, nil)
		require.NoError(t, err)
		assert.Empty(t, found.Faults)
		assert.NotEmpty(t, found.Backup)
		read, err := sqlite.OpenReadOnly(to)
		require.NoError(t, err)
		assert.Equal(t, want, readAll(t, read))
		assert.Equal(t, log.Name(), read.Name(), "until it is written to it is the same log")
		require.NoError(t, read.Close())
		assert.Equal(t, before, listing(t, to), "reading it leaves nothing")
	}
}

// Whoever writes to a backup goes on from an end that the original went past. So
// it is another log from then on, each time that one is restored.
func TestRestoredIsAnotherLog(t *testing.T) {
	path, backup := newPath(t), newPath(t)
	log := open(t, path)
	storeDecoded(t, log, 1, 100)
	_, err := sqlite.Backup(t.Context(), path, backup, false, nil)
	require.NoError(t, err)
	storeDecoded(t, log, 101, 110) // readers have seen these
	names := map[string]bool{log.Name(): true}

	for range 2 {
		restored := newPath(t)
		copyFile(t, backup, restored)
		again := open(t, restored)
		assert.False(t, names[again.Name()], "a name that nobody has had")
		names[again.Name()] = true
		assert.Len(t, again.Name(), 16)
		_, err = again.Read(t.Context(), app.Query{After: 105, Limit: 10, Log: log.Name()})
		assert.ErrorIs(t, err, app.ErrOtherLog, "readers of the original are told")
		assert.Equal(t, int64(101), store(t, again, 1, 1)[0].Seq, "seqs that the original has given, too")

		name := again.Name()
		require.NoError(t, again.Close())
		again = open(t, restored)
		assert.Equal(t, name, again.Name(), "and it keeps that one")
		retry, err := again.Append([]app.Message{decoded(t, 7), decoded(t, 8)})
		require.NoError(t, err)
		assert.Equal(t, []int64{7, 8}, []int64{retry[0].Seq, retry[1].Seq}, "retries are known")
		require.NoError(t, again.Close())
		found, err := sqlite.Check(t.Context(), restored, nil)
		require.NoError(t, err)
		assert.Empty(t, found.Backup)
	}
}

// A backup of a backup is one, with the same name: nobody has written to it.
func TestBackupOfBackup(t *testing.T) {
	first, second := newPath(t), newPath(t)
	made, err := sqlite.Backup(t.Context(), newStore(t, 50), first, false, nil)
	require.NoError(t, err)
	again, err := sqlite.Backup(t.Context(), first, second, false, nil)
	require.NoError(t, err)
	assert.Equal(t, made, again)
	assert.NotEqual(t, made.Log, open(t, second).Name())
}

// While it is made the store is written to, in this process and, as far as the
// copying is concerned, from any other.
func TestBackupWhileWriting(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	log.TrimAt(20)
	storeDecoded(t, log, 1, 500)
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	var writer sync.WaitGroup
	n := 500
	committed := make(chan struct{})
	writer.Go(func() {
		for ctx.Err() == nil {
			if _, err := log.Append([]app.Message{decoded(t, n+1), decoded(t, n+2)}); !assert.NoError(t, err) {
				return
			}
			n += 2
			select {
			case committed <- struct{}{}:
			default:
			}
		}
	})
	last := int64(500)
	for range 5 {
		to := newPath(t)
		<-committed
		made, err := sqlite.Backup(t.Context(), path, to, false, func(string, int64, int64) {
			<-committed // so that each step of it has a commit beside it
		})
		require.NoError(t, err)
		assert.Greater(t, made.Newest, last)
		last = made.Newest
		assert.Equal(t, last, made.Messages)
		found, err := sqlite.Check(t.Context(), to, nil)
		require.NoError(t, err)
		assert.Empty(t, found.Faults)
		read, err := sqlite.OpenReadOnly(to)
		require.NoError(t, err)
		for i, e := range readAll(t, read) {
			want := decoded(t, i+1)
			want.Key, want.Received = "", want.Received.UTC()
			require.Equal(t, app.Entry{Seq: int64(i + 1), Message: want}, e)
		}
		require.NoError(t, read.Close())
	}
	enough()
	writer.Wait()
	assert.Len(t, readAll(t, log), n)
}

// What is there is not written over, unless it is a backup and that is asked for.
func TestBackupRefuses(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	storeDecoded(t, log, 1, 10)
	beside := func(name string) string { return filepath.Join(filepath.Dir(path), name) }
	closed, older, text := newStore(t, 5), beside("older.db"), beside("text")
	require.NoError(t, os.WriteFile(text, []byte("a letter"), 0o600))
	require.NoError(t, os.Symlink(path, beside("link")))
	_, err := sqlite.Backup(t.Context(), path, older, false, nil)
	require.NoError(t, err)
	storeDecoded(t, log, 11, 20)

	for _, tt := range []struct {
		to      string
		replace bool
		want    string
	}{
		{older, false, "it is there already"},
		{text, false, "it is there already"},
		{text, true, "only a backup is replaced"},
		{path, false, "-wal is there, and belongs to a store"},
		{path, true, "-wal is there, and belongs to a store"},
		{beside("link"), true, "-wal is there, and belongs to a store"},
		{closed, true, "it is a store"},
		{filepath.Dir(path), true, "not a regular file"},
		{beside("nowhere/x.db"), false, "no such file or directory"},
	} {
		before := folder(t, path)
		_, err := sqlite.Backup(t.Context(), path, tt.to, tt.replace, nil)
		assert.ErrorContains(t, err, tt.want, tt.to)
		assert.Equal(t, before, folder(t, path), tt.to)
	}
	_, err = sqlite.Backup(t.Context(), beside("none.db"), beside("new.db"), false, nil)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.NoFileExists(t, beside("new.db.unfinished"))

	made, err := sqlite.Backup(t.Context(), path, older, true, nil)
	require.NoError(t, err)
	assert.Equal(t, int64(20), made.Newest)
	found, err := sqlite.Check(t.Context(), older, nil)
	require.NoError(t, err)
	assert.Equal(t, int64(20), found.Newest)
	assert.NotEmpty(t, found.Backup)
}

// One that is broken off leaves nothing, and what a kill left is in nobody's
// way.
func TestBackupBrokenOff(t *testing.T) {
	path, to := newStore(t, 3000), newPath(t)
	require.NoError(t, os.WriteFile(to+".unfinished", []byte("what a kill left"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := sqlite.Backup(ctx, path, to, false, func(doing string, _, _ int64) {
		if doing == "reading the copy" {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, folder(t, to))

	_, err = sqlite.Backup(t.Context(), path, to, false, func(string, int64, int64) {
		_, err := sqlite.Backup(t.Context(), path, to, false, nil)
		assert.ErrorContains(t, err, "another backup is being made there")
	})
	require.NoError(t, err)
	assert.Len(t, folder(t, to), 1)
}

// The file that is not finished yet is ours to overwrite, but nothing that only
// looks like it.
func TestBackupOverwritesNothing(t *testing.T) {
	path, to := newPath(t), newPath(t)
	store(t, open(t, path), 1, 10)
	kept := filepath.Join(t.TempDir(), "kept")
	require.NoError(t, os.WriteFile(kept, []byte("kept"), 0o600))
	require.NoError(t, os.WriteFile(to+".new", []byte("kept"), 0o600))
	require.NoError(t, os.Symlink(kept, to+".unfinished"))

	_, err := sqlite.Backup(t.Context(), path, to, false, nil)
	assert.ErrorIs(t, err, syscall.ELOOP)
	require.NoError(t, os.Remove(to+".unfinished"))
	_, err = sqlite.Backup(t.Context(), path, to, false, nil)
	require.NoError(t, err)
	for _, name := range []string{kept, to + ".new"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, "kept", string(text), name)
	}

	require.NoError(t, os.Rename(to, to+".unfinished"))
	_, err = sqlite.Backup(t.Context(), to+".unfinished", to, false, nil)
	assert.ErrorContains(t, err, "is the store itself")
	found, err := sqlite.Check(t.Context(), to+".unfinished", nil)
	require.NoError(t, err)
	assert.Equal(t, int64(10), found.Messages)
}

// What a disk has made of the copy is seen before it gets its name; and a name that
// somebody else took meanwhile is his.
func TestBackupIsReadThrough(t *testing.T) {
	path := newStore(t, 1000)
	for name, tt := range map[string]struct {
		meanwhile func(t *testing.T, to string)
		want      string
	}{
		"a page is another": {func(t *testing.T, to string) {
			f, err := os.OpenFile(to+".unfinished", os.O_RDWR, 0)
			require.NoError(t, err)
			_, err = f.WriteAt(make([]byte, 4096), 20*4096)
			require.NoError(t, errors.Join(err, f.Close()))
		}, "the store is damaged"},
		"a message is missing": {func(t *testing.T, to string) {
			db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: to + ".unfinished"}).String())
			require.NoError(t, err)
			_, err = db.Exec("DELETE FROM messages WHERE seq = 500")
			require.NoError(t, errors.Join(err, db.Close()))
		}, "the copy is not what was copied"},
		"the name is taken": {func(t *testing.T, to string) {
			require.NoError(t, os.WriteFile(to, []byte("mine"), 0o600))
		}, "it is there already"},
	} {
		t.Run(name, func(t *testing.T) {
			to := newPath(t)
			_, err := sqlite.Backup(t.Context(), path, to, false, func(doing string, _, _ int64) {
				if doing == "reading the copy" {
					tt.meanwhile(t, to)
				}
			})
			require.ErrorContains(t, err, tt.want)
			assert.NoFileExists(t, to+".unfinished")
			if text, err := os.ReadFile(to); err == nil {
				assert.Equal(t, "mine", string(text))
			}
		})
	}
}

// backupRole makes a backup beside the store.
func backupRole(path string) int {
	runtime.LockOSThread() // strace counts a thread's system calls
	if _, err := sqlite.Backup(context.Background(), path, path+".backup", false, nil); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("made")
	return 0
}

// Each system call that writes, syncs or renames fails in turn, or is where the
// process is killed: there is a whole backup afterwards, or none, and one that
// it says was made is there.
func TestBackupFaults(t *testing.T) {
	frontend.RequireProgram(t, "strace", "strace")
	path := newStore(t, 300)
	self, err := os.Executable()
	require.NoError(t, err)
	for _, tt := range []struct {
		call, fault   string
		stride, least int // and how often it is hit at least
	}{
		{"pwrite64", "error=ENOSPC", 9, 1},
		{"pwrite64", "signal=KILL", 9, 1},
		{"fsync", "error=EIO", 1, 2}, // the file and its folder
		{"fsync", "signal=KILL", 1, 2},
		{"renameat", "error=EIO", 1, 1},
		{"renameat", "signal=KILL", 1, 1},
	} {
		hits := 0
		for n := 1; ; n += tt.stride {
			require.NoError(t, errors.Join(os.RemoveAll(path+".backup"), os.RemoveAll(path+".backup.unfinished")))
			trace := t.TempDir() + "/trace"
			cmd := exec.CommandContext(t.Context(), "strace", "-f", "-o", trace, "-e", "trace="+tt.call,
				"-e", fmt.Sprintf("inject=%s:%s:when=%d", tt.call, tt.fault, n), self)
			cmd.Env = environment("backup", path)
			out, _ := cmd.Output() // killed or failed: what is there says more
			calls, err := os.ReadFile(trace)
			require.NoError(t, err)
			_, err = os.Stat(path + ".backup")
			if err == nil {
				found, err := sqlite.Check(t.Context(), path+".backup", nil)
				require.NoError(t, err, "%s %s %d", tt.call, tt.fault, n)
				assert.Empty(t, found.Faults)
				assert.Equal(t, int64(300), found.Messages)
				assert.NotEmpty(t, found.Backup)
			}
			if strings.Contains(string(out), "made") {
				assert.NoError(t, err, "%s %s %d", tt.call, tt.fault, n)
			}
			if !strings.Contains(string(calls), "(INJECTED)") && !strings.Contains(string(calls), "killed by SIGKILL") {
				assert.Equal(t, "made\n", string(out))
				break
			}
			assert.NotContains(t, string(out), "made", "%s %s %d", tt.call, tt.fault, n)
			hits++
		}
		assert.GreaterOrEqual(t, hits, tt.least, "%s: or nothing is tested here", tt.call)
	}
	_, err = sqlite.Backup(t.Context(), path, path+".backup", true, nil)
	assert.NoError(t, err, "what a kill left is in nobody's way")
	assert.NoFileExists(t, path+".backup.unfinished")
}
