//go:build unix

package frontend

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What install.sh does as root is not tested here: it would change the machine.

func TestInstallSaysNothingWhenNothingIsMissing(t *testing.T) {
	requireAll(t)
	out, err := exec.Command("./install.sh").CombinedOutput()
	require.NoError(t, err)
	assert.Empty(t, string(out))
}

func TestInstallTellsOthersThanRoot(t *testing.T) {
	requireAll(t)
	const missing = "missing for the tests: sudo apt-get install --no-install-recommends its-package\n"
	for ci, status := range map[string]int{"": 0, "true": 1} {
		cmd := exec.Command("./install.sh", "no-such-program=its-package", "sh=not-missing")
		cmd.Env = append(os.Environ(), "CI="+ci, "PATH="+notRoot(t)+":"+os.Getenv("PATH"))
		out, _ := cmd.CombinedOutput() // its status is looked at below
		assert.Equal(t, missing, string(out))
		assert.Equal(t, status, cmd.ProcessState.ExitCode())
	}
}

// requireAll skips where install.sh would have something to install: a test must not do that.
func requireAll(t *testing.T) {
	t.Helper()
	Require(t, All()...)
	RequireProgram(t, "strace", "strace")
	RequireProgram(t, "curl", "curl")
	RequireProgram(t, "/usr/bin/python3", "python3-minimal")
	RequireProgram(t, "fossil", "fossil")
	RequireProgram(t, "uwsgi", "uwsgi-core")
	RequireProgram(t, "rtorrent", "rtorrent")
	RequireProgram(t, "tclsh", "tcl")
	RequireProgram(t, "node", "nodejs")
	RequireProgram(t, "npm", "npm")
	RequireProgram(t, "perl", "perl")
	RequireFile(t, "/usr/lib/uwsgi/plugins/python3_plugin.so", "uwsgi-plugin-python3")
	RequireFile(t, "/usr/share/perl5/SCGI.pm", "libscgi-perl")
	if exec.Command(RequireProgram(t, "gcc", "gcc"), "-E", "-include", "stdlib.h", "/dev/null").Run() != nil {
		const missing = "NOT TESTED: no C headers: sudo apt-get install --no-install-recommends libc6-dev"
		require.NotEqual(t, "true", os.Getenv("CI"), missing)
		t.Skip(missing)
	}
}

// notRoot is a folder with an id that says so.
func notRoot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "id"), []byte("#!/bin/sh\necho 1000\n"), 0o755))
	return dir
}
