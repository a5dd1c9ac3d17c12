//go:build linux

package cgihost_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/cgihost"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// patience bounds waits that only a failure makes long.
const patience = time.Minute

// family is a program that leaves its number and its child's in a file, before
// its answer begins with more.
func family(t *testing.T, more string) (script string, members func() []int) {
	file := filepath.Join(t.TempDir(), "members")
	return "sleep 600 &\necho $$ $! >'" + file + ".new'; mv '" + file + ".new' '" + file + "'\n" + more, func() (pids []int) {
		var text []byte
		require.Eventually(t, func() (ok bool) {
			var err error
			text, err = os.ReadFile(file)
			return err == nil
		}, patience, time.Millisecond)
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			require.NoError(t, err)
			pids = append(pids, pid)
		}
		require.Len(t, pids, 2)
		return pids
	}
}

// isAlive reports whether a process runs; one that is only to be reaped does not.
func isAlive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return state[0] != 'Z' && state[0] != 'X'
}

func assertDead(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		assert.Eventually(t, func() bool { return !isAlive(pid) }, patience, time.Millisecond, "process %d is left", pid)
	}
}

// Whatever ends a run ends the whole group, even one that ignores SIGTERM.
func TestTheGroupIsEnded(t *testing.T) {
	const begin = "printf 'Content-Type: a/b\\n\\nbegun\\n'\n"
	soon := func(h *cgihost.Host) { h.Timeout = 3 * time.Second } // it has begun by then, however busy the machine
	for _, row := range []struct {
		name      string
		script    string
		configure func(*cgihost.Host)
		act       func(t *testing.T, s *site, conn net.Conn)
		answer    string // a part of it; empty for none
		log       string
	}{
		{"time over, no answer yet", "wait", soon, nil, "Status: 504", "ran for longer"},
		{"time over midway", begin + "wait", soon, nil, "begun", "ran for longer"},
		{"time over, stubborn", "trap '' TERM\nwait; sleep 600", soon, nil, "Status: 504", "ran for longer"},
		{"too much output", begin + "exec yes", func(h *cgihost.Host) { h.MaxOutput = 1 << 20 }, nil, "begun\ny\ny", "printed more"},
		{"broken output", "echo nonsense; wait", nil, nil, "Status: 502", "not as it should be"},
		{"the client goes, no answer yet", "wait", nil, func(t *testing.T, _ *site, conn net.Conn) { require.NoError(t, conn.Close()) }, "", "its client has gone"},
		{"the client goes midway", begin + "exec yes", nil, func(t *testing.T, _ *site, conn net.Conn) {
			_, err := io.ReadFull(conn, make([]byte, 1000))
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}, "", ""},
		{"Close", "wait", nil, func(_ *testing.T, s *site, _ net.Conn) { s.host.Close() }, "Status: 503", "the server is stopping"},
		{"Kill", "trap '' TERM; wait; sleep 600", nil, func(_ *testing.T, s *site, _ net.Conn) { s.host.Kill() }, "Status: 503", "the server is stopping"},
		{"a forced stop", "wait", nil, func(t *testing.T, s *site, _ net.Conn) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			assert.Error(t, s.Config.Shutdown(ctx))
		}, "", "its client has gone"},
		{"it ends by itself", begin, nil, nil, "begun", ""},
		{"it closes its output and goes on", begin + "exec >&- 2>&-; wait", soon, nil, "begun", "ran for longer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			script, members := family(t, row.script)
			s := alone(t, script, row.configure)
			conn, _ := s.open(t, scgitest.Get("/mount/cgi"))
			pids := members()
			if row.act != nil {
				row.act(t, s, conn)
			}
			if row.answer != "" {
				answer, err := io.ReadAll(conn)
				require.NoError(t, err)
				assert.Contains(t, string(answer), row.answer)
				if strings.HasPrefix(row.answer, "begun") {
					assert.NotContains(t, string(answer), "Gateway", "no second answer within the first")
				}
			}
			assertDead(t, pids)
			s.host.Close()
			assert.Contains(t, s.log.String(), row.log)
		})
	}
}

