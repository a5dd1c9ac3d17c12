package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// TestFirstSteps does what the README tells a stranger to do.
func TestFirstSteps(t *testing.T) {
	curl := frontend.RequireProgram(t, "curl", "curl")
	dir := folder(t)
	p := serve(t, dir, "--http", "127.0.0.1:0")
	line := regexp.MustCompile(`curl -d .*`).FindString(p.said("Ctrl-C"))
	require.NotEmpty(t, line, "it prints a curl line")

	out, err := exec.Command("sh", "-c", strings.Replace(line, "curl", curl+" -s", 1)).Output()
	require.NoError(t, err, line)
	assert.Equal(t, "OK", string(out))
	url := regexp.MustCompile(`http://[^/]*/`).FindString(line)
	assert.Contains(t, get(t, url+"messages"), `"callsign":"G8XYZ"`)
	assert.Contains(t, get(t, url), "POST message")

	p.signal(syscall.SIGINT)
	assert.Zero(t, p.wait(), "Ctrl-C is a clean end")
	assert.NoFileExists(t, filepath.Join(dir, "data", "windsock.sock"), "a clean stop removes the socket")

	again := serve(t, dir)
	require.Len(t, exported(t, dir), 1)
	assert.Equal(t, "127.0.0.1", exported(t, dir)[0]["address"], "the true peer of the HTTP connection")
	assert.Zero(t, again.stop())
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// TestBehindFrontEnds posts through every front end that the deploy files are
// for: at once, one byte at a time, and 1 MB in 7 pieces.
func TestBehindFrontEnds(t *testing.T) {
	for _, row := range []struct {
		name    string
		kind    frontend.Kind
		style   frontend.Style
		network string
		args    []string
	}{
		{"nginx, deploy file, unix", frontend.Nginx, frontend.Deploy, "unix", nil},
		{"nginx, deploy file, TCP", frontend.Nginx, frontend.Deploy, "tcp", nil},
		{"nginx, location for TCP", frontend.Nginx, frontend.Full, "tcp", nil},
		{"nginx, stock scgi_params, unix", frontend.Nginx, frontend.Stock, "unix", []string{"--mount", "/habitat"}},
		{"nginx, stock scgi_params, TCP", frontend.Nginx, frontend.Stock, "tcp", []string{"--mount", "/habitat"}},
		{"lighttpd, deploy file, unix", frontend.Lighttpd, frontend.Deploy, "unix", nil},
		{"lighttpd, deploy file, TCP", frontend.Lighttpd, frontend.Deploy, "tcp", nil},
		{"lighttpd, key with a slash", frontend.Lighttpd, frontend.Stock, "unix", []string{"--mount", "/habitat"}},
		{"Apache, deploy file, unix", frontend.Apache, frontend.Deploy, "unix", nil},
		{"Apache, bare ProxyPass, TCP", frontend.Apache, frontend.Stock, "tcp", []string{"--mount", "/habitat"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			frontend.Require(t, row.kind)
			dir := folder(t)
			backend := "unix:" + filepath.Join(dir, "windsock.sock")
			if row.network == "tcp" {
				backend = "tcp:127.0.0.1:0"
			}
			p := serve(t, dir, append(row.args, "--listen", backend)...)
			if row.network == "tcp" {
				backend = regexp.MustCompile(`tcp:127\.0\.0\.1:\d+`).FindString(p.log.String())
			}
			front := frontend.Start(t, row.kind, frontend.Config{Backend: backend, Style: row.style})
			client := &http.Client{}

			status, answer, err := post(client, front.URL+"/habitat/message", note("whole"))
			assertPosted(t, status, answer, err)
			assert.Equal(t, "OK", inPieces(t, front.Addr, note("bytewise"), 1))
			long := note("long")
			long += strings.Repeat(" ", 1_000_000-len(long))
			assert.Equal(t, "OK", inPieces(t, front.Addr, long, len(long)/7+1))

			assert.Contains(t, get(t, front.URL+"/habitat/"), "POST message")
			assert.Contains(t, get(t, front.URL+"/habitat/nothing"), "Action not found. Try one of these: ")
			status, answer, err = post(client, front.URL+"/habitat/message", `{"callsign":"G8XYZ"}`)
			require.NoError(t, err)
			assert.Equal(t, 400, status, answer)
			var names []any
			for _, entry := range exported(t, dir) {
				names = append(names, entry["data"].(map[string]any)["name"])
				assert.Equal(t, "127.0.0.1", entry["address"])
			}
			assert.Equal(t, []any{"whole", "bytewise", "long"}, names)
			front.Stop()
			assert.Zero(t, p.stop())
		})
	}
}

// inPieces posts a message by a raw HTTP client that sends n bytes at a time.
func inPieces(t *testing.T, addr, body string, n int) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	request := fmt.Sprintf("POST /habitat/message HTTP/1.0\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for _, piece := range scgitest.Split([]byte(request), n) {
		_, err := conn.Write(piece)
		require.NoError(t, err)
	}
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	_, got, _ := strings.Cut(string(answer), "\r\n\r\n")
	return got
}

