package main_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// runningFront is a scgi front.
type runningFront struct {
	*process
	url string
}

// startFront starts scgi front before an application, and returns when it serves.
func startFront(t *testing.T, addr string, args ...string) *runningFront {
	t.Helper()
	p := start(t, command(t, append([]string{"front", "127.0.0.1:0", addr}, args...)...))
	var serving struct{ HTTP string }
	require.NoError(t, json.Unmarshal([]byte(p.waitFor(`"serving"`)), &serving))
	return &runningFront{p, "http://" + serving.HTTP}
}

// What the application gets is what the client has sent, and who it is.
func TestFrontHandsOn(t *testing.T) {
	requests := make(chan *http.Request, 1)
	front := startFront(t, newApp(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.Copy(w, r.Body)
	}), "--mount", "/habitat")

	r := newRequest(t, "POST", front.url+"/habitat/a%2Fb;c?x=1;y=%zz", strings.NewReader("hello"))
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
		r.Header.Set(name, "for=192.0.2.66")
	}
	r.Header.Set("Authorization", "Basic eDp5")
	r.Header.Set("Proxy", "http://evil.example")
	r.Host = "app.example:1234"
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
	assert.Equal(t, http.StatusTeapot, resp.StatusCode)
	assert.Equal(t, []string{"a=1", "b=2"}, resp.Header["Set-Cookie"])
	got := <-requests
	vars := scgi.Env(got)
	for name, want := range map[string]string{
		"REMOTE_ADDR": "127.0.0.1", "SCRIPT_NAME": "/habitat", "PATH_INFO": "/a/b;c", "QUERY_STRING": "x=1;y=%zz",
		"REQUEST_URI": "/habitat/a%2Fb;c?x=1;y=%zz", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5", "SERVER_PROTOCOL": "HTTP/1.1",
		"HTTP_HOST": "app.example:1234", "SERVER_NAME": "app.example", "HTTP_AUTHORIZATION": "Basic eDp5",
		"HTTP_CONTENT_LENGTH": "5", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": port(t, front.url),
	} {
		assert.Equal(t, want, vars.Get(name), name)
	}
	_, hasProxy := vars.Lookup("HTTP_PROXY")
	assert.False(t, hasProxy)
	assert.NotEqual(t, "0", vars.Get("REMOTE_PORT"))
	for name := range got.Header {
		assert.NotContains(t, name, "Forwarded")
	}

	line := front.waitFor(`"message":"request"`)
	var logged struct {
		Method, URI string
		Status      int
		Bytes       int
	}
	require.NoError(t, json.Unmarshal([]byte(line), &logged))
	assert.Equal(t, "POST", logged.Method)
	assert.Equal(t, "/habitat/a%2Fb;c?x=1;y=%zz", logged.URI)
	assert.Equal(t, http.StatusTeapot, logged.Status)
	assert.Equal(t, 5, logged.Bytes)
	assert.Zero(t, front.stop())
}

// port is that of a URL.
func port(t *testing.T, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	return u.Port()
}

// chunked is a body of which the client does not say the length.
func chunked(text string) io.Reader { return struct{ io.Reader }{strings.NewReader(text)} }

func TestFrontFailures(t *testing.T) {
	hang := make(chan struct{})
	slow := newApp(t, func(http.ResponseWriter, *http.Request) { <-hang })
	defer close(hang)
	for _, row := range []struct {
		name, addr string
		args       []string
		body       io.Reader
		status     int
		log        string
	}{
		{"nobody", "unix:" + filepath.Join(frontend.SocketDir(t), "nobody"), nil, nil, 502, "no such file or directory"},
		{"no answer", rawApp(t, ""), nil, nil, 502, "closed without an answer"},
		{"malformed", rawApp(t, "hello\n"), nil, nil, 502, `line 1 is \"hello\"`},
		{"a status line", rawApp(t, "HTTP/1.1 418 I'm a teapot\r\n\r\n"), nil, nil, 418, ""},
		{"slow", slow, []string{"--header-timeout", "20ms"}, nil, 504, "did not answer within 20ms"},
		{"chunked", newApp(t, echo), nil, chunked("hello"), 200, ""},
		{"chunked and too long", newApp(t, echo), []string{"--max-body", "4"}, chunked("hello"), 413, "4 bytes"},
		{"chunked and none allowed", newApp(t, echo), []string{"--max-body", "0"}, chunked("hello"), 413, "0 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			front := startFront(t, row.addr, row.args...)
			status, body := do(t, newRequest(t, "POST", front.url+"/", row.body))
			assert.Equal(t, row.status, status)
			if row.log != "" {
				assert.Contains(t, body, "the front end's log says why")
				assert.Contains(t, front.waitFor("no answer from the application"), row.log)
			}
			assert.Zero(t, front.stop())
		})
	}
}

