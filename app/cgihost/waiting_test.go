//go:build linux

package cgihost_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/cgihost"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// These tests are about places: a request that waits for its client holds none.

// onePlace gives a host one place. A request that would have to wait is refused.
func onePlace(h *cgihost.Host) { h.Gate = admission.Gate{Places: 1} }

func post(path string, length int, body string) []byte {
	return scgitest.Request(body, "CONTENT_LENGTH", strconv.Itoa(length), "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", path)
}

func status(t *testing.T, br *bufio.Reader) int {
	t.Helper()
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode
}

// A client that sends its body slowly holds no place: its program starts when the
// body is whole, be it in memory or in a file.
func TestSlowSenderHoldsNoPlace(t *testing.T) {
	for _, size := range []int{2, 1 << 20} {
		mark := filepath.Join(t.TempDir(), "started")
		s := alone(t, `[ "$REQUEST_METHOD" = GET ] || touch '`+mark+`'; printf 'Content-Type: a/b\n\n'; wc -c`, onePlace)
		conn, br := s.open(t, post("/mount/cgi", size, strings.Repeat("x", size-1)))
		for range 3 {
			resp, _ := s.ask(t, "GET", "/mount/cgi", "")
			assert.Equal(t, http.StatusOK, resp.StatusCode)
		}
		assert.NoFileExists(t, mark)
		_, err := io.WriteString(conn, "x")
		require.NoError(t, err)
		resp, err := scgi.ReadResponse(br, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintln(size), string(body))
		assert.FileExists(t, mark)
	}
}

// A client that takes a large answer slowly holds a place only until the program
// has printed it, and then gets all of it.
func TestSlowReaderHoldsNoPlace(t *testing.T) {
	budget, disk := &admission.Budget{Bytes: 1 << 20}, &admission.Budget{Bytes: 100 << 20}
	s := alone(t, `printf 'Content-Type: a/b\n\n'; [ "$QUERY_STRING" != large ] || seq 1000000`, func(h *cgihost.Host) {
		onePlace(h)
		h.Budget, h.Disk = budget, disk
	})
	_, br := s.open(t, scgitest.Get("/mount/cgi?large"))
	_, err := br.Peek(1) // the program runs
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		resp, _ := s.ask(t, "GET", "/mount/cgi", "")
		return resp.StatusCode == http.StatusOK
	}, patience, time.Millisecond)
	assert.Greater(t, disk.Used(), int64(5<<20), "what the client has not taken")
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var want bytes.Buffer
	for n := 1; n <= 1_000_000; n++ {
		fmt.Fprintln(&want, n)
	}
	assert.True(t, bytes.Equal(want.Bytes(), body))
	s.Close()
	assert.Zero(t, disk.Used())
	assert.Zero(t, budget.Used())
}

// The time that a client takes to read is not the program's: an answer that was
// printed in time is sent, though its time is over.
func TestSlowReaderHasItsOwnTime(t *testing.T) {
	t.Parallel()
	s := alone(t, `printf 'Content-Type: a/b\n\n'; seq 1000000`, func(h *cgihost.Host) { h.Timeout = 3 * time.Second })
	_, br := s.open(t, scgitest.Get("/mount/cgi"))
	other := alone(t, `sleep 600`, func(h *cgihost.Host) { h.Timeout = 4 * time.Second })
	resp, _ := other.ask(t, "GET", "/mount/cgi", "")
	require.Equal(t, http.StatusGatewayTimeout, resp.StatusCode, "longer than the first one had")
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.True(t, bytes.HasSuffix(body, []byte("\n1000000\n")))
	assert.Empty(t, s.log.String())
}