// unfinished is a connection whose request never ends by itself.
func unfinished(t *testing.T, p *process) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(p.folder, "data", "windsock.sock"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	request := scgitest.Post("/message", note("slow"))
	_, err = conn.Write(request[:len(request)-1])
	require.NoError(t, err)
	// An answer to a later connection shows that this one was accepted.
	status, answer, err := p.post(note("witness"))
	assertPosted(t, status, answer, err)
	return conn
}

func TestStopWaitsForARequest(t *testing.T) {
	p := serve(t, folder(t))
	conn := unfinished(t, p)
	p.signal(syscall.SIGTERM)
	p.waitFor(`"message":"stopping"`)
	_, err := conn.Write([]byte("}"))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(answer), "OK"), "%q", answer)
	assert.Zero(t, p.wait())
	assert.Len(t, exported(t, p.folder), 2)
}

func TestStopIsForcedAfterGrace(t *testing.T) {
	p := serve(t, folder(t), "--grace", "50ms")
	unfinished(t, p)
	assert.Equal(t, 1, p.stop())
	assert.Len(t, exported(t, p.folder), 1, "what was answered is there")
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := serve(t, folder(t), "--grace", "1h")
	unfinished(t, p)
	p.signal(syscall.SIGTERM)
	p.waitFor(`"message":"stopping"`)
	p.signal(syscall.SIGTERM)
	assert.Equal(t, 1, p.wait())
}

// TestSignalWhileStarting gets SIGTERM at one step of a start after the other:
// each ends cleanly, and the next start finds nothing amiss.
func TestSignalWhileStarting(t *testing.T) {
	strace := frontend.RequireProgram(t, "strace", "strace")
	for _, call := range []string{"mkdirat", "flock", "pwrite64", "fsync", "bind", "listen", "accept4"} {
		t.Run(call, func(t *testing.T) {
			dir := folder(t)
			trace := filepath.Join(dir, "trace")
			p := launch(t, dir, exec.Command(strace, "-f", "-o", trace, "-e", "trace="+call,
				"-e", "inject="+call+":signal=TERM:when=1", binary(t, buildFlags...), "serve"))
			code := p.wait()
			require.NotZero(t, signalled(t, trace), "or nothing is tested here")
			if signalled(t, trace) == 1 { // strace counts each thread's calls, so there may be two
				assert.Zero(t, code, p.log)
			}
			again := serve(t, dir)
			status, answer, err := again.post(note("after"))
			assertPosted(t, status, answer, err)
			assert.Zero(t, again.stop())
		})
	}
}

// signalled is how many SIGTERMs a trace shows.
func signalled(t *testing.T, trace string) int {
	t.Helper()
	calls, err := os.ReadFile(trace)
	require.NoError(t, err)
	return strings.Count(string(calls), "--- SIGTERM")
}

