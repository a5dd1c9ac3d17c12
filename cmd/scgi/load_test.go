package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// loadReport is what load --json writes.
type loadReport struct {
	Requests int64
	Seconds  float64
	Rate     float64
	Bytes    int64
	Latency  map[string]float64
	Statuses map[string]int64
	Errors   map[string]int64
	NotBegun int64 `json:"not_begun"`
}

func parseReport(t *testing.T, text string) (report loadReport) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&report), text)
	return report
}

// Every request is the one that the command line says, and all are counted.
func TestLoad(t *testing.T) {
	var n atomic.Int64
	addr := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "hello" || r.Method != "POST" || r.URL.String() != "/a?b" ||
			r.Header.Get("X-A") != "1" || scgi.Env(r).Get("REMOTE_ADDR") != "192.0.2.7" {
			w.WriteHeader(http.StatusBadRequest)
		}
		n.Add(1)
		_, _ = io.WriteString(w, "OK")
	})
	args := []string{"load", addr, "/a?b", "-d", "hello", "-H", "X-A: 1", "--var", "REMOTE_ADDR=192.0.2.7", "-n", "500"}
	stdout, stderr, code := run(t, "", append(args, "--json")...)
	require.Zero(t, code, stderr)
	assert.Empty(t, stderr, "silent in a pipe")
	report := parseReport(t, stdout)
	assert.EqualValues(t, 500, n.Load())
	assert.EqualValues(t, 500, report.Requests)
	assert.Equal(t, map[string]int64{"200": 500}, report.Statuses)
	assert.Empty(t, report.Errors)
	assert.Zero(t, report.NotBegun)
	assert.Positive(t, report.Rate)
	assert.InDelta(t, 500, report.Rate*report.Seconds, 0.01)
	last := 0.0
	for _, name := range []string{"min", "p50", "p75", "p90", "p99", "p99.9", "max"} {
		assert.GreaterOrEqual(t, report.Latency[name], last, name)
		last = report.Latency[name]
	}
	assert.Positive(t, report.Latency["mean"])

	stdout, stderr, code = run(t, "", args...)
	require.Zero(t, code, stderr)
	for _, want := range []string{"500 answered in ", "rate", "mean", "99.9%", "max", "status    200    500\n"} {
		assert.Contains(t, stdout, want)
	}
	assert.NotContains(t, stdout, "error")
	assert.EqualValues(t, 1000, n.Load())
}

// What goes wrong is counted by kind, and makes a failure of it.
func TestLoadFailures(t *testing.T) {
	var n atomic.Int64
	mixed := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 4 {
		case 1:
			w.WriteHeader(http.StatusNotFound)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			panic(http.ErrAbortHandler)
		}
	})
	stdout, stderr, code := run(t, "", "load", mixed, "/", "-n", "40", "--json")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "10 requests had no answer, 20 a status of 400 or above")
	report := parseReport(t, stdout)
	assert.Equal(t, map[string]int64{"200": 10, "404": 10, "503": 10}, report.Statuses)
	assert.Equal(t, map[string]int64{"short": 10}, report.Errors)

	nobody := "unix:" + filepath.Join(frontend.SocketDir(t), "nobody")
	stdout, _, code = run(t, "", "load", nobody, "/", "-n", "40")
	assert.Equal(t, 1, code)
	assert.Contains(t, stdout, "error     dial  40  (connect: no such file or directory)")
}

func TestLoadUsage(t *testing.T) {
	addr := newApp(t, echo)
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{addr, "/", "-c", "0"}, "-c: must be from 1 to 10000"},
		{[]string{addr, "/", "-c", "10001"}, "-c: must be from 1 to 10000"},
		{[]string{addr, "/", "--requests=-1"}, "must not be negative"},
		{[]string{addr, "/", "--rate=-1"}, "must not be negative"},
		{[]string{addr, "/", "--timeout", "0s"}, "--timeout"},
		{[]string{addr, "x"}, "begins with a slash"},
		{[]string{"tcp:127.0.0.1:0", "/"}, "port 0"},
	} {
		stdout, stderr, code := run(t, "", append([]string{"load"}, row.args...)...)
		assert.Equal(t, 2, code, row.args)
		assert.Contains(t, stderr, row.want)
		assert.Empty(t, stdout)
	}
}

// An interrupt ends it at once, with a report.
func TestLoadInterrupted(t *testing.T) {
	answered := make(chan struct{})
	var n atomic.Int64
	addr := newApp(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 100 {
			close(answered)
		}
	})
	p := start(t, command(t, "load", addr, "/", "-t", "1h"))
	<-answered
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	assert.Contains(t, p.waitFor("requests"), "answered in")
	p.waitFor("scgi: interrupted")
	<-p.ended
	assert.Equal(t, 1, p.cmd.ProcessState.ExitCode())
}

// On a terminal a line shows how far it is.
func TestLoadProgress(t *testing.T) {
	script := frontend.RequireProgram(t, "script", "bsdutils")
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.Command(script, "-qec", path+" load "+newApp(t, echo)+" / -t 500ms", "/dev/null")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Regexp(t, `\r\x1b\[K\d s of 500ms: \d+ requests a second`, string(out))
	assert.Contains(t, string(out), "answered in")
}
