package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// cgiFolder is a copy of the test programs that every user may run: Apache's
// are not root's.
func cgiFolder(t testing.TB) string {
	t.Helper()
	frontend.RequireProgram(t, "perl", "perl-base")
	frontend.RequireProgram(t, "/usr/bin/python3", "python3-minimal")
	dir := folder(t)
	files, err := filepath.Glob("../../testdata/cgi/*.*")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		writeProgram(t, filepath.Join(dir, filepath.Base(file)), string(text))
	}
	const hidden = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhidden'\n"
	writeProgram(t, filepath.Join(dir, ".hidden.sh"), hidden)
	return dir
}

// cgiServers run the same programs at the same paths, /habitat/cgi/NAME.
func cgiServers(t *testing.T) map[string]*frontend.Frontend {
	t.Helper()
	frontend.Require(t, frontend.All()...)
	programs := cgiFolder(t)
	dir := folder(t)
	serve(t, dir, "--cgi", "/cgi="+programs)
	nobody := frontend.Config{Style: frontend.Full, Mount: "/unused", Backend: "tcp:127.0.0.1:9"}
	lighttpd, apache := nobody, nobody
	lighttpd.Server = fmt.Sprintf(`
		server.modules += ( "mod_alias", "mod_cgi" )
		alias.url = ( "/habitat/cgi/" => "%s/" )
		$HTTP["url"] =~ "^/habitat/cgi/" { cgi.assign = ( "" => "" ) }`, programs)
	apache.Server = fmt.Sprintf(`
		LoadModule cgid_module /usr/lib/apache2/modules/mod_cgid.so
		ScriptAlias /habitat/cgi/ %[1]s/
		<Directory %[1]s>
			Require all granted
		</Directory>`, programs)
	return map[string]*frontend.Frontend{
		"windsock": frontend.Start(t, frontend.Nginx, frontend.Config{
			Backend: "unix:" + filepath.Join(dir, "data", "windsock.sock")}),
		"lighttpd": frontend.Start(t, frontend.Lighttpd, lighttpd),
		"apache":   frontend.Start(t, frontend.Apache, apache),
	}
}

// cgiRow is a request for a program, and what is made of it.
type cgiRow struct {
	path, method, body string // method: GET, or POST with a body, when empty
	status             int    // windsock's
	differences        []cgiDifference
}

// cgiDifference is where another server's answer is not windsock's.
type cgiDifference struct {
	server  string
	why     string   // windsock's answer is as it is
	answer  string   // theirs, as ask shows it; or
	instead []string // what is different in it: ours and theirs, in turn
}

// What windsock does on purpose, and others do not.
const (
	whyLength    = "RFC 3875, section 4.1.2: there is a CONTENT_LENGTH only when there is a body; section 9.2: passwords are not for programs"
	whyLocal     = "RFC 3875, section 6.2.2: the answer is that of the other path; lighttpd does so with cgi.local-redir"
	whyNoPage    = "a redirect without a document has none; Apache makes one"
	whyUnread    = "a program need not read its input; mod_cgid breaks the answer off now and then, and does not always"
	whyNginx     = "nginx takes X-Accel-Buffering for itself"
	whyCut       = "RFC 9112, section 6.3: what follows the Content-Length would be taken for the next answer"
	whyBad       = "RFC 9110, section 15.6.3: 502, and a line in the log; the error page is each server's own"
	whyNoGuess   = "what has no header is an error in a program, and may hold what was not meant for the client"
	whyHurry     = "lighttpd takes an unfinished header for a body, or says 500 when the output ends at the same moment"
	whyFolding   = "RFC 3875, section 6.3: a field has one line; half of it is not what the program meant"
	whySplitting = "RFC 9110, section 5.5: a CR in a value splits the answer for whoever takes it for the end of a line"
	whyChunked   = "RFC 3875, section 6.3: a program may not print fields of the connection; its framing would be part of the body"
	whyTwice     = "RFC 3875, section 6.3: none of CGI's fields may come twice; the same again is taken for one"
	whyNPH       = "RFC 3875, section 5: that is for programs called nph-; Apache runs only those so"
	whyNotFound  = "it is windsock's own 404"
	whyHidden    = "files that begin with a dot are not meant to be found"
	whySlash     = "RFC 3875, section 4.1.5: PATH_INFO cannot show an encoded slash, so such a path is refused"
)

// anything is an answer that is not always the same.
const anything = "anything"

const (
	lighttpdPage = "|Content-Type: text/html|(the server's own page)"
	apachePage   = "|Content-Type: text/html; charset=iso-8859-1|(the server's own page)"
)

// lighttpdEnvironment is what it has that windsock has not.
var lighttpdEnvironment = []string{"CONTENT_LENGTH=none", "CONTENT_LENGTH='0'", "HTTP_AUTHORIZATION=none", "HTTP_AUTHORIZATION='Basic YTpi'"}

