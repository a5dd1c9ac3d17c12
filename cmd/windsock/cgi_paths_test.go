package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// oddPaths are paths that front ends clean, and where a program is sent that
// redirects to itself: never to another host.
var oddPaths = []struct{ path, want string }{
	{"/habitat/cgi/selfredir.pl", "/habitat/cgi/selfredir.pl|"},
	{"/habitat/cgi/selfredir.pl/more", "/habitat/cgi/selfredir.pl|/more"},
	{"/habitat/cgi/selfredir.pl/a%20b", "/habitat/cgi/selfredir.pl|/a b"},
	{"/habitat/cgi/selfredir.pl?//a", "/habitat/cgi/selfredir.pl|"},
	{"//evil.example/../habitat/cgi/selfredir.pl", "/habitat/cgi/selfredir.pl|"},
	{"//evil.example/..//habitat/cgi/selfredir.pl/a%20b", "/habitat/cgi/selfredir.pl|/a b"},
	{"/\\evil.example/../habitat/cgi/selfredir.pl", "/habitat/cgi/selfredir.pl|"},
	{"//habitat/cgi/selfredir.pl", "/habitat/cgi/selfredir.pl|"},
	{"/habitat//cgi///selfredir.pl", "/habitat/cgi/selfredir.pl|"},
	{"/habitat//cgi/selfredir.pl/a%20b", "/habitat/cgi/selfredir.pl|/a b"},
	{"/habitat/./cgi/x/../selfredir.pl", "/habitat/cgi/selfredir.pl|"},
	{"/%68abitat/c%67i/selfredir.pl", "/habitat/cgi/selfredir.pl|"},
	{"/habitat/cgi/selfredir.pl//evil.example/x", "/habitat/cgi/selfredir.pl|/evil.example/x"},
	{"/habitat/cgi/selfredir.pl/100%2525", "/habitat/cgi/selfredir.pl|/100%25"},
}

// askRaw sends a request line as it stands.
func askRaw(t *testing.T, front *frontend.Frontend, target, fields string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", front.Addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n%s\r\n", target, fields)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp
}

// Behind every front end, in every configuration, a program has its own path and
// not what the client wrote. A configuration that passes on no other path than
// the client's own gives odd ones a 404.
func TestCGIPaths(t *testing.T) {
	frontend.Require(t, frontend.All()...)
	programs := cgiFolder(t)
	for _, mount := range []string{"", "/habitat"} {
		dir := folder(t)
		serve(t, dir, "--cgi", "/cgi="+programs, "--mount="+mount)
		for _, kind := range frontend.All() {
			for _, style := range []frontend.Style{frontend.Deploy, frontend.Full, frontend.Stock} {
				if style == frontend.Stock && mount == "" {
					continue // it needs one
				}
				front := frontend.Start(t, kind, frontend.Config{Style: style, Backend: "unix:" + filepath.Join(dir, "data", "windsock.sock")})
				raw := style == frontend.Stock && kind != frontend.Lighttpd
				for _, row := range oddPaths {
					resp := askRaw(t, front, row.path, "")
					name := fmt.Sprint(kind, " ", style, " ", row.path)
					if raw && resp.StatusCode == http.StatusNotFound {
						assert.True(t, strings.ContainsAny(row.path, `\.`) || strings.Contains(row.path, "//"), name)
						continue
					}
					script, info, _ := strings.Cut(row.want, "|")
					assert.Equal(t, http.StatusSeeOther, resp.StatusCode, name)
					assert.Equal(t, script+"?saved=1", resp.Header.Get("Location"), name)
					if !raw || !strings.Contains(row.path, "//") { // whose slashes are then as they came
						assert.Equal(t, info, resp.Header.Get("X-Path-Info"), name)
					}
				}
				assertOwnLinks(t, front, style == frontend.Stock)
			}
		}
	}
}

// assertOwnLinks holds that what windsock itself writes of a path is relative.
func assertOwnLinks(t *testing.T, front *frontend.Frontend, raw bool) {
	t.Helper()
	for _, target := range []string{"/habitat/messages", "//evil.example/../habitat/messages"} {
		resp := askRaw(t, front, target, "Accept: application/x-ndjson\r\n")
		if raw && resp.StatusCode == http.StatusNotFound {
			continue
		}
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		links := resp.Header.Values("Link")
		assert.NotEmpty(t, links)
		for _, link := range links {
			assert.Regexp(t, "^<\\?", link)
		}
	}
	resp := askRaw(t, front, "//evil.example/../habitat/cgi/redirect-away.sh", "")
	if raw && resp.StatusCode == http.StatusNotFound {
		return
	}
	assert.Equal(t, http.StatusFound, resp.StatusCode)
	assert.Equal(t, "/elsewhere?a=b", resp.Header.Get("Location"), "as the program has it")
}
