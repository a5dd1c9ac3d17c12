//go:build unix

package frontend

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This file captures what the front ends send into testdata/scgi, or shows that the captures are still
// what they send.

var update = flag.Bool("update", false, "write testdata/scgi anew")

const testdata = "../../../testdata/scgi"

// capturedWith are the versions whose requests are stored. Others may send other variables: then the
// captures cannot be compared, and the test says so.
var capturedWith = map[Kind]string{Nginx: "1.22.1", Lighttpd: "1.4.69", Apache: "2.4.71"}

// setups are the configurations that requests are captured behind; the name begins the files' names.
var setups = []struct {
	name string
	kind Kind
	cfg  Config
}{
	{"nginx", Nginx, Config{Style: Deploy}},
	{"nginx-stock", Nginx, Config{Style: Stock}},
	{"lighttpd", Lighttpd, Config{Style: Deploy}},
	{"lighttpd-slash", Lighttpd, Config{Style: Stock}},
	// Without AllowEncodedSlashes Apache answers the encoded path with 404 by itself.
	{"apache", Apache, Config{Style: Deploy, Server: "AllowEncodedSlashes NoDecode"}},
	{"apache-stock", Apache, Config{Style: Stock, Server: "AllowEncodedSlashes NoDecode"}},
}

// exchanges are the requests; what %s stands for is commonHeader.
var exchanges = []struct{ name, request string }{
	{"get", "GET /habitat/messages?after=3&limit=2 HTTP/1.1\r\n%s\r\n"},
	{"head", "HEAD /habitat/messages HTTP/1.1\r\n%s\r\n"},
	{"mount", "GET /habitat/ HTTP/1.1\r\n%s\r\n"},
	{"encoded", "GET /habitat/a%%2Fb%%20c%%C3%%A9?d%%20e HTTP/1.1\r\n%s\r\n"},
	{"repeated", "GET /habitat/messages HTTP/1.1\r\n%sX-Tag: a\r\nX-Tag: b\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n"},
	{"cookie", "GET /habitat/messages HTTP/1.1\r\n%sCookie: session=" + strings.Repeat("0123456789abcdef", 375) + "\r\n\r\n"},
	{"post", "POST /habitat/message?x=1 HTTP/1.1\r\n%sAuthorization: Bearer token\r\nContent-Type: application/json\r\n" +
		"Content-Length: 7\r\n\r\n{\"a\":1}"},
	{"chunked", "POST /habitat/message?x=1 HTTP/1.1\r\n%sContent-Type: application/json\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n"},
}

const commonHeader = "Host: habitat.example:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nConnection: close\r\n"

func TestCapture(t *testing.T) {
	for _, setup := range setups {
		t.Run(setup.name, func(t *testing.T) {
			t.Parallel()
			requireVersion(t, setup.kind)
			captured := make(chan request, 1)
			setup.cfg.Backend = serve(t, "unix", keep(captured)).String()
			front := Start(t, setup.kind, setup.cfg)
			for _, ex := range exchanges {
				t.Run(ex.name, func(t *testing.T) {
					status := send(t, front, fmt.Sprintf(ex.request, commonHeader))
					if setup.kind == Apache && ex.name == "chunked" {
						assert.Equal(t, http.StatusLengthRequired, status)
						return
					}
					require.Equal(t, http.StatusOK, status)
					compare(t, filepath.Join("good", setup.name+"-"+ex.name+".scgi"), <-captured)
				})
			}
		})
	}
}

// nginx before 1.29.6, told to pass bodies on as they come, counts only what it has read so far.
func TestCaptureUnbufferedNginx(t *testing.T) {
	requireVersion(t, Nginx)
	const length = 60_000
	captured := make(chan request, 1)
	l, err := net.Listen("unix", filepath.Join(SocketDir(t), "app.sock"))
	require.NoError(t, err)
	defer l.Close()
	go keepUnbuffered(l, length, captured)
	front := Start(t, Nginx, Config{Backend: "unix:" + l.Addr().String(), Style: Full, Location: "scgi_request_buffering off;"})
	body := strings.Repeat("0123456789abcde\n", length/16)
	status := send(t, front, fmt.Sprintf("POST /habitat/message HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", commonHeader, length, body))
	require.Equal(t, http.StatusOK, status)

	req := <-captured
	assert.Equal(t, strconv.Itoa(length), req.get("HTTP_CONTENT_LENGTH"))
	said, err := strconv.Atoi(req.get("CONTENT_LENGTH"))
	require.NoError(t, err)
	assert.Less(t, said, length)
	compare(t, "bad/nginx-unbuffered-length.scgi", req)
}

