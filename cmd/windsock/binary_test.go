// The tests run the real binary, as an operator does.
package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// binaries holds what build has built, for all tests.
var binaries struct {
	sync.Mutex
	folder string
	built  map[string]string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binaries.folder != "" {
		_ = os.RemoveAll(binaries.folder)
	}
	os.Exit(code)
}

// binary is the path of windsock, built with those flags.
func binary(t testing.TB, flags ...string) string {
	t.Helper()
	binaries.Lock()
	defer binaries.Unlock()
	key := strings.Join(flags, " ")
	if path, ok := binaries.built[key]; ok {
		return path
	}
	if binaries.folder == "" {
		folder, err := os.MkdirTemp("", "windsock")
		require.NoError(t, err)
		binaries.folder, binaries.built = folder, map[string]string{}
	}
	path := filepath.Join(binaries.folder, fmt.Sprintf("windsock%d", len(binaries.built)))
	out, err := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), ".")...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	binaries.built[key] = path
	return path
}

// process is a running `windsock serve`.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	folder string
	stdout *logReader
	log    *logReader
	ended  chan error
}

// surroundings are what windsock is run in. The race detector would otherwise
// sleep for a second at the end of each.
func surroundings() []string { return append(os.Environ(), "GORACE=atexit_sleep_ms=0") }

// logReader keeps an output and tells of lines that are waited for.
type logReader struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed when text has grown
	atEnd   bool
}

// serve starts windsock in a folder, with the defaults and these arguments, and
// returns once it serves.
func serve(t testing.TB, folder string, args ...string) *process {
	t.Helper()
	p := launch(t, folder, exec.Command(binary(t, buildFlags...), append([]string{"serve"}, args...)...))
	p.waitFor("\"message\":\"serving\"")
	return p
}

// launch starts a command that ends with the test at the latest.
func launch(t testing.TB, folder string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, folder: folder, stdout: newLogReader(), log: newLogReader(), ended: make(chan error, 1)}
	cmd.Dir, cmd.Env = folder, surroundings()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	go func() {
		var both sync.WaitGroup
		both.Go(func() { p.stdout.read(stdout) })
		both.Go(func() { p.log.read(stderr) })
		both.Wait() // before Wait, which closes the pipes
		p.ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended already, unless the test has failed
		p.wait()
		if t.Failed() {
			t.Logf("windsock's log:\n%s", p.log.String())
		}
	})
	return p
}

func newLogReader() *logReader { return &logReader{changed: make(chan struct{})} }

func (l *logReader) read(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		l.mu.Lock()
		l.text.WriteString(line)
		l.atEnd = err != nil
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (l *logReader) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waitFor waits until the log holds some text.
func (p *process) waitFor(text string) {
	p.t.Helper()
	require.True(p.t, p.log.waitFor(text), "windsock ended without saying %s:\n%s", text, p.log)
}

// said waits until standard output holds some text, and returns all of it.
func (p *process) said(text string) string {
	p.t.Helper()
	require.True(p.t, p.stdout.waitFor(text), "windsock ended without saying %s:\n%s", text, p.stdout)
	return p.stdout.String()
}

// waitFor waits until the output holds some text, or has ended.
func (l *logReader) waitFor(text string) bool {
	for {
		all, changed, atEnd := l.state()
		found := strings.Contains(all, text)
		if found || atEnd {
			return found
		}
		<-changed
	}
}

// state returns the output so far, a channel that is closed when there is more, and
// whether it has ended.
func (l *logReader) state() (text string, changed <-chan struct{}, atEnd bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String(), l.changed, l.atEnd
}

// wait waits for the end, and returns the exit code, or -1 after a signal.
func (p *process) wait() int {
	p.t.Helper()
	err := <-p.ended
	p.ended <- err
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(p.t, err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// signal sends a signal.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// stop asks windsock to stop and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.wait()
}

// transport is a transport to the default socket.
func (p *process) transport() *scgi.Transport {
	return &scgi.Transport{Network: "unix", Address: filepath.Join(p.folder, "data", "windsock.sock")}
}

// post posts a body over the default socket.
func (p *process) post(body string) (status int, answer string, err error) {
	return post(&http.Client{Transport: p.transport()}, "http://windsock/message", body)
}

func post(client *http.Client, url, body string) (status int, answer string, err error) {
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got), err
}

// run runs a command of windsock's to its end.
func run(t testing.TB, folder, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), binary(t, buildFlags...), args...)
	cmd.Dir, cmd.Env = folder, surroundings()
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

// exported is what `windsock export` writes, an object a message.
func exported(t testing.TB, folder string) (entries []map[string]any) {
	t.Helper()
	out, errs, code := run(t, folder, "", "export")
	require.Zero(t, code, errs)
	for line := range strings.Lines(out) {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		entries = append(entries, entry)
	}
	return entries
}

// note is a valid message that differs by its name.
func note(name string) string {
	return fmt.Sprintf(`{"callsign":"G8XYZ","type":"LISTENER_INFO","time_created":1301774389,"time_uploaded":1301774390,"data":{"name":%q}}`, name)
}

// folder is a new, empty folder with a path short enough for a socket in it.
func folder(t testing.TB) string {
	t.Helper()
	return frontend.SocketDir(t)
}

func assertPosted(t testing.TB, status int, answer string, err error) {
	t.Helper()
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status, answer)
	assert.Equal(t, "OK", answer)
}
