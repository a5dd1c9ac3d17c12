package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// faultyPruneRole takes steps of every kind on a store, whatever happens to them,
// and says what did.
func faultyPruneRole(path string) int {
	runtime.LockOSThread() // strace counts a thread's system calls
	log, err := sqlite.Open(path)
	if err != nil {
		fmt.Println("not opened:", err)
		return 0
	}
	log.TrimAt(6)
	for seq := int64(20); seq <= 120; seq += 20 {
		for _, cut := range []retention.Cut{{Messages: seq, Now: day(1)}, {Addresses: seq + 40}, {Space: 4096}} {
			if cut.Messages != 0 {
				fmt.Println("pruning", seq)
			}
			_, err := log.Prune(cut)
			switch {
			case errors.Is(err, app.ErrStoreFailed):
				fmt.Println("failed")
			case errors.Is(err, app.ErrDiskFull):
				fmt.Println("full")
			case err != nil:
				fmt.Println("other error:", err)
			case cut.Messages != 0:
				fmt.Println("pruned", seq)
			}
		}
	}
	if err := log.Close(); err != nil {
		fmt.Println("not closed:", err)
	}
	return 0
}

// Each system call that writes or syncs fails in turn while the log is pruned, or
// is where the process is killed. What was said to be gone is gone afterwards,
// what was not to go is there, and a full disk is no failure.
func TestPruneFaults(t *testing.T) {
	frontend.RequireProgram(t, "strace", "strace")
	whole := newPath(t)
	log := open(t, whole)
	for n := 1; n <= 200; n += 20 {
		store(t, log, n, n+19)
	}
	require.NoError(t, log.Close())
	content, err := os.ReadFile(whole)
	require.NoError(t, err)
	for _, tt := range []struct {
		call, fault string
		stride      int
		want        string // what happens in one run or another
	}{
		{"fsync", "error=EIO", 5, "failed"},
		{"fsync", "signal=KILL", 7, "pruned"},
		{"pwrite64", "error=EIO", 23, "failed"},
		{"pwrite64", "error=ENOSPC", 23, "full"},
		{"pwrite64", "signal=KILL", 29, "pruned"},
	} {
		t.Run(tt.call+" "+tt.fault, func(t *testing.T) {
			t.Parallel()
			seen, hits := "", 0
			for n := 3; ; n += tt.stride {
				path := newPath(t)
				require.NoError(t, os.WriteFile(path, content, 0o600))
				out, hit := runFaulty(t, "faulty prune", path, tt.call, fmt.Sprintf("%s:when=%d", tt.fault, n))
				checkFaultyPrune(t, path, out)
				seen += out
				if !hit || t.Failed() {
					break
				}
				hits++
			}
			assert.Greater(t, hits, 2, "or nothing is tested here")
			assert.NotContains(t, seen, "other error")
			assert.Contains(t, seen, tt.want)
		})
	}
}

// checkFaultyPrune compares what was said with what is stored.
func checkFaultyPrune(t *testing.T, path, out string) {
	t.Helper()
	pruning, pruned, failed := int64(0), int64(0), false
	for line := range strings.Lines(out) {
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "pruning":
			_, err := fmt.Sscan(rest, &pruning)
			require.NoError(t, err)
		case "pruned":
			assert.False(t, failed, "acknowledged after a failure:\n%s", out)
			_, err := fmt.Sscan(rest, &pruned)
			require.NoError(t, err)
		case "failed\n":
			failed = true
		}
	}
	log, err := sqlite.Open(path)
	require.NoError(t, err, out)
	defer log.Close() // only read
	all, _ := seqsOf(t, log)
	require.NotEmpty(t, all)
	assert.Equal(t, between(all[0], 200), all)
	assert.Greater(t, all[0], pruned, out)
	assert.LessOrEqual(t, all[0], pruning+1, out)
	assert.Equal(t, "ok", query[string](t, log, "PRAGMA integrity_check"))
	page, err := log.Read(t.Context(), app.Query{After: 0, Limit: 1})
	require.NoError(t, err)
	assert.Equal(t, all[0], page.Oldest)
}
