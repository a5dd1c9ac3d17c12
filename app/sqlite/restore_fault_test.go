package sqlite_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// restoreRole restores the store of the file "from" beside it.
func restoreRole(path string) int {
	runtime.LockOSThread() // strace counts a thread's system calls
	if _, _, err := restore(filepath.Join(filepath.Dir(path), "from"), path); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("made")
	return 0
}

// Each system call that writes, syncs or renames fails in turn, or is where the
// process is killed: the store is whole afterwards or not there, it is there if that
// was said, and a failure leaves nothing else behind.
func TestRestoreFaults(t *testing.T) {
	frontend.RequireProgram(t, "strace", "strace")
	store := newStore(t, 300)
	backup, err := os.ReadFile(backUp(t, store))
	require.NoError(t, err)
	for kind, content := range map[string]string{"backup": string(backup), "export": export(t, store, 0).lines()} {
		for _, tt := range []struct {
			call, fault   string
			stride, least int // and how often it is hit at least
		}{
			{"pwrite64", "error=ENOSPC", 11, 2},
			{"pwrite64", "signal=KILL", 11, 2},
			{"write", "error=ENOSPC", 1, 1},
			{"fsync", "error=EIO", 1, 2}, // the file and its folder
			{"fsync", "signal=KILL", 1, 2},
			{"renameat", "error=EIO", 1, 1},
			{"renameat", "signal=KILL", 1, 1},
		} {
			if kind == "export" && tt.call == "write" {
				continue // SQLite writes all of it
			}
			t.Run(fmt.Sprint(kind, " ", tt.call, " ", tt.fault), func(t *testing.T) {
				t.Parallel()
				hits := 0
				stride := tt.stride
				if kind == "export" && !*every { // it makes many more calls
					stride *= 4
				}
				for n := 1; restoreWithFault(t, content, tt.call, fmt.Sprintf("%s:when=%d", tt.fault, n)); n += stride {
					hits++
				}
				assert.GreaterOrEqual(t, hits, tt.least, "or nothing is tested here")
			})
		}
	}
}

// restoreWithFault restores with one system call that fails, and reports whether
// that was met.
func restoreWithFault(t *testing.T, content, call, fault string) (met bool) {
	t.Helper()
	path := newPath(t)
	from := filepath.Join(filepath.Dir(path), "from")
	require.NoError(t, os.WriteFile(from, []byte(content), 0o600))
	self, err := os.Executable()
	require.NoError(t, err)
	trace := t.TempDir() + "/trace"
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-o", trace, "-e", "trace="+call, "-e", "inject="+call+":"+fault, self)
	cmd.Env = environment("restore", path)
	out, _ := cmd.Output() // killed or failed: what is there says more
	calls, err := os.ReadFile(trace)
	require.NoError(t, err)
	killed := strings.Contains(string(calls), "killed by SIGKILL")
	met = killed || strings.Contains(string(calls), "(INJECTED)")
	if !met {
		assert.Equal(t, "made\n", string(out))
	}
	if _, err := os.Stat(path); err != nil {
		assert.NotContains(t, string(out), "made", fault)
		if !killed {
			assert.ElementsMatch(t, []string{"from", filepath.Base(path) + ".lock"}, names(folder(t, path)), fault)
		}
		_, _, err := restore(from, path)
		require.NoError(t, err, "what a kill left is in nobody's way")
	}
	found, err := sqlite.Check(t.Context(), path, nil)
	require.NoError(t, err)
	assert.Empty(t, found.Faults)
	assert.EqualValues(t, 300, found.Messages)
	assert.Empty(t, found.Backup)
	return met
}
