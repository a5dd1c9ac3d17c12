//go:build linux

package cgihost_test

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/cgihost"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// programs are those for tests, from this folder.
const programs = "../../testdata/cgi"

// site is a host and the server before it, under the mount /mount.
type site struct {
	*scgitest.Server
	host *cgihost.Host
	log  *journal
}

// journal keeps a log.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// serve serves the test programs at /cgi, and with them what configure changes.
func serve(t testing.TB, configure func(*cgihost.Host)) *site {
	t.Helper()
	frontend.RequireProgram(t, "perl", "perl-base")
	frontend.RequireProgram(t, "/usr/bin/python3", "python3-minimal")
	log := &journal{}
	host := &cgihost.Host{
		Programs: []cgihost.Mount{{Prefix: "/cgi", File: programs}},
		Mount:    "/mount",
		Gate:     admission.Gate{Places: 100},
		Software: "windsock/test",
		Logger:   zerolog.New(log),
	}
	if configure != nil {
		configure(host)
	}
	s := &site{scgitest.NewUnstartedServer(scgi.StripMount("/mount", host)), host, log}
	s.Config.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s.Start()
	t.Cleanup(func() {
		s.Close()
		host.Close()
		if t.Failed() {
			t.Logf("the end of the log:\n%s", log.String()[max(0, len(log.String())-4000):])
		}
	})
	return s
}

// program makes an executable file of a script.
func program(t testing.TB, script string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "program")
	writeProgram(t, file, "#!/bin/sh\n"+script)
	return file
}

// writeProgram writes an executable file. Meanwhile nothing is started: it would
// have the file open for writing for a moment, and no such file can be run.
func writeProgram(t testing.TB, file, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o755))
}

// alone serves one script, at /cgi.
func alone(t *testing.T, script string, configure func(*cgihost.Host)) *site {
	t.Helper()
	file := program(t, script)
	return serve(t, func(h *cgihost.Host) {
		h.Programs = []cgihost.Mount{{Prefix: "/cgi", File: file}}
		if configure != nil {
			configure(h)
		}
	})
}

// ask asks for a path and returns the answer.
func (s *site) ask(t *testing.T, method, path, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://example.org"+path, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

// open sends raw bytes and leaves the connection to the test.
func (s *site) open(t *testing.T, raw []byte) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := s.Dial()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // most tests do
	_, err = conn.Write(raw)
	require.NoError(t, err)
	return conn, bufio.NewReader(conn)
}