// keepUnbuffered takes one request whose CONTENT_LENGTH is known to be wrong.
func keepUnbuffered(l net.Listener, length int, captured chan<- request) {
	defer close(captured)
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	block, err := readNetstring(r)
	if err != nil {
		return
	}
	vars, err := splitBlock(block)
	if err != nil {
		return
	}
	body, err := readExactly(r, length)
	if err != nil {
		return
	}
	raw := fmt.Appendf(nil, "%d:%s,%s", len(block), block, body)
	keep(captured)(conn, request{vars, body, raw})
}

// keep answers shortly and hands the request over.
func keep(captured chan<- request) answer {
	return func(conn net.Conn, req request) {
		// The client sees what is missing.
		_, _ = io.WriteString(conn, "Status: 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n")
		captured <- req
	}
}

// send writes a request as it is and returns the status of the answer.
func send(t *testing.T, front *Frontend, text string) int {
	t.Helper()
	conn, err := net.Dial("tcp", front.Addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	return resp.StatusCode
}

// compare checks a request against its file: the names, their order and the body are the same, and so is
// every value that does not depend on the time and place of the capture. With -update it writes the file.
func compare(t *testing.T, name string, got request) {
	t.Helper()
	path := filepath.Join(testdata, name)
	if *update {
		require.NoError(t, os.WriteFile(path, got.raw, 0o644))
		return
	}
	stored, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./scgi/scgitest/frontend -run TestCapture -update writes it")
	r := bufio.NewReader(bytes.NewReader(stored))
	block, err := readNetstring(r)
	require.NoError(t, err)
	vars, err := splitBlock(block)
	require.NoError(t, err)
	body, err := io.ReadAll(r)
	require.NoError(t, err)

	want := request{vars: vars, body: body}
	require.Equal(t, want.names(), got.names())
	assert.Equal(t, string(want.body), string(got.body))
	for i, v := range want.vars {
		if !varying[v.name] {
			assert.Equal(t, versionless(v), versionless(got.vars[i]))
		}
	}
}

// varying are the variables whose values hold a port, a temporary folder or, behind an unbuffering nginx,
// a matter of timing.
var varying = map[string]bool{
	"CONTENT_LENGTH": true, "REMOTE_PORT": true, "SERVER_PORT": true, "DOCUMENT_ROOT": true,
	"SCRIPT_FILENAME": true, "PATH_TRANSLATED": true, "CONTEXT_DOCUMENT_ROOT": true,
}

// requireVersion skips a test of captures that another version made, which may well send something else. In CI
// it does not: there an upgrade that changes what is sent has to be seen.
func requireVersion(t *testing.T, kind Kind) {
	t.Helper()
	Require(t, kind)
	path := RequireProgram(t, programs[kind].name, programs[kind].debianPackage)
	out, err := exec.Command(path, "-v").CombinedOutput()
	require.NoError(t, err, "%s", out)
	version := versionPattern.FindString(string(out))
	if version == capturedWith[kind] {
		return
	}
	if os.Getenv("CI") != "true" {
		t.Skipf("NOT COMPARED: the captures are of %s %s, here is %s", kind, capturedWith[kind], version)
	}
	t.Logf("the captures are of %s %s, here is %s", kind, capturedWith[kind], version)
}

// versionless is a variable without the version of the front end that sends it.
func versionless(v variable) variable {
	if v.name == "SERVER_SOFTWARE" {
		v.value = versionPattern.ReplaceAllString(v.value, "0.0.0")
	}
	return v
}

var versionPattern = regexp.MustCompile(`\d+\.\d+\.\d+`)
