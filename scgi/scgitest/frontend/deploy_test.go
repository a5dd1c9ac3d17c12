//go:build unix

package frontend

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The deploy files with their own addresses pass the programs' own checks.
func TestDeployFilesAsTheyStand(t *testing.T) {
	for _, kind := range All() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			prog, path, cfg := prepare(t, kind, Config{})
			port, err := freePort() // nginx binds to it even when it only checks
			require.NoError(t, err)
			s, err := newSite(prog, cfg, SocketDir(t), port)
			require.NoError(t, err)
			out, err := exec.Command(path, prog.check(s.Prefix)...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			for _, word := range []string{"warn", "deprecated", "unknown"} {
				assert.NotContains(t, strings.ToLower(string(out)), word)
			}
		})
	}
}

// eachNetwork runs a test for every front end, over a unix socket and over TCP.
func eachNetwork(t *testing.T, test func(t *testing.T, kind Kind, network string)) {
	for _, kind := range All() {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(string(kind)+"-"+network, func(t *testing.T) {
				t.Parallel()
				test(t, kind, network)
			})
		}
	}
}

func TestDeployRequests(t *testing.T) {
	eachNetwork(t, func(t *testing.T, kind Kind, network string) {
		front := Start(t, kind, Config{Backend: serve(t, network, tell).String()})
		t.Run("get", func(t *testing.T) { testGet(t, front) })
		t.Run("encoded", func(t *testing.T) { testEncoded(t, front) })
		t.Run("secrets and traps", func(t *testing.T) { testCredentials(t, front) })
		t.Run("bare mount", func(t *testing.T) { testBareMount(t, front) })
		t.Run("post", func(t *testing.T) { testPost(t, front, 7, false) })
		t.Run("post 1 MB", func(t *testing.T) { testPost(t, front, 1_000_000, false) })
		t.Run("chunked", func(t *testing.T) { testPost(t, front, 100_000, true) })
		t.Run("4 MiB", func(t *testing.T) { testPost(t, front, 4<<20, false) })
		t.Run("too large", func(t *testing.T) { testTooLarge(t, front) })
	})
}

// do sends a request on a connection of its own and returns the status and the body.
func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		Timeout:   20 * time.Second,
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	require.NoError(t, err)
	return req
}

// hasVars looks for whole lines of what tell says.
func hasVars(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		assert.Contains(t, "\n"+text, "\n"+line+"\n")
	}
}

func testGet(t *testing.T, front *Frontend) {
	status, text := do(t, newRequest(t, "GET", front.URL+"/habitat/message?x=1&y=%20", nil))
	assert.Equal(t, 200, status)
	hasVars(t, text, "CONTENT_LENGTH=0", "REQUEST_METHOD=GET", "REQUEST_URI=/habitat/message?x=1&y=%20",
		"QUERY_STRING=x=1&y=%20", "SCRIPT_NAME=/habitat", "PATH_INFO=/message", "REMOTE_ADDR=127.0.0.1", "SCGI=1")
}

// REQUEST_URI is raw everywhere; PATH_INFO is decoded, but for Apache's.
func testEncoded(t *testing.T, front *Frontend) {
	raw, decoded := "/b%20c%C3%A9", "/b cé"
	if front.Kind != Lighttpd { // which refuses control characters with 400
		raw, decoded = raw+"%0Ad", decoded+"\nd"
	}
	status, text := do(t, newRequest(t, "GET", front.URL+"/habitat"+raw, nil))
	assert.Equal(t, 200, status)
	if front.Kind == Apache {
		decoded = raw
	}
	hasVars(t, text, "REQUEST_URI=/habitat"+raw, "PATH_INFO="+decoded)
}

// The Authorization header arrives; HTTP_PROXY does not, since nobody sends that in good faith.
func testCredentials(t *testing.T, front *Frontend) {
	req := newRequest(t, "GET", front.URL+"/habitat/message", nil)
	req.Header.Set("Authorization", "Bearer token")
	req.Header.Set("Proxy", "http://evil.example/")
	_, text := do(t, req)
	hasVars(t, text, "HTTP_AUTHORIZATION=Bearer token")
	assert.NotContains(t, text, "evil.example")
	assert.NotContains(t, text, "HTTP_PROXY")
}

// Either the front end redirects to /habitat/ or it hands /habitat over: no 404, and no other site's path.
func testBareMount(t *testing.T, front *Frontend) {
	status, text := do(t, newRequest(t, "GET", front.URL+"/habitat", nil))
	assert.Equal(t, 200, status)
	hasVars(t, text, "SCRIPT_NAME=/habitat")
	status, _ = do(t, newRequest(t, "GET", front.URL+"/habitatandmore", nil))
	assert.Equal(t, 404, status)
}

func testPost(t *testing.T, front *Frontend, size int, chunked bool) {
	body := bytes.Repeat([]byte("habitat"), size/7+1)[:size]
	req := newRequest(t, "POST", front.URL+"/habitat/message", bytes.NewReader(body))
	if chunked {
		req.ContentLength = -1
	}
	status, text := do(t, req)
	if chunked && front.Kind == Apache {
		assert.Equal(t, http.StatusLengthRequired, status)
		return
	}
	assert.Equal(t, 200, status)
	hasVars(t, text, fmt.Sprintf("CONTENT_LENGTH=%d", size), "REQUEST_METHOD=POST",
		fmt.Sprintf("body=%d %x", size, sha256.Sum256(body)))
}

