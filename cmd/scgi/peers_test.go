package main_test

import (
	"cmp"
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

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// peer is an SCGI application of another project.
type peer struct {
	name  string
	start func(t *testing.T) (addr string)

	page     string // a path that is there
	call     string // the body that is posted there; empty for a GET
	contains string // what its answer says
	begins   string // how that answer begins; "Status: " when empty
	missing  string // a path that is not there; empty when it takes any
	echoes   bool   // it says what it was asked, as testdata/peers does
}

// ask returns the arguments of scgi request for the page, options before them.
func (p peer) ask(addr string, options ...string) []string {
	args := append(append([]string{"request"}, options...), addr)
	if p.call == "" {
		return append(args, "GET", p.page)
	}
	return append(args, "POST", p.page, "-d", p.call)
}

var peers = []peer{
	{name: "fossil", start: startFossil, page: "/index", contains: "<title>", missing: "/no-such-page"},
	{name: "uwsgi", start: startUwsgi, page: "/a?b=c", contains: "PATH_INFO=/a\n", missing: "/missing", echoes: true},
	{name: "perl", start: startPerl, page: "/a?b=c", contains: "PATH_INFO=/a\n", missing: "/missing", echoes: true},
	{name: "wapp", start: startWapp, page: "/a?b=c", contains: "PATH_INFO=/a\n", begins: "HTTP/1.1 ", missing: "/missing", echoes: true},
	{name: "rtorrent", start: startRTorrent, page: "/RPC2", call: versionCall, contains: "<string>0.9."},
}

// versionCall asks in XML-RPC what version rTorrent is.
const versionCall = `<?xml version="1.0"?><methodCall><methodName>system.client_version</methodName><params/></methodCall>`

func eachPeer(t *testing.T, f func(t *testing.T, p peer, addr string)) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) { f(t, p, p.start(t)) })
	}
}

// quietly is what a peer may have of this machine.
func quietly(folder string) []string {
	return []string{"PATH=/usr/bin:/bin", "LANG=C", "HOME=" + folder, "USER=tester"}
}

func startFossil(t *testing.T) string {
	fossil := frontend.RequireProgram(t, "fossil", "fossil")
	folder := t.TempDir()
	repository := filepath.Join(folder, "r.fossil")
	create := exec.Command(fossil, "init", repository)
	create.Env = quietly(folder)
	out, err := create.CombinedOutput()
	require.NoError(t, err, "%s", out)
	server := exec.Command(fossil, "server", "--scgi", "--localhost", repository)
	server.Env = quietly(folder)
	line := start(t, server).waitFor("Listening for SCGI requests") // on a port that it found free
	return "tcp:127.0.0.1:" + regexp.MustCompile(`\d+$`).FindString(line)
}

func startUwsgi(t *testing.T) string {
	uwsgi := frontend.RequireProgram(t, "uwsgi", "uwsgi-core")
	frontend.RequireFile(t, "/usr/lib/uwsgi/plugins/python3_plugin.so", "uwsgi-plugin-python3")
	socket := filepath.Join(frontend.SocketDir(t), "uwsgi.sock")
	server := exec.Command(uwsgi, "--plugin", "python3", "--scgi-socket", socket, "--wsgi-file", peerFile(t, "app.py"), "--need-app", "--die-on-term")
	server.Env = quietly(t.TempDir())
	start(t, server).waitFor("spawned uWSGI worker 1")
	return "unix:" + socket
}

func startPerl(t *testing.T) string {
	perl := frontend.RequireProgram(t, "perl", "perl")
	frontend.RequireFile(t, "/usr/share/perl5/SCGI.pm", "libscgi-perl")
	socket := filepath.Join(frontend.SocketDir(t), "perl.sock")
	server := exec.Command(perl, peerFile(t, "app.pl"), socket)
	server.Env = quietly(t.TempDir())
	start(t, server).waitFor("ready")
	return "unix:" + socket
}

// startWapp starts an application on Wapp, which is in testdata, since no package has it.
func startWapp(t *testing.T) string {
	tclsh := frontend.RequireProgram(t, "tclsh", "tcl")
	server := exec.Command(tclsh, peerFile(t, "app.tcl"))
	server.Env = quietly(t.TempDir())
	line := start(t, server).waitFor("Listening for SCGI requests") // on a port that it found free
	return "tcp:127.0.0.1:" + regexp.MustCompile(`port (\d+)`).FindStringSubmatch(line)[1]
}

// startRTorrent starts rTorrent without a terminal, and without a port for other peers.
func startRTorrent(t *testing.T) string {
	rtorrent := frontend.RequireProgram(t, "rtorrent", "rtorrent")
	folder := frontend.SocketDir(t)
	socket, settings := filepath.Join(folder, "rt.sock"), filepath.Join(folder, "rt.rc")
	require.NoError(t, os.WriteFile(settings, fmt.Appendf(nil, `system.daemon.set = true
session.path.set = %s
network.port_open.set = no
dht.mode.set = disable
network.scgi.open_local = (cat,"%s")
`, folder, socket), 0o600))
	server := exec.Command(rtorrent, "-n", "-o", "import="+settings)
	server.Env = quietly(folder)
	start(t, server)
	require.Eventually(t, func() bool { // it says nothing
		conn, err := net.Dial("unix", socket)
		return err == nil && conn.Close() == nil
	}, time.Minute, 10*time.Millisecond)
	return "unix:" + socket
}