// broken are the differences of output that is an error everywhere.
func broken(lighttpd, apache string) []cgiDifference {
	return []cgiDifference{{server: "lighttpd", why: whyBad, answer: lighttpd}, {server: "apache", why: whyBad, answer: apache}}
}

// cgiRows are the requests, and all differences.
var cgiRows = []cgiRow{
	{path: "hello.sh", status: 200},
	{path: "hello.sh", method: "HEAD", status: 200},
	{path: "crlf.py", status: 200},
	{path: "environment.pl", status: 200, differences: []cgiDifference{{server: "lighttpd", why: whyLength, instead: lighttpdEnvironment}}},
	{path: "environment.pl/more/of%20it?a=b&c=%20", status: 200,
		differences: []cgiDifference{{server: "lighttpd", why: whyLength, instead: lighttpdEnvironment}}},
	{path: "environment.pl", body: "body", status: 200,
		differences: []cgiDifference{{server: "lighttpd", why: whyLength, instead: lighttpdEnvironment}}},
	{path: "echo.py", body: strings.Repeat("0123456789abcdef", 1<<13), status: 200},
	{path: "sum.sh", body: strings.Repeat("0123456789abcdef", 1<<13), status: 200},
	{path: "sum-first.sh", body: strings.Repeat("0123456789abcdef", 1<<18), status: 200},
	{path: "selfredir.pl/more", status: 303},
	{path: "status.pl", status: 404},
	{path: "redirect.sh", status: 302, differences: []cgiDifference{{server: "apache", why: whyNoPage,
		answer: "302|Content-Type: text/html; charset=iso-8859-1, Location: http://example.org/elsewhere?a=b|(the server's own page)"}}},
	{path: "redirect-document.py", status: 303},
	{path: "redirect-local.sh", status: 200, differences: []cgiDifference{{server: "lighttpd", why: whyLocal, answer: "302|Location: /habitat/cgi/hello.sh|"}}},
	{path: "cookies.pl", status: 200},
	{path: "nothing.sh", status: 204},
	{path: "not-modified.sh", status: 304},
	{path: "large.py", status: 200},
	{path: "ignores-body.sh", body: "body", status: 403, differences: []cgiDifference{{server: "apache", why: whyUnread, answer: anything}}},
	{path: "failure.py", status: 200},
	{path: "hop-by-hop.sh", status: 200},
	{path: "events.sh", body: "one\ntwo\n", status: 200, differences: []cgiDifference{
		{server: "lighttpd", why: whyNginx, instead: []string{"event-stream", "event-stream, X-Accel-Buffering: no"}},
		{server: "apache", why: whyNginx, instead: []string{"event-stream", "event-stream, X-Accel-Buffering: no"}}}},

	{path: "untyped.sh", status: 200},
	{path: "twice.sh", status: 200, differences: []cgiDifference{
		{server: "lighttpd", why: whyTwice, instead: []string{"Content-Type: text/plain", "Content-Type: text/plain, Content-Type: text/plain"}}}},
	{path: "chunked.sh", status: 502, differences: []cgiDifference{
		{server: "lighttpd", why: whyChunked, answer: "200|Content-Type: text/plain|hello"},
		{server: "apache", why: whyChunked, answer: "200|Content-Type: text/plain|5\r\nhello\r\n0\r\n\r\n"}}},
	{path: "too-long.py", status: 200, differences: []cgiDifference{{server: "apache", why: whyCut, instead: []string{"hello", "hello, world"}}}},
	{path: "status-word.sh", status: 502, differences: broken("502"+lighttpdPage, "500|Content-Type: text/plain|x\n")},
	{path: "empty.sh", status: 502, differences: broken("500"+lighttpdPage, "500"+apachePage)},
	{path: "headerless.sh", status: 502, differences: []cgiDifference{
		{server: "lighttpd", why: whyNoGuess, answer: "200||no header here\nnor here\n"}, {server: "apache", why: whyBad, answer: "500" + apachePage}}},
	{path: "unfinished.pl", status: 502, differences: []cgiDifference{
		{server: "lighttpd", why: whyHurry, answer: anything}, {server: "apache", why: whyBad, answer: "500" + apachePage}}},
	{path: "folded.sh", status: 502, differences: []cgiDifference{
		{server: "lighttpd", why: whyFolding, answer: "200|Content-Type: text/plain, X-Long: a|x\n"}, {server: "apache", why: whyBad, answer: "500" + apachePage}}},
	{path: "control.pl", status: 502, differences: []cgiDifference{
		{server: "lighttpd", why: whySplitting, answer: "no answer"}, // Go's client does not take what it sends
		{server: "apache", why: whySplitting, answer: "200|Content-Type: text/plain, X-Name: aSet-Cookie: stolen=1|x\n"}}},
	{path: "nph.sh", status: 502, differences: []cgiDifference{
		{server: "lighttpd", why: whyNPH, answer: "200|Content-Type: text/plain|x\n"}, {server: "apache", why: whyBad, answer: "500" + apachePage}}},

	{path: "none.sh", status: 404, differences: []cgiDifference{
		{server: "lighttpd", why: whyNotFound, answer: "404" + lighttpdPage}, {server: "apache", why: whyNotFound, answer: "404" + apachePage}}},
	{path: ".hidden.sh", status: 404, differences: []cgiDifference{
		{server: "lighttpd", why: whyHidden, answer: "200|Content-Type: text/plain|hidden"}, {server: "apache", why: whyHidden, answer: "200|Content-Type: text/plain|hidden"}}},
	{path: "none/../hello.sh", status: 200},
	{path: "hello.sh/a%2Fb", status: 404, differences: []cgiDifference{
		{server: "lighttpd", why: whySlash, answer: "200|Content-Type: text/plain|hello"}, {server: "apache", why: whySlash, answer: "200|Content-Type: text/plain|hello"}}},
}