// Output reaches the client while the program runs, and the program keeps its place.
func TestOutputIsLive(t *testing.T) {
	dir := t.TempDir()
	s := alone(t, `printf 'Content-Type: text/event-stream\n\n'; cd '`+dir+`'
for n in 1 2 3; do echo $n; while ! [ -e go.$n ]; do sleep 0.02; done; done`, onePlace)
	_, br := s.open(t, scgitest.Get("/mount/cgi"))
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	events := bufio.NewReader(resp.Body)
	for n := 1; n <= 3; n++ {
		line, err := events.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintln(n), line)
		refused, _ := s.ask(t, "GET", "/mount/cgi", "")
		require.Equal(t, http.StatusServiceUnavailable, refused.StatusCode)
		require.NotEmpty(t, refused.Header.Get("Retry-After"))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("go.", n)), nil, 0o644))
	}
	_, err = events.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
}

// A request that waits has its body here, and leaves with its client or at a stop. A
// body is counted until its program has ended.
func TestWaitingForAPlace(t *testing.T) {
	dir := t.TempDir()
	disk := &admission.Budget{Bytes: 10 << 20}
	s := alone(t, `cd '`+dir+`'; touch started; while ! [ -e go ]; do sleep 0.02; done; printf 'Content-Type: a/b\n\n'; wc -c`, func(h *cgihost.Host) {
		h.Gate, h.Disk = admission.Gate{Places: 1, Waiting: 2}, disk
	})
	body := strings.Repeat("x", 1<<20)
	request := post("/mount/cgi", len(body), body)
	received := func(n int64) func() bool {
		return func() bool { return disk.Used() == n*(1<<20-admission.Free) }
	}
	_, first := s.open(t, request)
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "started")); return err == nil }, patience, time.Millisecond)
	leaving, _ := s.open(t, request)
	require.Eventually(t, received(2), patience, time.Millisecond)
	_, waiting := s.open(t, request)
	require.Eventually(t, received(3), patience, time.Millisecond)
	require.NoError(t, leaving.Close())
	require.Eventually(t, received(2), patience, time.Millisecond)
	s.host.Gate.Drain()
	assert.Equal(t, http.StatusServiceUnavailable, status(t, waiting))
	require.Eventually(t, received(1), patience, time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	assert.Equal(t, http.StatusOK, status(t, first))
	s.Close()
	assert.Zero(t, disk.Used())
}

// Bodies are bounded to the byte; a larger one is refused before it is read.
func TestMostBody(t *testing.T) {
	s := alone(t, `printf 'Content-Type: a/b\n\n'; wc -c`, func(h *cgihost.Host) { h.MaxBody = 100_000 })
	resp, body := s.ask(t, "POST", "/mount/cgi", strings.Repeat("x", 100_000))
	assert.Equal(t, "200 100000\n", fmt.Sprint(resp.StatusCode, " ", body))
	conn, br := s.open(t, post("/mount/cgi", 100_001, ""))
	assert.Equal(t, http.StatusRequestEntityTooLarge, status(t, br))
	require.NoError(t, conn.(*net.UnixConn).CloseWrite())
}

// Temporary files are bounded all together. A body that finds no room is refused;
// an answer that finds none is broken off, but what is there is sent.
func TestMostOnDisk(t *testing.T) {
	const most, piece = 100_000, 32 << 10 // output is read and kept in pieces
	mark := filepath.Join(t.TempDir(), "started")
	disk := &admission.Budget{Bytes: most}
	s := alone(t, `touch '`+mark+`'; printf 'Content-Type: a/b\nContent-Length: 10000000\n\n'; head -c 10000000 /dev/zero`,
		func(h *cgihost.Host) { h.Disk = disk })
	resp, _ := s.ask(t, "POST", "/mount/cgi", strings.Repeat("x", 1<<20))
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.NotEmpty(t, resp.Header.Get("Retry-After"))
	assert.NoFileExists(t, mark)
	assert.Contains(t, s.log.String(), "could not be kept")

	_, br := s.open(t, scgitest.Get("/mount/cgi")) // which takes nothing until the disk is used up
	require.Eventually(t, func() bool {
		assert.LessOrEqual(t, disk.Used(), int64(most))
		return strings.Contains(s.log.String(), "a CGI program was ended")
	}, patience, time.Millisecond)
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Greater(t, len(body), most-piece, "all that was kept, up to the piece that found no room")
	assert.Contains(t, s.log.String(), "holds as many bytes")
}
