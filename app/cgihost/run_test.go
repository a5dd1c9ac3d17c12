//go:build linux

package cgihost_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/cgihost"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

func TestLargeBodies(t *testing.T) {
	s := serve(t, nil)
	body := strings.Repeat("0123456789abcdef", 1<<19)
	resp, got := s.ask(t, "POST", "/mount/cgi/echo.py", body)
	assert.Equal(t, int64(len(body)), resp.ContentLength)
	assert.True(t, body == got, "8 MiB both ways")
	resp, got = s.ask(t, "POST", "/mount/cgi/ignores-body.sh", body)
	assert.Equal(t, http.StatusForbidden, resp.StatusCode, "which the program did not wait for")
	assert.Equal(t, "no\n", got)
	resp, got = s.ask(t, "GET", "/mount/cgi/large.py", "")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Len(t, got, 1<<20)
	assert.NotContains(t, s.log.String(), "warn")
}

// A program that closes its input, or takes nothing of it, answers like any other,
// whether its input is in memory or in a file.
func TestBodyThatNobodyReads(t *testing.T) {
	closes := alone(t, `exec <&-; printf 'Content-Type: a/b\n\nno thanks'`, nil)
	ignores := alone(t, `printf 'Content-Type: a/b\n\nno thanks'`, nil)
	for _, size := range []int{1, cgihost.MaxMemory, cgihost.MaxMemory + 1, 1 << 20} {
		for _, s := range []*site{closes, ignores} {
			resp, body := s.ask(t, "POST", "/mount/cgi", strings.Repeat("x", size))
			assert.Equal(t, "200 no thanks", fmt.Sprint(resp.StatusCode, " ", body), size)
		}
	}
	for _, s := range []*site{closes, ignores} {
		s.host.Close()
		assert.Empty(t, s.log.String())
	}
}

// Half a body is not taken for a whole one: no program is started for it.
func TestBodyThatBreaksOff(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "started")
	s := alone(t, `touch '`+mark+`'`, nil)
	conn, br := s.open(t, scgitest.Request("half", "CONTENT_LENGTH", "8", "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", "/mount/cgi"))
	require.NoError(t, conn.(*net.UnixConn).CloseWrite())
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
	assert.NoFileExists(t, mark)
}

func TestErrorsAreLogged(t *testing.T) {
	s := serve(t, nil)
	resp, body := s.ask(t, "GET", "/mount/cgi/failure.py", "")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "as far as it goes\n", body, "what it printed is its answer")
	assert.Contains(t, s.log.String(), `"program":"/mount/cgi/failure.py","stderr":"something went wrong"`)
	assert.Contains(t, s.log.String(), `"exit":3`)
}

func TestErrorsAreBounded(t *testing.T) {
	s := alone(t, `printf 'Content-Type: a/b\n\n'; head -c 5000 /dev/zero | tr '\0' x >&2; echo >&2; yes | head -n 100000 >&2; printf end`, nil)
	_, body := s.ask(t, "GET", "/mount/cgi", "")
	assert.Equal(t, "end", body)
	log := s.log.String()
	assert.Equal(t, 201, strings.Count(log, "\n"))
	assert.True(t, strings.Contains(log, `"stderr":"`+strings.Repeat("x", 1024)+`"`), "a long line is several")
	assert.Contains(t, log[strings.LastIndex(log, "{"):], `"lines":99805,`, "and what is dropped is counted")
}

func TestBrokenOutput(t *testing.T) {
	s := serve(t, nil)
	for name, reason := range map[string]string{
		"headerless.sh": "no header field", "empty.sh": "there is none at all", "status-word.sh": "Status is no number",
		"unfinished.pl": "ends before the empty line", "nph.sh": "NPH is not supported", "control.pl": "control bytes",
	} {
		before := s.log.String()
		resp, body := s.ask(t, "GET", "/mount/cgi/"+name, "")
		assert.Equal(t, http.StatusBadGateway, resp.StatusCode, name)
		assert.Equal(t, "Bad Gateway\n", body, name)
		said := strings.TrimPrefix(s.log.String(), before)
		assert.Contains(t, said, reason)
		assert.Contains(t, said, name)
	}
}

// A local redirect runs the other program, also where there is only one place, with
// a large body that the first program had; where there is none, the client is sent
// there.
func TestLocalRedirect(t *testing.T) {
	s := serve(t, func(h *cgihost.Host) { h.Gate = admission.Gate{Places: 1} })
	for range 3 {
		resp, body := s.ask(t, "POST", "/mount/cgi/redirect-local.sh", strings.Repeat("x", 1<<20))
		assert.Equal(t, "200 hello", fmt.Sprint(resp.StatusCode, " ", body))
	}
	resp, body := s.ask(t, "POST", "/mount/cgi/redirect-local.sh", "body")
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "hello", body)
	other := alone(t, `printf 'Location: /index.html\n\n'`, nil)
	resp, _ = other.ask(t, "GET", "/mount/cgi", "")
	assert.Equal(t, http.StatusFound, resp.StatusCode)
	assert.Equal(t, "/index.html", resp.Header.Get("Location"))
	loop := alone(t, `printf 'Location: /mount/cgi\n\n'`, nil)
	resp, _ = loop.ask(t, "GET", "/mount/cgi", "")
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
	assert.Contains(t, loop.log.String(), "more than 10 local redirects")
}

// BenchmarkProgram is a whole request: a shell is started, prints a line, and is
// waited for.
func BenchmarkProgram(b *testing.B) {
	s := serve(b, nil)
	client := s.Client()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := client.Get("http://example.org/mount/cgi/hello.sh")
		require.NoError(b, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(b, err)
		require.Equal(b, "hello", string(body))
	}
	require.Equal(b, uint64(b.N), s.Config.Stats().Requests)
}
