//go:build linux

package cgihost_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/cgihost"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// The whole environment, no more and no less.
func TestEnvironment(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	t.Setenv("TZ", "UTC")
	t.Setenv("LANG", "")
	t.Setenv("LC_ALL", "C")
	t.Setenv("LC_CTYPE", "")
	t.Setenv("WINDSOCK_SECRET", "x")
	file := filepath.Join(t.TempDir(), "environment")
	writeProgram(t, file, "#!/usr/bin/perl\n"+
		`print "Content-Type: text/plain\n\n"; print "$_=$ENV{$_}\n" for sort keys %ENV; print "@ARGV\n"`)
	s := serve(t, func(h *cgihost.Host) { h.Programs = []cgihost.Mount{{Prefix: "/cgi/env", File: file}} })
	answer, err := s.Send(scgitest.Request("body", "CONTENT_LENGTH", "4", "SCGI", "1", "REQUEST_METHOD", "POST",
		"REQUEST_URI", "/mount/cgi/env/a%20b/c?x+y", "QUERY_STRING", "x+y", "CONTENT_TYPE", "text/plain", "SCRIPT_NAME", "/mount",
		"PATH_INFO", "/cgi/env/a b/c", "PATH_TRANSLATED", "/srv/cgi/env/a b/c", "SCRIPT_FILENAME", "/srv/mount",
		"DOCUMENT_ROOT", "/srv/", "DOCUMENT_URI", "/mount/cgi/env/a b/c", "SERVER_PROTOCOL", "HTTP/1.1", "SERVER_NAME", "example.org",
		"SERVER_PORT", "443", "REMOTE_ADDR", "192.0.2.7", "REMOTE_PORT", "999", "REMOTE_USER", "alice", "AUTH_TYPE", "Basic",
		"REMOTE_IDENT", "", "HTTPS", "on", "SSL_CLIENT_S_DN", "CN=alice", "SERVER_SOFTWARE", "nginx/1.22", "GATEWAY_INTERFACE", "CGI/1.0",
		"PATH", "/evil", "LD_PRELOAD", "/evil.so", "IFS", "x", "BASH_ENV", "/evil", "PERL5LIB", "/evil",
		"HTTP_AUTHORIZATION", "Basic xyz", "HTTP_PROXY", "http://evil", "HTTP_PROXY_AUTHORIZATION", "Basic", "HTTP_CONTENT_LENGTH", "4",
		"HTTP_CONTENT_TYPE", "text/plain", "HTTP_TRANSFER_ENCODING", "chunked", "HTTP_X=LD_PRELOAD", "x", "SSL_X=LD_PRELOAD", "x", "HTTP_x", "lower",
		"HTTP_EMPTY", "", "HTTP_HOST", "example.org", "HTTP_COOKIE", "a=b", "HTTP_X_A", "() { :; }; echo"))
	require.NoError(t, err)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	assert.Equal(t, strings.Join([]string{
		"AUTH_TYPE=Basic", "CONTENT_LENGTH=4", "CONTENT_TYPE=text/plain", "DOCUMENT_ROOT=/srv/", "GATEWAY_INTERFACE=CGI/1.1",
		"HTTPS=on", "HTTP_COOKIE=a=b", "HTTP_EMPTY=", "HTTP_HOST=example.org", "HTTP_X_A=() { :; }; echo", "LC_ALL=C", "PATH=/usr/bin:/bin",
		"PATH_INFO=/a b/c", "PATH_TRANSLATED=/srv/a b/c", "QUERY_STRING=x+y", "REMOTE_ADDR=192.0.2.7", "REMOTE_PORT=999",
		"REMOTE_USER=alice", "REQUEST_METHOD=POST", "REQUEST_URI=/mount/cgi/env/a%20b/c?x+y", "SCRIPT_FILENAME=" + file,
		"SCRIPT_NAME=/mount/cgi/env", "SERVER_NAME=example.org", "SERVER_PORT=443", "SERVER_PROTOCOL=HTTP/1.1",
		"SERVER_SOFTWARE=windsock/test", "SSL_CLIENT_S_DN=CN=alice", "TZ=UTC", "", ""}, "\n"), body)
}