// in returns what a server is expected to answer where windsock answers ours.
func (r cgiRow) in(server, ours string) string {
	for _, d := range r.differences {
		switch {
		case d.server == server && d.answer != "":
			return d.answer
		case d.server == server:
			return strings.NewReplacer(d.instead...).Replace(ours)
		}
	}
	return ours
}

// ask asks a server, and shows what is the program's in the answer: the status,
// the header less what each server adds about itself, the connection and the
// framing, and the body, or its size.
func (r cgiRow) ask(t *testing.T, front *frontend.Frontend) string {
	t.Helper()
	method := r.method
	switch {
	case method == "" && r.body != "":
		method = http.MethodPost
	case method == "":
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, front.URL+"/habitat/cgi/"+r.path, strings.NewReader(r.body))
	require.NoError(t, err)
	req.Header.Set("X-Test", "as sent")
	req.Header.Set("Proxy", "http://evil.example")
	req.Header.Set("Authorization", "Basic YTpi")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Sprintf("%d, broken off after %d bytes", resp.StatusCode, len(body))
	}
	return fmt.Sprintf("%d|%s|%s", resp.StatusCode, cgiFields(resp.Header), cgiBody(resp, string(body)))
}

func cgiFields(h http.Header) string {
	var fields []string
	for key, values := range h {
		switch key {
		case "Date", "Server", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Accept-Ranges", "Upgrade", "Trailer":
			continue
		}
		for _, value := range values {
			fields = append(fields, key+": "+value)
		}
	}
	slices.Sort(fields)
	return strings.Join(fields, ", ")
}

func cgiBody(resp *http.Response, body string) string {
	switch {
	case strings.Contains(body, "<title>") || strings.Contains(body, "<TITLE>"):
		return "(the server's own page)"
	case len(body) > 1000:
		return fmt.Sprint(len(body), " bytes")
	}
	return body
}

// TestCGIPrograms holds that programs, good and broken, give the same through
// windsock behind nginx as through lighttpd's mod_cgi and Apache's mod_cgid, but
// for the differences in the list.
func TestCGIPrograms(t *testing.T) {
	servers := cgiServers(t)
	for _, row := range cgiRows {
		t.Run(strings.TrimSpace(row.method+" "+row.path), func(t *testing.T) {
			ours := row.ask(t, servers["windsock"])
			assert.Equal(t, fmt.Sprint(row.status), ours[:3])
			for _, server := range []string{"lighttpd", "apache"} {
				if want := row.in(server, ours); want != anything {
					assert.Equal(t, want, row.ask(t, servers[server]), server)
				}
			}
		})
	}
}

// What a program prints reaches the client while it goes on, with nginx's deploy
// file; and a client that leaves ends it.
func TestCGIStreamsBehindNginx(t *testing.T) {
	dir := folder(t)
	program := filepath.Join(dir, "events")
	writeProgram(t, program, `#!/bin/sh
printf 'Content-Type: text/event-stream\nX-Accel-Buffering: no\n\n'
for n in 1 2 3; do
	printf 'data: %s\n\n' $n
	while ! [ -e go.$n ]; do sleep 0.02; done
done
echo $$ >pid.new; mv pid.new pid
sleep 600
`)
	serve(t, dir, "--cgi", "/events="+program)
	front := frontend.Start(t, frontend.Nginx, frontend.Config{Backend: "unix:" + filepath.Join(dir, "data", "windsock.sock")})
	resp, err := http.Get(front.URL + "/habitat/events")
	require.NoError(t, err)
	defer resp.Body.Close()
	events := bufio.NewReader(resp.Body)
	for n := 1; n <= 3; n++ {
		line, err := events.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("data: %d\n", n), line)
		_, err = events.ReadString('\n')
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("go.", n)), nil, 0o644)) // the next one, please
	}
	var pid []byte
	require.Eventually(t, func() (ok bool) {
		pid, err = os.ReadFile(filepath.Join(dir, "pid"))
		return err == nil
	}, patience, time.Millisecond)
	require.NoError(t, resp.Body.Close())
	assertGone(t, []int{number(t, string(pid))})
}