// Beyond windsock's largest limit the front end answers by itself. It may do so while the client still
// writes, so the client here says what it would send and waits.
func testTooLarge(t *testing.T, front *Frontend) {
	req := newRequest(t, "POST", front.URL+"/habitat/messages", strings.NewReader(strings.Repeat("x", 4<<20+1)))
	req.Header.Set("Expect", "100-continue")
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 20 * time.Second},
		Timeout:   20 * time.Second,
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
}

// The first event reaches the client while the backend has yet to write the second.
func TestDeployStreams(t *testing.T) {
	eachNetwork(t, func(t *testing.T, kind Kind, network string) {
		received := make(chan struct{})
		goOn := sync.OnceFunc(func() { close(received) })
		defer goOn()
		backend := serve(t, network, twoEvents(received))
		front := Start(t, kind, Config{Backend: backend.String()})
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
		resp, err := client.Get(front.URL + "/habitat/messages/stream?after=3")
		require.NoError(t, err)
		defer resp.Body.Close()
		first := make([]byte, len("data: one\n\n"))
		_, err = io.ReadFull(resp.Body, first)
		require.NoError(t, err)
		assert.Equal(t, "data: one\n\n", string(first))
		goOn()
		rest, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, "data: two\n\n", string(rest))
	})
}

// twoEvents writes the second event when the first was received.
func twoEvents(received <-chan struct{}) answer {
	return func(conn net.Conn, _ request) {
		const header = "Status: 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n\r\n"
		// The client sees what is missing.
		_, _ = io.WriteString(conn, header+"data: one\n\n")
		<-received
		_, _ = io.WriteString(conn, "data: two\n\n")
	}
}

// A backend that was away is asked again soon: at once by nginx and Apache, by lighttpd when its clock,
// which counts seconds, has moved on.
func TestDeployBackendComesBack(t *testing.T) {
	for _, kind := range All() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			before := serve(t, "unix", tell)
			front := Start(t, kind, Config{Backend: before.String()})
			request := func() int {
				status, _ := do(t, newRequest(t, "GET", front.URL+"/habitat/", nil))
				return status
			}
			assert.Equal(t, 200, request())
			before.stop()
			assert.GreaterOrEqual(t, request(), 500)
			path := before.Addr().String()
			serveOn(t, "unix", path, tell)
			require.NoError(t, os.Chmod(path, 0o666)) // Apache's workers are not root
			if kind == Lighttpd {
				assert.Eventually(t, func() bool { return request() == 200 }, 10*time.Second, 20*time.Millisecond)
				return
			}
			assert.Equal(t, 200, request())
		})
	}
}

// away is what nginx answers for a windsock that is away: a stream that ends at once and says when to come back.
const away = "retry: 5000\n\n"

func requestStream(t *testing.T, front *Frontend) *http.Response {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Get(front.URL + "/habitat/messages/stream?after=3")
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// nginx's own errors are no end to an EventSource, and only where the event stream is.
func TestDeployStreamWhileAway(t *testing.T) {
	gone := serve(t, "unix", tell)
	gone.stop()
	for name, backend := range map[string]string{
		"not there": gone.String(),
		"no answer": serve(t, "unix", func(net.Conn, request) {}).String(),
		"no accept": fullListener(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := Start(t, Nginx, Config{Backend: backend})
			resp := requestStream(t, front)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, http.StatusOK, resp.StatusCode)
			assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
			assert.Equal(t, []string{"no-store"}, resp.Header.Values("Cache-Control"))
			assert.Equal(t, away, string(body))

			status, _ := do(t, newRequest(t, "GET", front.URL+"/habitat/messages", nil))
			assert.Contains(t, []int{http.StatusBadGateway, http.StatusGatewayTimeout}, status)
			status, _ = do(t, newRequest(t, "POST", front.URL+"/habitat/messages/stream", strings.NewReader("a message")))
			assert.Equal(t, http.StatusBadGateway, status, "it is not taken")
		})
	}
}

// fullListener returns the address of a listener that has no place for a connection: nginx waits for one until it
// gives up with 504.
func fullListener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	require.NoError(t, err)
	var shrunk error
	require.NoError(t, raw.Control(func(fd uintptr) { shrunk = syscall.Listen(int(fd), 0) }))
	require.NoError(t, shrunk)
	for { // until there is none for us either
		conn, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond)
		if err != nil {
			return "tcp:" + l.Addr().String()
		}
		t.Cleanup(func() { conn.Close() })
	}
}

// An error that windsock itself answers with passes, as the body does.
func TestDeployStreamErrorsPass(t *testing.T) {
	for _, status := range []int{400, 410, 500, 502, 503, 504} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			backend := serve(t, "unix", func(conn net.Conn, _ request) {
				// The client sees what is missing.
				_, _ = fmt.Fprintf(conn, "Status: %d Of Its Own\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n\r\n{}", status)
			})
			resp := requestStream(t, Start(t, Nginx, Config{Backend: backend.String()}))
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, status, resp.StatusCode)
			assert.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
			assert.Equal(t, "1", resp.Header.Get("Retry-After"))
			assert.Equal(t, "{}", string(body))
		})
	}
}