// What a front end leaves out is made up for: nginx's stock scgi_params have no
// PATH_INFO, others no SERVER_NAME.
func TestEnvironmentOfLittle(t *testing.T) {
	s := serve(t, nil)
	answer, err := s.Send(scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET",
		"REQUEST_URI", "/mount/cgi/environment.pl", "CONTENT_TYPE", "", "HTTP_HOST", "example.org:8080"))
	require.NoError(t, err)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	for _, line := range []string{"SCRIPT_NAME='/mount/cgi/environment.pl'", "PATH_INFO=none", "QUERY_STRING=''", "CONTENT_TYPE=none",
		"CONTENT_LENGTH=none", "SERVER_PROTOCOL='HTTP/1.0'", "REMOTE_ADDR=none"} {
		assert.Contains(t, body, line+"\n")
	}
	_, body = s.ask(t, "GET", "/mount/cgi/environment.pl/", "")
	assert.Contains(t, body, "PATH_INFO='/'\n")
}

// So are what we have nothing of ourselves, and the port of a TLS connection.
func TestEnvironmentOfNothing(t *testing.T) {
	s := alone(t, `printf 'Content-Type: text/plain\n\n%s %s' "$PATH" "$SERVER_PORT"`, nil)
	t.Setenv("PATH", "") // after what looks for programs by it
	answer, err := s.Send(scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET",
		"REQUEST_URI", "/mount/cgi", "HTTPS", "on"))
	require.NoError(t, err)
	assert.Contains(t, string(answer), "\r\n\r\n/usr/local/bin:/usr/bin:/bin 443")
}

// Everything that is no program looks the same.
func TestWhatIsNoProgram(t *testing.T) {
	folder := t.TempDir()
	outside := program(t, "echo Status: 200; echo")
	writeProgram(t, filepath.Join(folder, "yes"), "#!/bin/sh\necho Status: 200; echo")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "data.txt"), []byte("secret"), 0o644))
	writeProgram(t, filepath.Join(folder, ".hidden"), "#!/bin/sh\necho Status: 200; echo")
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "sub"), 0o755))
	writeProgram(t, filepath.Join(folder, "sub", "below"), "#!/bin/sh\necho Status: 200; echo")
	require.NoError(t, os.Symlink(outside, filepath.Join(folder, "link")))
	require.NoError(t, os.Symlink("yes", filepath.Join(folder, "inner-link")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(folder, "sub", "away")))
	s := serve(t, func(h *cgihost.Host) { h.Programs = []cgihost.Mount{{Prefix: "/cgi", File: folder}} })

	status := func(uri string) string {
		answer, err := s.Send(scgitest.Get(uri))
		require.NoError(t, err)
		return string(answer)
	}
	require.Contains(t, status("/mount/cgi/yes"), "Status: 200")
	require.Contains(t, status("/mount/cgi/yes/more"), "Status: 200")
	want := status("/mount/cgi/no")
	require.Contains(t, want, "Status: 404")
	for _, path := range []string{"", "/", "/data.txt", "/.hidden", "/sub", "/sub/", "/sub/below", "/link", "/inner-link", "/sub/away/program",
		"/./yes", "/../cgi/yes", "/x/../yes", "/yes/..", "/yes/.", "/..%2f..%2fbin%2fsh", "/%2e%2e/yes", "/yes%2F", "/yes/a%2fb", "/yes%00", "/yes%00.txt", "/yes/%00",
		"//yes", "/yes%20", "/YES", "/" + strings.Repeat("x", 5000)} {
		assert.Equal(t, want, status("/mount/cgi"+path), path)
	}
	assert.Equal(t, want, status("/mount/cgiyes"))
	for _, path := range []string{"/cgi/data.txt", "/cgi/.hidden", "/cgi/link", "/cgi/../cgi/yes", "/cgi/yes\x01/..", "/cgi/sub/below"} { // as PATH_INFO
		answer, err := s.Send(scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET",
			"REQUEST_URI", "/mount/x", "SCRIPT_NAME", "/mount", "PATH_INFO", path))
		require.NoError(t, err)
		assert.Equal(t, want, string(answer), path)
	}
}

