package main_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// newApp starts an application on a unix socket.
func newApp(t *testing.T, h http.HandlerFunc) (addr string) {
	t.Helper()
	s := scgitest.NewServer(h)
	t.Cleanup(s.Close)
	return "unix:" + s.Address
}

// echo answers with the request's body.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Method", r.Method)
	_, _ = io.Copy(w, r.Body) // the client sees the rest
}

// rawApp answers every connection with these bytes.
func rawApp(t *testing.T, answer string) (addr string) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(frontend.SocketDir(t), "s"))
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return "unix:" + l.Addr().String()
}

func TestRequest(t *testing.T) {
	addr := newApp(t, echo)
	t.Run("the body, as bytes", func(t *testing.T) {
		body := "\x00\xff\r\n\x1b[31m"
		stdout, stderr, code := run(t, body, "request", addr, "PUT", "/", "-d", "@-")
		assert.Zero(t, code, stderr)
		assert.Equal(t, body, stdout)
		assert.Empty(t, stderr)
	})
	t.Run("the header before it", func(t *testing.T) {
		stdout, stderr, code := run(t, "", "request", "-i", addr, "POST", "/", "-d", "hello", "-H", "Content-Type: a/b")
		assert.Zero(t, code, stderr)
		header, body, found := strings.Cut(stdout, "\r\n\r\n")
		assert.True(t, found)
		assert.Equal(t, "hello", body)
		assert.True(t, strings.HasPrefix(header, "Status: 200 OK\r\n"), header)
		assert.Contains(t, header, "Content-Type: a/b")
	})
	t.Run("a status line", func(t *testing.T) { // as Wapp sends it
		stdout, stderr, code := run(t, "", "request", "-i", rawApp(t, "HTTP/1.1 404 Not Here\r\nA: b\r\n\r\nhello"), "GET", "/")
		assert.Zero(t, code, stderr)
		assert.Equal(t, "HTTP/1.1 404 Not Here\r\nA: b\r\n\r\nhello", stdout)
	})
	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "body")
		body := strings.Repeat("0123456789", 1_000_000)
		require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
		stdout, stderr, code := run(t, "", "request", addr, "POST", "/", "-d", "@"+file)
		assert.Zero(t, code, stderr)
		assert.True(t, body == stdout, "%d bytes", len(stdout))
	})
	t.Run("no body", func(t *testing.T) {
		for _, args := range [][]string{{}, {"-d", ""}, {"-d", "@-"}, {"-d", "@/dev/null"}} {
			stdout, stderr, code := run(t, "", append([]string{"request", addr, "POST", "/"}, args...)...)
			assert.Zero(t, code, stderr)
			assert.Empty(t, stdout)
		}
	})
}

// -v shows what goes over the wire, and where -H and --var stand in it.
func TestRequestVerbose(t *testing.T) {
	sent := make(chan scgi.Vars, 1)
	addr := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		sent <- scgi.Env(r)
		w.Header().Set("X-Evil", "\x1b[31m")
		w.WriteHeader(http.StatusNoContent)
	})
	stdout, stderr, code := run(t, "", "request", "-v", addr, "POST", "/a%20b?c=d", "-d", "hello",
		"-H", "X-A: 1", "-H", "X-A: 2", "-H", "Host: example.org:81",
		"--var", "HTTPS=on", "--var", "SCRIPT_NAME=/a b", "--var", "SERVER_PORT=1", "--var", "SERVER_PORT=2", "--var", "X=")
	assert.Zero(t, code)
	assert.Empty(t, stdout)
	assert.Equal(t, `> CONTENT_LENGTH=5
> SCGI=1
> REQUEST_METHOD=POST
> REQUEST_URI=/a%20b?c=d
> SCRIPT_NAME=/a b
> PATH_INFO=/a b
> QUERY_STRING=c=d
> SERVER_PROTOCOL=HTTP/1.1
> SERVER_NAME=example.org
> SERVER_PORT=2
> REMOTE_ADDR=127.0.0.1
> REMOTE_PORT=0
> HTTP_CONTENT_LENGTH=5
> HTTP_HOST=example.org:81
> HTTP_X_A=1, 2
> HTTPS=on
> X=
< Status: 204 No Content
< X-Evil: \x1b[31m
< `+"\n", stderr)
	var got strings.Builder
	for name, value := range (<-sent).All() {
		got.WriteString("> " + name + "=" + value + "\n")
	}
	assert.True(t, strings.HasPrefix(stderr, got.String()), "the application has got just that:\n%s", got.String())
}