func TestNothingStartsAfterClose(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "started")
	s := alone(t, `touch '`+mark+`'; echo Status: 200; echo`, nil)
	s.host.Close()
	resp, _ := s.ask(t, "GET", "/mount/cgi", "")
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.NoFileExists(t, mark)
}

// What has left the group is not ours to end, and does not hold the answer up.
func TestWhoLeavesTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "daemon")
	s := alone(t, `setsid sh -c 'echo $$ >"`+file+`.new"; mv "`+file+`.new" "`+file+`"; exec sleep 600' & while ! [ -e '`+file+`' ]; do :; done; printf 'Content-Type: a/b\n\nstarted'`, nil)
	resp, body := s.ask(t, "GET", "/mount/cgi", "")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "started", body)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	assert.True(t, isAlive(pid))
	daemon, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, daemon.Kill())
}

// A program that goes over to another group, here the server's own, is ended
// like any other: its time is over, and neither a place nor a stop waits for it.
func TestAProgramThatChangesItsGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deserter")
	writeProgram(t, file, "#!/usr/bin/perl\n"+
		`setpgrp(0, getpgrp(getppid())) or die; $| = 1; print "Content-Type: a/b\n\n$$ ", getpgrp(); sleep 60`)
	s := serve(t, func(h *cgihost.Host) {
		h.Programs, h.Timeout = []cgihost.Mount{{Prefix: "/cgi", File: file}}, 3*time.Second
	})
	_, body := s.ask(t, "GET", "/mount/cgi", "")
	var pid, group int
	_, err := fmt.Sscan(body, &pid, &group)
	require.NoError(t, err)
	require.Equal(t, syscall.Getpgrp(), group)
	assertDead(t, []int{pid})
	assert.Contains(t, s.log.String(), "signal: killed", "it did not end by itself")
}

// What is left behind may still print, as a filter at the end of a pipe does.
func TestOutputOfWhatIsLeftBehind(t *testing.T) {
	s := alone(t, `printf 'Content-Type: a/b\n\n'; (sleep 0.1; echo late) &`, nil)
	_, body := s.ask(t, "GET", "/mount/cgi", "")
	assert.Equal(t, "late\n", body)
}

// A broken answer does not look whole.
func TestBrokenAnswerIsSeen(t *testing.T) {
	s := alone(t, `printf 'Content-Type: a/b\nContent-Length: 10000\n\n%5000s'; sleep 600`, func(h *cgihost.Host) { h.Timeout = 3 * time.Second })
	resp, err := s.Client().Get("http://example.org/mount/cgi")
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// Neither a descriptor nor a file nor a process stays behind, nor is anything still
// counted, whatever a run was like.
func TestNothingIsLeft(t *testing.T) {
	files := t.TempDir()
	t.Setenv("TMPDIR", files)
	budget, disk := &admission.Budget{Bytes: 1 << 20}, &admission.Budget{Bytes: 10 << 20}
	counted := func(h *cgihost.Host) { h.Budget, h.Disk = budget, disk }
	s := serve(t, counted)
	hang := alone(t, "sleep 600", func(h *cgihost.Host) { h.Timeout = 100 * time.Millisecond; counted(h) })
	round := func() {
		s.ask(t, "POST", "/mount/cgi/echo.py", strings.Repeat("x", 3<<20))
		s.ask(t, "POST", "/mount/cgi/none", strings.Repeat("x", 3<<20))
		s.ask(t, "POST", "/mount/cgi/echo.py", "body")
		s.ask(t, "POST", "/mount/cgi/ignores-body.sh", strings.Repeat("x", 1<<20))
		s.ask(t, "GET", "/mount/cgi/empty.sh", "")
		resp, _ := hang.ask(t, "GET", "/mount/cgi", "")
		assert.Equal(t, http.StatusGatewayTimeout, resp.StatusCode)
	}
	round()
	before := descriptors(t)
	for range 10 {
		round()
	}
	s.host.Close()
	hang.host.Close()
	assert.Eventually(t, func() bool { return descriptors(t) <= before }, patience, time.Millisecond, "descriptors")
	assert.Empty(t, children(t))
	left, err := filepath.Glob(filepath.Join(files, "windsock-cgi-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.Zero(t, budget.Used())
	assert.Zero(t, disk.Used())
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// children are this process's, those that wait to be reaped included.
func children(t *testing.T) (all string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil { // else the thread has ended
			all += string(text)
		}
	}
	return all
}

// The bound on output is met to the byte, the header included.
func TestMostOutput(t *testing.T) {
	const output = "Content-Type: a/b\n\nhello"
	for most, want := range map[int]string{len(output): "200 hello", len(output) - 1: "502 Bad Gateway\n"} {
		s := alone(t, "printf '"+output+"'", func(h *cgihost.Host) { h.MaxOutput = int64(most) })
		resp, body := s.ask(t, "GET", "/mount/cgi", "")
		assert.Equal(t, want, fmt.Sprint(resp.StatusCode, " ", body))
	}
}

// A front end that goes away with a whole answer, as nginx does when it has its
// Content-Length, does not end what the program does after it.
func TestWorkAfterAWholeAnswer(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "done")
	s := alone(t, `printf 'Content-Type: a/b\nContent-Length: 5000\n\n%5000s'; sleep 0.3; touch '`+mark+`'`, nil)
	conn, br := s.open(t, scgitest.Get("/mount/cgi"))
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 5000))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { _, err := os.Stat(mark); return err == nil }, patience, time.Millisecond)
	s.Close()
	assert.NotContains(t, s.log.String(), "warn")
}