// A program that is changed or taken away is seen at once.
func TestProgramsAreLookedUpEachTime(t *testing.T) {
	folder := t.TempDir()
	file := program(t, "printf 'Content-Type: a/b\n\none:%s' $PATH_INFO")
	s := serve(t, func(h *cgihost.Host) {
		h.Programs = []cgihost.Mount{{Prefix: "", File: folder}, {Prefix: "/a/b", File: file}}
	})
	_, body := s.ask(t, "GET", "/mount/a/b/c", "")
	assert.Equal(t, "one:/c", body)
	resp, _ := s.ask(t, "GET", "/mount/a/bc", "")
	assert.Equal(t, 404, resp.StatusCode)
	require.NoError(t, os.Rename(file, filepath.Join(folder, "a")))
	_, body = s.ask(t, "GET", "/mount/a/bc", "")
	assert.Equal(t, "one:/bc", body)
	resp, _ = s.ask(t, "GET", "/mount/a/b/c", "")
	assert.Equal(t, 404, resp.StatusCode)
}

func TestTheLongestPrefixWins(t *testing.T) {
	h := &cgihost.Host{Programs: []cgihost.Mount{{Prefix: "/a", File: "none"}, {Prefix: "/a/b", File: programs + "/hello.sh"}, {Prefix: "", File: "none"}}}
	assert.True(t, h.Has(&http.Request{URL: &url.URL{Path: "/a/b/c"}, RequestURI: "/a/b/c"}))
	assert.False(t, h.Has(&http.Request{URL: &url.URL{Path: "/a/bc"}, RequestURI: "/a/bc"}))
}

// What cannot be started is 502, and the log says why.
func TestNotStarted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	writeProgram(t, file, "#!/no/such/interpreter\n")
	s := serve(t, func(h *cgihost.Host) { h.Programs = []cgihost.Mount{{Prefix: "/cgi", File: file}} })
	resp, body := s.ask(t, "POST", "/mount/cgi", "x")
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
	assert.Equal(t, "Bad Gateway\n", body)
	assert.Contains(t, s.log.String(), "a CGI program could not be started")
	assert.Contains(t, s.log.String(), file)
}

// A program gets three descriptors, no ignored signal, and its own folder.
func TestWhatAProgramInherits(t *testing.T) {
	// As a parent's descriptor that this process knows nothing of.
	const forgotten = 77
	require.NoError(t, syscall.Dup3(2, forgotten, 0))
	defer syscall.Close(forgotten)
	s := alone(t, `printf 'Content-Type: a/b\n\n'; echo $(ls /proc/self/fd); grep SigIgn /proc/$$/status; echo "$PWD"`, nil)
	_, body := s.ask(t, "GET", "/mount/cgi", "")
	lines := strings.Split(body, "\n")
	assert.Equal(t, "0 1 2 3", lines[0], "3 is the folder that ls reads")
	_, mask, _ := strings.Cut(lines[1], "\t")
	ignored, err := strconv.ParseUint(mask, 16, 64)
	require.NoError(t, err, lines[1])
	const libcs = 1<<31 | 1<<32 // signals 32 and 33, which glibc's posix_spawn, so make, leaves ignored
	assert.Zero(t, ignored&^libcs)
	assert.Equal(t, filepath.Dir(s.host.Programs[0].File), lines[2])
}

func TestParseMount(t *testing.T) {
	for text, want := range map[string]cgihost.Mount{
		"/cgi=/usr/lib/cgi-bin": {Prefix: "/cgi", File: "/usr/lib/cgi-bin"},
		"/a/b=relative=odd":     {Prefix: "/a/b", File: "relative=odd"},
		"/=programs":            {Prefix: "", File: "programs"},
	} {
		got, err := cgihost.ParseMount(text)
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "/cgi", "/cgi=", "cgi=x", "=x", "/cgi/=x", "//cgi=x", "/a/../b=x", "/./a=x"} {
		_, err := cgihost.ParseMount(text)
		assert.Error(t, err, text)
	}
	assert.NoError(t, cgihost.Mount{File: programs}.Check())
	assert.NoError(t, cgihost.Mount{File: programs + "/hello.sh"}.Check())
	assert.ErrorContains(t, cgihost.Mount{File: programs + "/README.md"}.Check(), "neither a folder nor an executable file")
	assert.ErrorIs(t, cgihost.Mount{File: programs + "/none"}.Check(), os.ErrNotExist)
}

