package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// What faultyRole stores: with TrimAt(6) a checkpoint falls in between.
const (
	faultyBatches = 6
	faultyBatch   = 4
)

// faultyRole makes a store, appends batches whatever happens to them, and says
// what did.
func faultyRole(path string) int {
	runtime.LockOSThread() // strace counts a thread's system calls
	log, err := sqlite.Open(path)
	if err != nil {
		fmt.Println("not opened:", err)
		return 0
	}
	log.TrimAt(6)
	for n := range faultyBatches {
		receipts, err := log.Append(messages(n*faultyBatch+1, n*faultyBatch+faultyBatch))
		switch {
		case errors.Is(err, app.ErrStoreFailed):
			fmt.Println("failed")
		case errors.Is(err, app.ErrDiskFull):
			fmt.Println("full")
		case err != nil:
			fmt.Println("other error:", err)
		default:
			fmt.Printf("stored %d %d\n", n, receipts[0].Seq)
		}
	}
	if err := log.Close(); err != nil {
		fmt.Println("not closed:", err)
	}
	return 0
}

// Each system call that writes or syncs fails in turn, or is where the process
// is killed. Whatever was acknowledged is there afterwards, whatever is there
// is whole batches, and after a failure nothing was acknowledged any more.
func TestFaults(t *testing.T) {
	frontend.RequireProgram(t, "strace", "strace")
	tests := []struct {
		call, fault   string
		first, stride int
		want          []string // what happens in one run or another
	}{
		{"fsync", "error=EIO", 17, 1, []string{"not opened:", "failed"}},
		{"fsync", "signal=KILL", 2, 4, nil},
		{"pwrite64", "error=EIO", 45, 13, []string{"not opened:", "failed"}},
		{"pwrite64", "error=EROFS", 45, 13, []string{"not opened:", "failed"}}, // turned read-only while running
		{"pwrite64", "error=ENOSPC", 45, 11, []string{"not opened:", "full"}},
		{"pwrite64", "signal=KILL", 9, 19, nil},
	}
	for _, tt := range tests {
		t.Run(tt.call+" "+tt.fault, func(t *testing.T) {
			t.Parallel()
			seen, hits := "", 0
			for n := tt.first; ; n += tt.stride {
				path := newPath(t)
				out, hit := runFaulty(t, "faulty", path, tt.call, fmt.Sprintf("%s:when=%d", tt.fault, n))
				checkFaulty(t, path, out)
				seen += out
				if !hit || t.Failed() {
					break
				}
				hits++
			}
			assert.Greater(t, hits, 3, "or nothing is tested here")
			assert.NotContains(t, seen, "other error")
			for _, want := range tt.want {
				assert.Contains(t, seen, want)
			}
		})
	}
}

// runFaulty runs a role with a fault injected and returns what it printed, and
// whether the fault was hit: there may be fewer such calls.
func runFaulty(t *testing.T, role, path, call, fault string) (out string, hit bool) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	trace := t.TempDir() + "/trace"
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-o", trace,
		"-e", "trace="+call, "-e", "inject="+call+":"+fault, self)
	cmd.Env = environment(role, path)
	printed, err := cmd.Output()
	calls, readErr := os.ReadFile(trace)
	require.NoError(t, readErr)
	killed := strings.Contains(string(calls), "killed by SIGKILL")
	require.True(t, err == nil || killed, "%v\n%s", err, printed)
	return string(printed), killed || strings.Contains(string(calls), "(INJECTED)")
}

// checkFaulty compares what was acknowledged with what is stored.
func checkFaulty(t *testing.T, path, out string) {
	t.Helper()
	acknowledged := map[int]int64{} // by batch, its first seq
	failed := false
	for line := range strings.Lines(out) {
		var n int
		var seq int64
		if _, err := fmt.Sscanf(line, "stored %d %d", &n, &seq); err == nil {
			assert.False(t, failed, "acknowledged after a failure:\n%s", out)
			acknowledged[n] = seq
		}
		failed = failed || line == "failed\n"
	}
	log, err := sqlite.Open(path)
	require.NoError(t, err, out)
	stored := readAll(t, log)
	require.NoError(t, log.Close())
	assert.Zero(t, len(stored)%faultyBatch, "a batch is stored as a whole")
	bySeq := map[int64]app.Message{}
	for i, e := range stored {
		assert.Equal(t, int64(i+1), e.Seq, "no gaps")
		bySeq[e.Seq] = e.Message
	}
	for n, seq := range acknowledged {
		for i := range faultyBatch {
			require.Equal(t, message(n*faultyBatch+i+1), bySeq[seq+int64(i)], out)
		}
	}
}