// What is sent in many pieces is shown and changed all the same.
func TestRequestVerboseWithLargeHeader(t *testing.T) {
	addr := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, scgi.Env(r).Get("LARGE"))
	})
	large := strings.Repeat("x", 50_000)
	stdout, _, code := run(t, strings.Repeat("y", 100_000), "request", addr, "POST", "/", "-d", "@-", "--var", "LARGE="+large)
	assert.Zero(t, code)
	assert.Equal(t, large, stdout)
}

func TestRequestFails(t *testing.T) {
	hang := make(chan struct{})
	slow := newApp(t, func(http.ResponseWriter, *http.Request) { <-hang })
	defer close(hang) // before the application is closed
	fine := newApp(t, echo)
	nobody := "unix:" + filepath.Join(frontend.SocketDir(t), "nobody")
	for _, row := range []struct {
		name string
		args []string
		code int
		want string // on standard error
	}{
		{"nobody listens", []string{nobody, "GET", "/"}, 1, "no such file or directory"},
		{"too slow", []string{slow, "GET", "/", "-m", "20ms"}, 1, "not done after 20ms (--max-time)"},
		{"no answer", []string{rawApp(t, ""), "GET", "/"}, 1, "closed without an answer"},
		{"no SCGI", []string{rawApp(t, "SSH-2.0-OpenSSH\r\n"), "GET", "/"}, 1, `does not begin with a header: line 1 is "SSH-2.0-OpenSSH"`},
		{"a short answer", []string{rawApp(t, "Content-Length: 10\n\nhello"), "GET", "/"}, 1, "in the answer's body: unexpected EOF"},
		{"no file", []string{fine, "POST", "/", "-d", "@/no/such/file"}, 1, "no such file"},
		{"no address", []string{"localhost", "GET", "/"}, 2, "unknown kind of address"},
		{"a path that SCGI cannot carry", []string{fine, "GET", "/a%00b"}, 2, "a NUL in the variable"},
		{"no path", []string{fine, "GET", "x"}, 2, "begins with a slash"},
		{"a method that is none", []string{fine, "G T", "/"}, 2, "invalid method"},
		{"a header that is none", []string{fine, "GET", "/", "-H", "x"}, 2, "want NAME:VALUE"},
		{"a variable that is none", []string{fine, "GET", "/", "--var", "x"}, 2, "want NAME=VALUE"},
		{"a variable that breaks the header", []string{fine, "GET", "/", "--var", "SCGI=2"}, 2, "SCGI"},
		{"a flag that is none", []string{fine, "GET", "/", "--no-such-flag"}, 2, "no-such-flag"},
		{"too little", []string{fine}, 2, "expected"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, stderr, code := run(t, "", append([]string{"request"}, row.args...)...)
			assert.Equal(t, row.code, code)
			assert.Contains(t, stderr, row.want)
			assert.NotContains(t, stderr, "scgi: scgi:")
		})
	}
	t.Run("malformed, with -v", func(t *testing.T) {
		_, stderr, code := run(t, "", "request", "-v", rawApp(t, "<html>\nhello"), "GET", "/")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "\n< <html>\n< hello\n", "what came is shown")
	})
	t.Run("what has come is written, though more should have", func(t *testing.T) {
		stdout, _, code := run(t, "", "request", rawApp(t, "Content-Length: 10\n\nhello"), "GET", "/")
		assert.Equal(t, 1, code)
		assert.Equal(t, "hello", stdout)
	})
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"request", "--help"}, {"load", "--help"}, {"front", "--help"}} {
		stdout, stderr, code := run(t, "", args...)
		assert.Zero(t, code)
		assert.Contains(t, stdout, "Usage: scgi")
		assert.Empty(t, stderr)
	}
}