// FuzzFind holds that whatever is asked for, only what lies directly in the folder
// is found, by its own name.
func FuzzFind(f *testing.F) {
	for _, uri := range []string{"/cgi/hello.sh", "/cgi/hello.sh/a?b", "/cgi/README.md", "/cgi/../cgi/hello.sh", "/cgi/%68ello.sh",
		"/cgi/hello.sh%2f..", "/cgi/.", "/cgi//hello.sh", "/cgi/hello.sh%00", "/cgi/%2e%2e/cgi/hello.sh", "/cgi/hello.sh/%2E%2e/", "/CGI/hello.sh"} {
		f.Add(uri, "")
	}
	f.Add("/x", "/cgi/hello.sh/../..")
	entries, err := os.ReadDir(programs)
	require.NoError(f, err)
	runs := make(map[string]bool)
	for _, entry := range entries {
		runs[entry.Name()] = strings.HasSuffix(entry.Name(), ".sh") || strings.HasSuffix(entry.Name(), ".py") || strings.HasSuffix(entry.Name(), ".pl")
	}
	h := &cgihost.Host{Programs: []cgihost.Mount{{Prefix: "/cgi", File: programs}}}
	f.Fuzz(func(t *testing.T, uri, path string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil || u.Host != "" || u.Opaque != "" {
			return
		}
		if path != "" {
			u.Path, u.RawPath = path, "" // a front end that rewrites
		}
		if !h.Has(&http.Request{Method: "GET", URL: u, RequestURI: uri, Header: http.Header{}}) {
			return
		}
		segments := strings.Split(u.Path, "/")
		require.Equal(t, []string{"", "cgi"}, segments[:2])
		require.True(t, runs[segments[2]], "%q", u.Path)
		require.NotContains(t, segments, "..")
		require.NotContains(t, segments, ".")
		require.NotContains(t, u.Path, "\x00")
		require.NotContains(t, strings.ToLower(strings.SplitN(uri, "?", 2)[0]), "%2f")
	})
}

// SCRIPT_NAME is the front end's, however odd what the client wrote. The variables
// are what front ends send: see TestCGIPaths in cmd/windsock.
func TestScriptName(t *testing.T) {
	file := program(t, `printf 'Content-Type: a/b\n\n%s|%s' "$SCRIPT_NAME" "$PATH_INFO"`)
	for _, row := range []struct {
		name, mount, vars string
		want              string // SCRIPT_NAME|PATH_INFO
	}{
		{"nginx, lighttpd", "", "REQUEST_URI|/m/x/y|SCRIPT_NAME|/m|PATH_INFO|/x/y", "/m/x|/y"},
		{"with a mount", "/m", "REQUEST_URI|/m/x/y|SCRIPT_NAME|/m|PATH_INFO|/x/y", "/m/x|/y"},
		{"another host", "", "REQUEST_URI|//evil.example/../m/x/y|SCRIPT_NAME|/m|PATH_INFO|/x/y", "/m/x|/y"},
		{"another host, with a mount", "/m", "REQUEST_URI|//evil.example/../m/x|SCRIPT_NAME|/m|PATH_INFO|/x", "/m/x|"},
		{"a backslash", "/m", "REQUEST_URI|/\\evil.example/../m/x|SCRIPT_NAME|/m|PATH_INFO|/x", "/m/x|"},
		{"two slashes", "", "REQUEST_URI|//m/x|SCRIPT_NAME|/m|PATH_INFO|/x", "/m/x|"},
		{"a front end that keeps two slashes", "", "REQUEST_URI|//m/x|SCRIPT_NAME|//m|PATH_INFO|/x", "/m/x|"},
		{"rewritten", "", "REQUEST_URI|/old|SCRIPT_NAME|/m|PATH_INFO|/x", "/m/x|"},
		{"mount and program have one name", "", "REQUEST_URI|/x/x|SCRIPT_NAME|/x|PATH_INFO|/x", "/x/x|"},
		{"a segment too many (lighttpd)", "/m", "REQUEST_URI|//evil.example/../m/x/y|SCRIPT_NAME|/m/x|PATH_INFO|/y", "/m/x|/y"},
		{"all of it (lighttpd)", "/m", "REQUEST_URI|//evil.example/../m/x|SCRIPT_NAME|/m/x|PATH_INFO|", "/m/x|"},
		{"nothing is split", "/m", "REQUEST_URI|//evil.example/../m/x|SCRIPT_NAME||PATH_INFO|/m/x", "/m/x|"},
		{"still encoded (Apache)", "", "REQUEST_URI|//evil.example/../m/x/a%20b|SCRIPT_NAME|/m/x/a b|PATH_INFO|/x/a%20b|proxy-scgi-pathinfo|1", "/m/x|/a b"},
		{"still encoded, with a mount (Apache)", "/m", "REQUEST_URI|/m//x/a%20b|SCRIPT_NAME|/m/x/a b|PATH_INFO|/x/a%20b|proxy-scgi-pathinfo|1", "/m/x|/a b"},
		{"SCRIPT_NAME is the whole path (stock Apache)", "/m", "REQUEST_URI|/m/x/a%20b|SCRIPT_NAME|/m/x/a b", "/m/x|/a b"},
		{"no variable but REQUEST_URI (stock nginx)", "/m", "REQUEST_URI|/m/x/a%20b", "/m/x|/a b"},
		{"the same, the mount encoded", "/m", "REQUEST_URI|/%6d/x", "/m/x|"},
		{"the same, not under the mount", "/m", "REQUEST_URI|/x/y", "/x|/y"},
		{"the same, no mount", "", "REQUEST_URI|/x/y", "/x|/y"},
		{"no PATH_INFO, no mount given", "", "REQUEST_URI|/m/x|SCRIPT_NAME|/m", "/m/x|"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &cgihost.Host{Programs: []cgihost.Mount{{Prefix: "/x", File: file}}, Mount: row.mount}
			s := scgitest.NewServer(scgi.StripMount(row.mount, h))
			defer h.Close()
			defer s.Close()
			vars := append([]string{"CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET"}, strings.Split(row.vars, "|")...)
			answer, err := s.Send(scgitest.Request("", vars...))
			require.NoError(t, err)
			_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
			assert.Equal(t, row.want, body, string(answer))
		})
	}
}

