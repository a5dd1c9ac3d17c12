package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// Apache passes a body on as it comes. So slow clients of its reach windsock, and
// another batch must pass them all.
func TestSlowBatchesBehindApache(t *testing.T) {
	frontend.Require(t, frontend.Apache)
	dir := folder(t)
	serve(t, dir)
	front := frontend.Start(t, frontend.Apache, frontend.Config{Backend: "unix:" + filepath.Join(dir, "data", "windsock.sock")})
	address, err := url.Parse(front.URL)
	require.NoError(t, err)
	const slow = 32
	var clients []*slowClient
	for n := range slow {
		body := note(fmt.Sprint("slow", n))
		c := newSlowClient(t, address.Host, fmt.Sprintf("POST /habitat/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"+
			"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		c.sendAllBut(1)
		clients = append(clients, c)
	}
	resp, err := http.Post(front.URL+"/habitat/messages", "application/x-ndjson", strings.NewReader(note("prompt")))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, 200, resp.StatusCode, "%s", answer)
	for _, c := range clients {
		assert.Contains(t, c.finish(), "200 OK")
	}
}

// slowClient sends a request bit by bit.
type slowClient struct {
	t    *testing.T
	conn net.Conn
	rest string
}

func newSlowClient(t *testing.T, address, request string) *slowClient {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &slowClient{t, conn, request}
}

// sendAllBut sends what there is but for the last n bytes.
func (c *slowClient) sendAllBut(n int) {
	cut := len(c.rest) - n
	_, err := io.WriteString(c.conn, c.rest[:cut])
	require.NoError(c.t, err)
	c.rest = c.rest[cut:]
}

// finish sends the rest and returns the answer.
func (c *slowClient) finish() string {
	c.sendAllBut(0)
	answer, err := io.ReadAll(c.conn)
	require.NoError(c.t, err)
	return string(answer)
}

// Clients that send slowly and clients that read slowly, many at once, take no more
// memory than --in-flight and some more, and everybody else is served.
func TestMemoryOfSlowClients(t *testing.T) {
	const (
		clients  = 400 // of each kind; all of them would take 800 MB
		inFlight = 32 << 20
		beside   = 300e6
	)
	dir := folder(t)
	p := launch(t, dir, exec.Command(binary(t), "serve", "--in-flight", "32MiB")) // without the race detector's memory
	p.waitFor("\"message\":\"serving\"")
	client := &http.Client{Transport: p.transport()}
	var notes []string
	for n := range 200 {
		notes = append(notes, note(strings.Repeat("x", 5000)+strconv.Itoa(n)))
	}
	resp, err := client.Post("http://windsock/messages", "application/x-ndjson", strings.NewReader(strings.Join(notes, "\n")))
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	require.NoError(t, resp.Body.Close())

	upload := scgitest.Post("/message", note(strings.Repeat("x", 1<<20-200)))
	page := scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET",
		"REQUEST_URI", "/messages?limit=1000", "PATH_INFO", "/messages", "QUERY_STRING", "limit=1000")
	var all sync.WaitGroup
	for range clients {
		for _, request := range [][]byte{upload[:len(upload)-1], page} {
			conn, err := net.Dial("unix", filepath.Join(dir, "data", "windsock.sock"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close(); all.Wait() })
			// A refused upload ends here with an error: windsock takes no more of it.
			all.Go(func() { _, _ = conn.Write(request) })
		}
		status, answer, err := post(client, "http://windsock/message", note("ordinary"))
		assertPosted(t, status, answer, err)
	}
	assert.LessOrEqual(t, peakMemory(t, p.cmd.Process.Pid), int64(inFlight+beside))
}

// peakMemory is the most that a process has had resident, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, after, ok := bytes.Cut(status, []byte("VmHWM:"))
	require.True(t, ok)
	kilobytes, err := strconv.ParseInt(string(bytes.Fields(after)[0]), 10, 64)
	require.NoError(t, err)
	return kilobytes << 10
}
