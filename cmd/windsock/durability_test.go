package main_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// TestSyncBeforeAnswer holds, in the system calls of the real binary, that every
// answered POST has its write-ahead log synced before the answer is written. It
// holds too that it would notice: with synchronous=OFF, which only the linker
// can set, the same look finds answers without a sync.
func TestSyncBeforeAnswer(t *testing.T) {
	const posts = 20
	t.Run("as shipped", func(t *testing.T) {
		answers, unsynced := traceAnswers(t, posts)
		assert.Equal(t, posts, answers)
		assert.Empty(t, unsynced)
	})
	t.Run("with synchronous=OFF", func(t *testing.T) {
		answers, unsynced := traceAnswers(t, posts,
			"-ldflags", "-X github.com/windsock-scgi/windsock/app/sqlite.synchronous=OFF")
		assert.Equal(t, posts, answers)
		assert.NotEmpty(t, unsynced, "the test must be able to fail")
	})
}

// traceAnswers posts one message after the other to a windsock under strace, and
// returns how many were answered and which of them before their sync.
func traceAnswers(t *testing.T, posts int, flags ...string) (answers int, unsynced []int) {
	t.Helper()
	strace := frontend.RequireProgram(t, "strace", "strace")
	dir := folder(t)
	trace := filepath.Join(dir, "trace")
	p := launch(t, dir, exec.Command(strace, "-f", "-y", "-s", "64", "-o", trace,
		"-e", "trace=write,sendto,pwrite64,fsync,fdatasync", binary(t, append(flags, buildFlags...)...), "serve"))
	p.waitFor("\"message\":\"serving\"")
	for i := range posts {
		status, answer, err := p.post(note(fmt.Sprint("n", i)))
		assertPosted(t, status, answer, err)
	}
	stopTraced(t, p, filepath.Join(dir, "data", "windsock.db.lock"))
	return readTrace(t, trace)
}

// stopTraced ends the windsock below strace, which passes no signal on.
func stopTraced(t *testing.T, p *process, lock string) {
	t.Helper()
	text, err := os.ReadFile(lock)
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscan(string(text), &pid)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
	assert.Zero(t, p.wait())
}

// The lines of a trace that count, each behind the number of its thread. A call
// that another thread's interrupts is split in two.
var (
	walWritten = regexp.MustCompile(`^\d+ +pwrite64\(\d+<[^>]*-wal>`)
	syncWhole  = regexp.MustCompile(`^\d+ +f(?:data)?sync\(\d+<[^>]*-wal>\) += 0`)
	syncBegun  = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<[^>]*-wal> <unfinished`)
	syncEnded  = regexp.MustCompile(`^(\d+) +<\.\.\. f(?:data)?sync resumed>\) += 0`)
	okWritten  = regexp.MustCompile(`^\d+ +(?:write|sendto)\(\d+<[^>]*>, "Status: 200 OK`)
)

// readTrace goes through a trace in the order of the system calls: a sync that
// has ended covers what was written before it began, and an answer must have
// all that was written covered.
func readTrace(t *testing.T, path string) (answers int, unsynced []int) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	writes, covered := 0, 0       // writes to the log, and how many of them are synced
	begun := make(map[string]int) // writes when a thread's sync began
	before := 0                   // writes before the last answer
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		switch {
		case walWritten.MatchString(line):
			writes++
		case syncWhole.MatchString(line):
			covered = writes
		case syncBegun.MatchString(line):
			begun[syncBegun.FindStringSubmatch(line)[1]] = writes
		case syncEnded.MatchString(line):
			covered = max(covered, begun[syncEnded.FindStringSubmatch(line)[1]])
		case okWritten.MatchString(line):
			answers++
			require.Greater(t, writes, before, "answer %d: nothing was written for it", answers)
			if covered < writes {
				unsynced = append(unsynced, answers)
			}
			before = writes
		}
	}
	return answers, unsynced
}

// The line of a trace that a test would wait for must be one that strace writes.
func TestTraceIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join([]string{
		`11 pwrite64(7</d/windsock.db-wal>, "x"..., 4096, 32) = 4096`,
		`11 fdatasync(7</d/windsock.db-wal> <unfinished ...>`,
		`12 pwrite64(7</d/windsock.db-wal>, "x"..., 4096, 4128) = 4096`,
		`11 <... fdatasync resumed>) = 0`,
		`12 sendto(9<UNIX:[1]>, "Status: 200 OK\r\n", 16, MSG_NOSIGNAL, NULL, 0) = 16`, // only the first write is covered
		`12 pwrite64(7</d/windsock.db-wal>, "x"..., 4096, 8224) = 4096`,
		`12 fsync(7</d/windsock.db-wal>) = 0`,
		`12 write(9<UNIX:[1]>, "Status: 200 OK\r\n", 16) = 16`,
		`12 pwrite64(7</d/windsock.db-wal>, "x"..., 4096, 8224) = 4096`,
		`12 fdatasync(7</d/windsock.db-wal>) = -1 EIO (Input/output error)`,
		`12 write(9<UNIX:[1]>, "Status: 200 OK\r\n", 16) = 16`,
	}, "\n")), 0o600))
	answers, unsynced := readTrace(t, path)
	assert.Equal(t, 3, answers)
	assert.Equal(t, []int{1, 3}, unsynced)
}