// A path that begins with two slashes is no program's: where a program is mounted at
// the root it would be its PATH_INFO, and another host to a client sent there.
func TestTwoSlashes(t *testing.T) {
	s := alone(t, `printf 'Content-Type: a/b\n\n%s' "$PATH_INFO"`, func(h *cgihost.Host) { h.Programs[0].Prefix = "" })
	for _, uri := range []string{"//evil.example/x", "/mount//evil.example/x"} {
		answer, err := s.Send(scgitest.Get(uri))
		require.NoError(t, err)
		assert.Contains(t, string(answer), "Status: 404", uri)
	}
	_, body := s.ask(t, "GET", "/mount/x//y", "")
	assert.Equal(t, "/x//y", body)
}

// Further variables are the operator's, in place of what this process has.
func TestMoreEnvironment(t *testing.T) {
	t.Setenv("TZ", "UTC")
	s := alone(t, `printf 'Content-Type: a/b\n\n'; echo "$REDIRECT_STATUS $TZ $GIT_PROJECT_ROOT"`, func(h *cgihost.Host) {
		h.Env = []string{"REDIRECT_STATUS=200", "TZ=Europe/Berlin", "GIT_PROJECT_ROOT=/srv/a=b c"}
	})
	_, body := s.ask(t, "GET", "/mount/cgi", "")
	assert.Equal(t, "200 Europe/Berlin /srv/a=b c\n", body)
	for _, text := range append([]string{"lower_2=", "_=x"}, s.host.Env...) {
		assert.NoError(t, cgihost.CheckEnv(text))
	}
	for _, text := range []string{"", "NAME", "=x", "2A=x", "A-B=x", "A B=x", "A=\x00", "HTTP_HOST=x", "HTTP_X=", "SSL_X=1", "HTTPS=on", "SCRIPT_NAME=/x",
		"PATH_INFO=/x", "REMOTE_USER=root", "REQUEST_METHOD=GET", "QUERY_STRING=", "CONTENT_LENGTH=0", "DOCUMENT_ROOT=/x", "SERVER_SOFTWARE=x", "REQUEST_URI=/"} {
		assert.Error(t, cgihost.CheckEnv(text), text)
	}
}
