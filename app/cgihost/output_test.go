//go:build linux

package cgihost_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/cgihost"
)

// fill fills a pipe, without waiting.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Write(func(fd uintptr) bool {
		for err == nil {
			_, err = syscall.Write(int(fd), make([]byte, 4096))
		}
		return true
	}))
	require.ErrorIs(t, err, syscall.EAGAIN)
}

// Output ends with its program's group, though somebody who has left that keeps
// the pipe full: with as much as a pipe holds at the most, and for good.
func TestOutputEndsWithTheGroup(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	output, total := cgihost.EndedOutput(r), 0
	for buf := make([]byte, 32<<10); err == nil; {
		fill(t, w)
		var n int
		n, err = output.Read(buf)
		total += n
		require.LessOrEqual(t, total, cgihost.MaxPipe)
	}
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, cgihost.MaxPipe, total)
	n, err := output.Read(make([]byte, 1))
	assert.Zero(t, n)
	assert.ErrorIs(t, err, io.EOF)
}

// What is in the pipe when the group ends is output, and nobody waits for more.
func TestOutputThatIsThere(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	_, err = io.WriteString(w, "the end")
	require.NoError(t, err)
	text, err := io.ReadAll(cgihost.EndedOutput(r))
	require.NoError(t, err)
	assert.Equal(t, "the end", string(text))
}

// Once a program's end is taken from the kernel, its number may be a stranger's:
// no signal goes there any more.
func TestNoSignalToAStranger(t *testing.T) {
	stranger := exec.Command("sleep", "600")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, stranger.Start())
	file := filepath.Join(t.TempDir(), "program")
	writeProgram(t, file, "#!/bin/sh\n")
	require.NoError(t, cgihost.KillReaped(file, stranger.Process.Pid))

	// A signal that was sent is there before this one.
	require.NoError(t, stranger.Process.Signal(syscall.SIGTERM))
	err := stranger.Wait()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), err)
	assert.Equal(t, syscall.SIGTERM, exit.Sys().(syscall.WaitStatus).Signal())
}

// Linux ends a program with the thread that started it. A request's goroutine may
// be locked to its thread and end with it: the program is another thread's.
func TestTheThreadOfARequestMayEnd(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "program")
	writeProgram(t, file, "#!/bin/sh\nwhile ! [ -e go ]; do sleep 0.02; done")
	h := &cgihost.Host{}
	defer h.Close()
	var wait func() (*os.ProcessState, error)
	var thread int
	started := make(chan error)
	start := func() {
		runtime.LockOSThread() // and so the thread ends with the goroutine
		thread = syscall.Gettid()
		var err error
		wait, err = h.Start(file)
		started <- err
	}
	if runtime.LockOSThread(); syscall.Gettid() == syscall.Getpid() { // the first thread never ends
		defer runtime.UnlockOSThread()
	} else {
		runtime.UnlockOSThread()
	}
	go start()
	require.NoError(t, <-started)
	defer func() {
		_ = os.WriteFile(filepath.Join(dir, "go"), nil, 0o644) // it may be there already
		_, _ = wait()
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return errors.Is(err, os.ErrNotExist)
	}, patience, time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	state, err := wait()
	require.NoError(t, err)
	assert.Equal(t, "exit status 0", state.String())
}