// What is printed past the Content-Length, mostly a newline, is dropped and logged.
// It neither holds the answer back nor ends the program.
func TestWorkAfterAnAnswerThatIsTooLong(t *testing.T) {
	dir := t.TempDir()
	s := alone(t, `printf 'Content-Type: a/b\nContent-Length: 5\n\nhello\n'; cd '`+dir+`'; while ! [ -e go ]; do sleep 0.02; done; echo more; touch done`, nil)
	conn, br := s.open(t, scgitest.Get("/mount/cgi"))
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	body := make([]byte, 5)
	_, err = io.ReadFull(resp.Body, body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
	require.NoError(t, conn.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "done")); return err == nil }, patience, time.Millisecond)
	s.Close()
	assert.Equal(t, 1, strings.Count(s.log.String(), "\n"), s.log)
	assert.Contains(t, s.log.String(), "longer than its Content-Length of 5")
}

// A panic above the program, in a Response say, does not leave it behind.
func TestPanicAboveAProgram(t *testing.T) {
	script, members := family(t, "printf 'Content-Type: a/b\\n\\nx'; wait")
	log := &journal{}
	h := &cgihost.Host{Programs: []cgihost.Mount{{Prefix: "/cgi", File: program(t, script)}}, Logger: zerolog.New(log)}
	r := httptest.NewRequest("GET", "/cgi", nil)
	assert.PanicsWithValue(t, "as the test wants it", func() { h.ServeHTTP(panicking{httptest.NewRecorder()}, r) })
	assertDead(t, members())
	h.Close()
	assert.Contains(t, log.String(), "the server has failed")
	assert.Empty(t, children(t))
}

// panicking is a Response that does.
type panicking struct{ http.ResponseWriter }

func (panicking) Write([]byte) (int, error) { panic("as the test wants it") }

// A short answer that is whole is not held back until the program ends, nor lost
// when that takes too long.
func TestWholeAnswerOfASlowProgram(t *testing.T) {
	s := alone(t, `printf 'Content-Type: a/b\nContent-Length: 5\n\nhello'; sleep 600`, func(h *cgihost.Host) { h.Timeout = 3 * time.Second })
	conn, br := s.open(t, scgitest.Get("/mount/cgi"))
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	body := make([]byte, 5)
	_, err = io.ReadFull(resp.Body, body)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(body))
	assert.NotContains(t, s.log.String(), "ran for longer", "it still runs")
	_, err = conn.Read(body)
	assert.Equal(t, io.EOF, err)
	assert.Contains(t, s.log.String(), "ran for longer")
}