func peerFile(t *testing.T, name string) string {
	path, err := filepath.Abs(filepath.Join("..", "..", "testdata", "peers", name))
	require.NoError(t, err)
	return path
}

func TestRequestToPeers(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer, addr string) {
		stdout, stderr, code := run(t, "", p.ask(addr, "-i")...)
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, cmp.Or(p.begins, "Status: ")+"200 OK")
		assert.Contains(t, stdout, p.contains)
		assert.Empty(t, stderr)
		if p.missing == "" {
			return
		}

		stdout, _, code = run(t, "", "request", addr, "GET", p.missing)
		assert.Zero(t, code, "an answer is an answer")
		assert.NotEmpty(t, stdout)
		stdout, stderr, code = run(t, "", "request", "--fail", addr, "GET", p.missing)
		assert.Equal(t, 1, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, "scgi: the answer is 404 Not Found")

		stdout, stderr, code = run(t, "", "request", "-i", addr, "HEAD", p.page)
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, cmp.Or(p.begins, "Status: ")+"200 OK")

		if !p.echoes {
			return
		}
		for _, size := range []int{0, 1, 100_000, 3 << 20} {
			body := strings.Repeat("x", size)
			stdout, stderr, code = run(t, body, "request", addr, "POST", "/a?b=c", "-d", "@-", "--var", "REMOTE_ADDR=192.0.2.7")
			assert.Zero(t, code, stderr)
			assert.Contains(t, stdout, "REQUEST_METHOD=POST\n")
			assert.Contains(t, stdout, "QUERY_STRING=b=c\n")
			assert.Contains(t, stdout, "REMOTE_ADDR=192.0.2.7\n")
			assert.Contains(t, stdout, "body="+strconv.Itoa(size)+" "+body[:min(size, 100)]+"\n")
		}
	})
}

// An application may answer without reading the body.
func TestRequestOfWhichTheBodyIsNotRead(t *testing.T) {
	addr := startUwsgi(t)
	for _, size := range []int{1, 100_000, 3 << 20} {
		stdout, stderr, code := run(t, strings.Repeat("x", size), "request", "-i", addr, "POST", "/unread", "-d", "@-")
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, "Status: 413 ")
		assert.True(t, strings.HasSuffix(stdout, "\ntoo large\n"), stdout)
	}
}

func TestLoadOnPeers(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer, addr string) {
		// Fossil notes its own URL on the first request: several first ones at a time fail each other.
		_, stderr, code := run(t, "", p.ask(addr, "--fail")...)
		require.Zero(t, code, stderr)
		load := []string{"load", addr, p.page, "-n", "40", "-c", "4", "--json"}
		if p.call != "" {
			load = append(load, "-d", p.call)
		}
		stdout, stderr, code := run(t, "", load...)
		assert.Zero(t, code, stderr)
		report := parseReport(t, stdout)
		assert.EqualValues(t, 40, report.Requests)
		assert.Equal(t, map[string]int64{"200": 40}, report.Statuses)
		assert.Empty(t, report.Errors)
		assert.Empty(t, stderr, "silent in a pipe")
	})
}

func TestFrontBeforePeers(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer, addr string) {
		front := startFront(t, addr, "--mount", "/habitat")
		r := newRequest(t, "GET", front.url+"/habitat"+p.page, nil)
		if p.call != "" {
			r = newRequest(t, "POST", front.url+"/habitat"+p.page, strings.NewReader(p.call))
		}
		r.Header.Set("X-Forwarded-For", "192.0.2.66")
		status, body := do(t, r)
		assert.Equal(t, http.StatusOK, status)
		assert.Contains(t, body, p.contains)
		switch {
		case p.echoes:
			assert.Contains(t, body, "SCRIPT_NAME=/habitat\n")
			assert.Contains(t, body, "QUERY_STRING=b=c\n")
			assert.Contains(t, body, "REMOTE_ADDR=127.0.0.1\n")
			assert.Contains(t, body, "HTTP_X_FORWARDED_FOR=\n")
		case p.missing != "":
			assert.Contains(t, body, `href="/habitat/style.css`, "its links are under the mount")
		}
		if p.missing != "" {
			status, _ = do(t, newRequest(t, "GET", front.url+"/habitat"+p.missing, nil))
			assert.Equal(t, http.StatusNotFound, status)
		}
		assert.Zero(t, front.stop())
	})
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	require.NoError(t, err)
	return r
}

// do sends a request on a connection of its own.
func do(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}
