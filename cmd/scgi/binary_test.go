// The tests run the real binary, as its users do.
package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// binary builds scgi, once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "scgi")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "scgi")
	out, err := exec.Command("go", append(append([]string{"build", "-o", path}, buildFlags...), ".")...).CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // else the race detector sleeps for a second
	return cmd
}

// run runs a command of scgi's to its end.
func run(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// process is a program that runs, and what it says.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines chan string // closed at its end
	said  strings.Builder
	ended chan struct{}
}

// start starts a program that ends with the test at the latest.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, lines: make(chan string, 10_000), ended: make(chan struct{})}
	out, in, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = in, in
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, in.Close())
	go func() {
		defer close(p.lines)
		defer out.Close()
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			select {
			case p.lines <- scanner.Text():
			default: // nobody waits for that much
			}
		}
	}()
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its status is in ProcessState
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its children
		<-p.ended
		if t.Failed() {
			for line := range p.lines {
				p.said.WriteString(line + "\n")
			}
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), p.said.String())
		}
	})
	return p
}

// waitFor waits for a line that holds some text, and returns it.
func (p *process) waitFor(text string) string {
	p.t.Helper()
	for line := range p.lines {
		p.said.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return line
		}
	}
	require.Fail(p.t, "it ended without saying "+text, p.said.String())
	return ""
}

// stop asks the program to end, and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}