func TestWrongUsage(t *testing.T) {
	dir := folder(t)
	for name, args := range map[string][]string{
		"no command":         {},
		"unknown command":    {"dance"},
		"unknown flag":       {"serve", "--dance"},
		"bad listen address": {"serve", "--listen", "nonsense"},
		"wide open":          {"serve", "--listen", "tcp:0.0.0.0:4000"},
		"bad store":          {"serve", "--store", "mysql:x"},
		"bad mount":          {"serve", "--mount", "habitat"},
		"bad http":           {"serve", "--http", "8080"},
		"bad port":           {"serve", "--http", "127.0.0.1:99999"},
		"no grace":           {"serve", "--grace", "0s"},
		"bad to":             {"post", "--to", "fd:3"},
		"bad after":          {"export", "--after", "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := run(t, dir, "", args...)
			assert.Equal(t, 2, code, stderr)
			assert.NotEmpty(t, stderr)
		})
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "wrong usage touches nothing")
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"check", "--help"}, {"backup", "--help"}, {"post", "--help"}, {"export", "--help"}, {"version"}} {
		stdout, stderr, code := run(t, dir, "", args...)
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, "windsock")
	}
}

func TestHangupChangesNothing(t *testing.T) {
	p := serve(t, folder(t))
	p.signal(syscall.SIGHUP)
	p.waitFor("SIGHUP")
	status, answer, err := p.post(note("after"))
	assertPosted(t, status, answer, err)
	assert.Zero(t, p.stop())
}

// Whoever reads the log can stop reading, or go away: that holds up neither a
// message nor the end.
func TestLogThatNobodyReads(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("gone %v", gone), func(t *testing.T) {
			dir := folder(t)
			read, write, err := os.Pipe()
			require.NoError(t, err)
			defer read.Close()
			cmd := exec.Command(binary(t, buildFlags...), "serve")
			cmd.Dir, cmd.Env, cmd.Stderr = dir, surroundings(), write
			require.NoError(t, cmd.Start())
			require.NoError(t, write.Close())
			line, err := bufio.NewReader(read).ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, line, "serving")
			if gone {
				require.NoError(t, read.Close())
			}
			p := &process{t: t, cmd: cmd, folder: dir}
			client := &http.Client{Transport: p.transport()}
			for range 600 { // more lines than a pipe holds
				resp, err := client.Get("http://windsock/messages?last=1&callsign=" + strings.Repeat("x", 100))
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
			}
			p.signal(syscall.SIGTERM)
			assert.NoError(t, cmd.Wait())
			assert.NoFileExists(t, filepath.Join(dir, "data", "windsock.sock"))
		})
	}
}

func TestFailures(t *testing.T) {
	dir := folder(t)
	t.Run("a failed start leaves no socket", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer taken.Close()
		_, stderr, code := run(t, dir, "", "serve", "--listen", "unix:first.sock", "--listen", "tcp:"+taken.Addr().String())
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, taken.Addr().String())
		assert.NoFileExists(t, filepath.Join(dir, "first.sock"))
	})
	t.Run("a parent folder that is not the default's is not made", func(t *testing.T) {
		_, stderr, code := run(t, dir, "", "serve", "--store", "sqlite:elsewhere/x.db")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "elsewhere")
		assert.NoDirExists(t, filepath.Join(dir, "elsewhere"))
	})
	p := serve(t, dir)
	t.Run("a second server on the same store", func(t *testing.T) {
		_, stderr, code := run(t, dir, "", "serve", "--listen", "unix:other.sock")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, fmt.Sprint(p.cmd.Process.Pid), "it names who has it")
	})
	t.Run("a second server on the same socket", func(t *testing.T) {
		_, stderr, code := run(t, dir, "", "serve", "--store", "sqlite:data/other.db")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "windsock.sock")
	})
	status, answer, err := p.post(note("still there"))
	assertPosted(t, status, answer, err)
	assert.Zero(t, p.stop())
}