// A request that cannot be handed on is the client's fault: 400, and the application is not asked.
func TestFrontRefuses(t *testing.T) {
	front := startFront(t, newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body) // fails where the request was not whole
		t.Error("the application was asked for ", r.URL)
	}))
	for name, raw := range map[string]string{
		"a path with a NUL": "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
		"broken chunking":   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
		"broken trailer":    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(front.url, "http://"))
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			_, err = io.WriteString(conn, raw)
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		})
	}
	assert.Contains(t, front.waitFor("no answer from the application"), `"status":400`)
	assert.Zero(t, front.stop())
}

// Events pass one by one, and the application hears of a client that goes away.
func TestFrontStreams(t *testing.T) {
	next, ended := make(chan string), make(chan struct{})
	front := startFront(t, newApp(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for {
			select {
			case event := <-next:
				_, _ = io.WriteString(w, event+"\n")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	go func() { next <- "first" }()
	resp, err := (&http.Transport{}).RoundTrip(newRequest(t, "GET", front.url+"/", nil))
	require.NoError(t, err)
	lines := bufio.NewScanner(resp.Body)
	for _, event := range []string{"first", "second", "third"} {
		if event != "first" {
			next <- event
		}
		require.True(t, lines.Scan())
		assert.Equal(t, event, lines.Text())
	}
	require.NoError(t, resp.Body.Close())
	<-ended
	assert.Zero(t, front.stop())
}

// A stop lets requests finish that are under way; the grace bounds that, and a
// second signal ends it.
func TestFrontStops(t *testing.T) {
	for _, row := range []struct {
		name  string
		grace string
		end   func(front *runningFront, release func())
		code  int
		whole bool
	}{
		{"in time", "1m", func(_ *runningFront, release func()) { release() }, 0, true},
		{"not in time", "20ms", func(*runningFront, func()) {}, 1, false},
		{"a second signal", "1m", func(front *runningFront, _ func()) { _ = front.cmd.Process.Signal(syscall.SIGINT) }, 1, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			began, release := make(chan struct{}), make(chan struct{})
			addr := newApp(t, func(w http.ResponseWriter, r *http.Request) {
				close(began)
				<-release
				_, _ = io.WriteString(w, "whole")
			})
			front := startFront(t, addr, "--grace", row.grace)
			where, err := url.Parse(front.url)
			require.NoError(t, err)
			conn, err := net.Dial("tcp", where.Host)
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			<-began
			require.NoError(t, front.cmd.Process.Signal(syscall.SIGTERM))
			front.waitFor(`"stopping"`)
			released := false
			row.end(front, func() { released = true; close(release) })
			answer, _ := io.ReadAll(conn) // a break is what may be wanted
			assert.Equal(t, row.whole, strings.HasSuffix(string(answer), "whole"), "%s", answer)
			<-front.ended
			assert.Equal(t, row.code, front.cmd.ProcessState.ExitCode())
			if !released {
				close(release)
			}
		})
	}
}

func TestFrontUsage(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"8080", "unix:/x"}, 2, "want HOST:PORT"},
		{[]string{"127.0.0.1:0", "x"}, 2, "unknown kind of address"},
		{[]string{"127.0.0.1:0", "unix:/x", "--mount", "x"}, 2, "must begin with a slash"},
		{[]string{"192.0.2.1:1", "unix:/x"}, 1, "cannot assign requested address"},
	} {
		_, stderr, code := run(t, "", append([]string{"front"}, row.args...)...)
		assert.Equal(t, row.code, code, row.args)
		assert.Contains(t, stderr, row.want)
	}
}

// Beyond loopback it warns.
func TestFrontWarns(t *testing.T) {
	p := start(t, command(t, "front", "0.0.0.0:0", "unix:/no/such/socket"))
	assert.Contains(t, p.waitFor(`"level":"warn"`), "not on loopback")
	p.waitFor(`"serving"`)
	assert.Zero(t, p.stop())
}
