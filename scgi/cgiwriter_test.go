package scgi_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// cgiRows are outputs and what becomes of them. Each is a seed of FuzzCGIWriter.
var cgiRows = []struct {
	name       string
	output     string
	method     string // GET when empty
	headerless bool
	status     int
	header     string // the answer's, as fields says
	body       string
	err        string // a part of it; empty means that there is none
}{
	{name: "a document", output: "Content-Type: text/plain\n\nhello\n", status: 200, header: "Content-Type: text/plain", body: "hello\n"},
	{name: "CRLF", output: "Content-Type: text/plain\r\n\r\nhello\r\n", status: 200, header: "Content-Type: text/plain", body: "hello\r\n"},
	{name: "both", output: "Content-Type: text/plain\r\nX-A: b\n\r\n\nhello", status: 200, header: "Content-Type: text/plain|X-A: b", body: "\nhello"},
	{name: "no body", output: "Content-Type: text/plain\n\n", status: 200, header: "Content-Type: text/plain"},
	{name: "any case", output: "sTaTuS: 404 Not Found\nCONTENT-type:text/plain\n\nx", status: 404, header: "Content-Type: text/plain", body: "x"},
	{name: "blanks around a value", output: "Content-Type: \t text/plain \t\n\n", status: 200, header: "Content-Type: text/plain"},
	{name: "binary", output: "Content-Type: a/b\n\n\x00\xff\r\n\r\n\x00", status: 200, header: "Content-Type: a/b", body: "\x00\xff\r\n\r\n\x00"},
	{name: "no type, and none is guessed", output: "Status: 200 OK\n\n<html>", status: 200, body: "<html>"},
	{name: "fields that come twice", output: "Content-Type: a/b\nSet-Cookie: a=1\nset-cookie: b=2\n\n", status: 200, header: "Content-Type: a/b|Set-Cookie: a=1|Set-Cookie: b=2"},
	{name: "hop-by-hop", output: "Content-Type: a/b\nConnection: close\nkeep-alive: 5\nTransfer-Encoding: identity\nTrailer: X\nUpgrade: h2c\nTE: x\nProxy-Connection: x\n\nhi", status: 200, header: "Content-Type: a/b", body: "hi"},
	{name: "an empty value", output: "Content-Type: a/b\nX-A:\n\n", status: 200, header: "Content-Type: a/b|X-A: "},
	{name: "a value that is not ASCII", output: "Content-Type: a/b\nX-A: \xe9\n\n", status: 200, header: "Content-Type: a/b|X-A: \xe9"},

	{name: "status alone", output: "Status: 418\n\n", status: 418},
	{name: "status without a name in net/http", output: "Status: 799 Odd\n\nx", status: 799, body: "x"},
	{name: "204 with a body", output: "Status: 204 No Content\n\nx", status: 204},
	{name: "304 with a length", output: "Status: 304\nETag: \"a\"\nContent-Length: 10\n\n", status: 304, header: "Content-Length: 10|Etag: \"a\""},
	{name: "status that is no number", output: "Status: abc\nContent-Type: a/b\n\nx", status: 502, err: "scgi: in CGI output: Status is no number"},
	{name: "status of two digits", output: "Status: 99\n\n", status: 502, err: "Status is no number"},
	{name: "status with a sign", output: "Status: +200\n\n", status: 502, err: "Status is no number"},
	{name: "status run into its reason", output: "Status: 200OK\n\n", status: 502, err: "Status is no number"},
	{name: "empty status", output: "Status:\n\n", status: 502, err: "Status is no number"},
	{name: "interim status", output: "Content-Type: a/b\nStatus: 100 Continue\n\n", status: 502, err: "at byte 18: in CGI output: Status is no number from 200"},
	{name: "upgrade", output: "Status: 101\nUpgrade: x\n\n", status: 502, err: "Status is no number from 200"},
	{name: "a second status", output: "Status: 200\nStatus: 201\n\n", status: 502, err: "at byte 12: in CGI output: a second Status"},
	{name: "a second type", output: "Content-Type: a/b\ncontent-type: a/c\n\n", status: 502, err: "a second Content-Type"},
	{name: "the same status again", output: "Status: 201\nStatus: 201 Created\n\n", status: 201},
	{name: "the same type again", output: "Content-Type: a/b\ncontent-type: a/b\n\nx", status: 200, header: "Content-Type: a/b", body: "x"},
	{name: "framing of a program's own", output: "Content-Type: a/b\nTransfer-Encoding: chunked\n\n1\r\nx\r\n0\r\n\r\n", status: 502, err: "at byte 18: in CGI output: a Transfer-Encoding"},
	{name: "framing of a program's own, in part", output: "Content-Type: a/b\ntransfer-encoding: gzip, chunked\n\n", status: 502, err: "a Transfer-Encoding"},
	{name: "an empty type", output: "Content-Type:\n\n", status: 502, err: "Content-Type is empty"},

	{name: "redirect", output: "Location: http://example.org/a?b#c\n\n", status: 302, header: "Location: http://example.org/a?b#c"},
	{name: "redirect with a document", output: "Location: http://example.org/\nStatus: 303 See Other\nContent-Type: text/plain\n\nthere", status: 303, header: "Content-Type: text/plain|Location: http://example.org/", body: "there"},
	{name: "created", output: "Status: 201 Created\nLocation: /made\n\n", status: 201, header: "Location: /made"},
	{name: "local redirect, nobody to serve it", output: "Location: /other?x\n\nlost", status: 302, header: "Location: /other?x", body: "lost"},
	{name: "the same location again", output: "Location: /a\nLocation: /a\n\n", status: 302, header: "Location: /a"},
	{name: "two locations", output: "Location: /a\nLocation: /b\n\n", status: 502, err: "a second Location"},
	{name: "an empty location", output: "Location:\n\n", status: 502, err: "Location is empty"},

	{name: "length", output: "Content-Type: a/b\nContent-Length: 5\n\nhello", status: 200, header: "Content-Length: 5|Content-Type: a/b", body: "hello"},
	{name: "length of nothing", output: "Content-Type: a/b\nContent-Length: 0\n\n", status: 200, header: "Content-Length: 0|Content-Type: a/b"},
	{name: "too long", output: "Content-Type: a/b\nContent-Length: 5\n\nhello, world", status: 200, header: "Content-Length: 5|Content-Type: a/b", body: "hello", err: "longer than its Content-Length of 5"},
	{name: "too short", output: "Content-Type: a/b\nContent-Length: 5\n\nhe", status: 200, header: "Content-Length: 5|Content-Type: a/b", body: "he", err: "ends after 2 bytes of a Content-Length of 5"},
	{name: "no number for a length", output: "Content-Type: a/b\nContent-Length: 5 bytes\n\nhello", status: 502, err: "at byte 18: in CGI output: Content-Length is no number"},
	{name: "negative length", output: "Content-Type: a/b\nContent-Length: -1\n\nhello", status: 502, err: "Content-Length is no number"},
	{name: "two lengths", output: "Content-Type: a/b\nContent-Length: 5\nContent-Length: 6\n\nhello", status: 502, err: "a second Content-Length"},
	{name: "the same length again", output: "Content-Type: a/b\nContent-Length: 5\nContent-Length: 05\n\nhello", status: 200, header: "Content-Length: 5|Content-Type: a/b", body: "hello"},
	{name: "a length with leading zeros", output: "Content-Type: a/b\nContent-Length: 0005\n\nhello", status: 200, header: "Content-Length: 5|Content-Type: a/b", body: "hello"},
	{name: "a length of zeros", output: "Content-Type: a/b\nContent-Length: 000\n\n", status: 200, header: "Content-Length: 0|Content-Type: a/b"},
	{name: "a length with a sign", output: "Content-Type: a/b\nContent-Length: +5\n\nhello", status: 502, err: "Content-Length is no number"},
	{name: "a length that is too large", output: "Content-Type: a/b\nContent-Length: 9223372036854775808\n\nhello", status: 502, err: "Content-Length is no number"},
	{name: "HEAD", method: "HEAD", output: "Content-Type: a/b\nContent-Length: 5\n\n", status: 200, header: "Content-Length: 5|Content-Type: a/b"},
	{name: "HEAD with a body", method: "HEAD", output: "Content-Type: a/b\n\nhello", status: 200, header: "Content-Type: a/b"},

	{name: "nothing", output: "", status: 502, err: "in CGI output: there is none at all"},
	{name: "no header", output: "hello\nworld\n", status: 502, err: "this is no header field: \"hello\""},
	{name: "no header, no newline", output: "hello", status: 502, err: "at byte 5: in CGI output: it ends before the empty line"},
	{name: "no empty line", output: "Content-Type: text/plain\n", status: 502, err: "at byte 25: in CGI output: it ends before the empty line"},
	{name: "an empty line first", output: "\nContent-Type: text/plain\n\nhello", status: 502, err: "begins with an empty line"},
	{name: "none of CGI's fields", output: "X-A: b\n\nhello", status: 502, err: "none of Content-Type, Location and Status"},
	{name: "an HTTP status line", output: "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nx", status: 502, err: "NPH is not supported"},
	{name: "a folded field", output: "Content-Type: a/b\n ; c=d\n\nx", status: 502, err: "at byte 18: in CGI output: a header field is folded"},
	{name: "a blank before the colon", output: "Content-Type : a/b\n\nx", status: 502, err: "this is no header field"},
	{name: "no name", output: ": a/b\n\nx", status: 502, err: "this is no header field"},
	{name: "a CR in a value", output: "Content-Type: a/b\nX-A: a\rSet-Cookie: b=c\n\nx", status: 502, err: "holds control bytes"},
	{name: "a NUL in a value", output: "Content-Type: a/b\nX-A: a\x00b\n\nx", status: 502, err: "holds control bytes"},
	{name: "a DEL in a value", output: "Content-Type: a/b\nX-A: a\x7fb\n\nx", status: 502, err: "holds control bytes"},
	{name: "a NUL in a name", output: "Content-\x00Type: a/b\n\nx", status: 502, err: "this is no header field"},
	{name: "as many fields as may be", output: "Status: 200\n" + strings.Repeat("X-A: b\n", 255) + "\n", status: 200, header: strings.Repeat("|X-A: b", 255)[1:]},
	{name: "a field too many", output: "Status: 200\n" + strings.Repeat("Connection: b\n", 256) + "\n", status: 502, err: "more than 256 fields"},
	{name: "as long as may be", output: "Status: 200\nX-A: " + strings.Repeat("a", 64<<10-19) + "\n\nx", status: 200, header: "X-A: " + strings.Repeat("a", 64<<10-19), body: "x"},
	{name: "a byte too long", output: "Status: 200\nX-A: " + strings.Repeat("a", 64<<10-18) + "\n\nx", status: 502, err: "longer than 65536 bytes"},
	{name: "too long without a line", output: strings.Repeat("a", 64<<10+1), status: 502, err: "scgi: in CGI output: the header is longer than 65536 bytes"},

	{name: "headerless", headerless: true, output: "hello\nworld", status: 200, header: "Content-Type: text/html", body: "hello\nworld"},
	{name: "headerless: one word", headerless: true, output: "hello", status: 200, header: "Content-Type: text/html", body: "hello"},
	{name: "headerless: markup", headerless: true, output: "<p>a: b", status: 200, header: "Content-Type: text/html", body: "<p>a: b"},
	{name: "headerless: an empty line first", headerless: true, output: "\nhello", status: 200, header: "Content-Type: text/html", body: "\nhello"},
	{name: "headerless: a long word", headerless: true, output: strings.Repeat("a", 1000) + ":", status: 200, header: "Content-Type: text/html", body: strings.Repeat("a", 1000) + ":"},
	{name: "headerless, but there is one", headerless: true, output: "Status: 404\n\nhello", status: 404, body: "hello"},
	{name: "headerless, but there is a broken one", headerless: true, output: "Status: abc\n\nhello", status: 502, err: "Status is no number"},
	{name: "headerless and empty", headerless: true, output: "", status: 502, err: "there is none at all"},
	{name: "headerless, HEAD", headerless: true, method: "HEAD", output: "hello there", status: 200, header: "Content-Type: text/html"},
}

// fields shows a header, sorted, without what http.Error adds.
func fields(h http.Header) string {
	var b strings.Builder
	h = h.Clone()
	if h.Get("X-Content-Type-Options") != "" {
		return ""
	}
	_ = h.Write(&b) // to memory
	return strings.TrimSuffix(strings.ReplaceAll(b.String(), "\r\n", "|"), "|")
}

// cgiAnswer is what became of an output.
type cgiAnswer struct {
	status int
	header string
	body   string
	err    error
}

// writeCGI writes the pieces of an output as io.Copy does, and closes.
func writeCGI(w *scgi.CGIWriter, pieces ...string) cgiAnswer {
	rec := httptest.NewRecorder()
	w.Response = rec
	for _, piece := range pieces {
		if _, err := io.WriteString(w, piece); err != nil {
			break
		}
	}
	err := w.Close()
	return cgiAnswer{rec.Code, fields(rec.Header()), rec.Body.String(), err}
}

func TestCGIWriter(t *testing.T) {
	for _, row := range cgiRows {
		t.Run(row.name, func(t *testing.T) {
			log := newRecorder()
			r := httptest.NewRequest(orGET(row.method), "/program", nil)
			got := writeCGI(&scgi.CGIWriter{Request: r, Headerless: row.headerless, Logger: log.logger()}, row.output)
			assert.Equal(t, row.status, got.status)
			assert.Equal(t, row.header, got.header)
			if row.err == "" {
				assert.Equal(t, row.body, got.body)
				assert.NoError(t, got.err)
				assert.Empty(t, log.all(slog.LevelDebug))
				return
			}
			if row.status == http.StatusBadGateway {
				assert.Equal(t, "Bad Gateway\n", got.body)
			} else {
				assert.Equal(t, row.body, got.body)
			}
			var malformed *scgi.ProtocolError
			require.ErrorAs(t, got.err, &malformed)
			assert.Contains(t, got.err.Error(), row.err)
			assert.Len(t, log.matching("WARN", got.err.Error(), "uri=/program"), 1, "one line says it: %q", log.all(slog.LevelDebug))
			assert.Len(t, log.all(slog.LevelDebug), 1)
		})
	}
}

func orGET(method string) string {
	if method == "" {
		return http.MethodGet
	}
	return method
}

// The faults of Medusa's scanner, by name.

// askCGI serves an output, in these pieces, over SCGI.
func askCGI(t *testing.T, pieces ...string) string {
	t.Helper()
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cgi := &scgi.CGIWriter{Response: w, Request: r}
		for _, piece := range pieces {
			_, err := io.WriteString(cgi, piece)
			assert.NoError(t, err)
		}
		assert.NoError(t, cgi.Close())
	}))
	defer s.Close()
	answer, err := s.Send(scgitest.Get("/"))
	require.NoError(t, err)
	return string(answer)
}

func TestBodyInOneWriteWithHeaderIsNotLost(t *testing.T) {
	assert.Equal(t, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello\n", askCGI(t, "Content-Type: text/plain\n\nhello\n"))
}

func TestCRLFEndsLinesToo(t *testing.T) {
	assert.Equal(t, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello\r\n", askCGI(t, "Content-Type: text/plain\r\n", "\r\n", "hello\r\n"))
}

func TestStatusIsNotEchoed(t *testing.T) {
	answer := askCGI(t, "Content-Type: text/plain\nstatus: 404 Not Found\n", "\n", "no")
	assert.Equal(t, "Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno", answer)
	assert.Equal(t, 1, strings.Count(strings.ToLower(answer), "status:"))
}

func TestOutputWithoutFinalNewlineIsSent(t *testing.T) {
	assert.Equal(t, "Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", askCGI(t, "Content-Type: text/plain\n", "\n", "hel", "lo"))
}

func TestTypeIsNotGuessed(t *testing.T) {
	assert.Equal(t, "Status: 200 OK\r\n\r\n<html>", askCGI(t, "Status: 200 OK\n\n<html>"))
}

// What a program has written is on its way when Write returns.
func TestCGIWriterStreams(t *testing.T) {
	next := make(chan string)
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cgi := &scgi.CGIWriter{Response: w, Request: r}
		for piece := range next {
			_, err := io.WriteString(cgi, piece)
			assert.NoError(t, err)
		}
		assert.NoError(t, cgi.Close())
	}))
	defer s.Close()
	conn, err := s.Dial()
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(scgitest.Get("/events"))
	require.NoError(t, err)
	expect := func(want string) {
		got := make([]byte, len(want))
		_, err := io.ReadFull(conn, got)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	next <- "Content-Type: text/event-stream\n\n"
	expect("Status: 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
	for n := range 3 {
		event := fmt.Sprintf("data: %d\n\n", n)
		next <- event
		expect(event)
	}
	close(next)
	rest, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Empty(t, rest)
}

// An answer that is whole is on its way, too, when what follows is too much.
func TestCGIWriterSendsWhatIsWhole(t *testing.T) {
	rec := httptest.NewRecorder()
	w := &scgi.CGIWriter{Response: rec, Request: httptest.NewRequest("GET", "/", nil), Logger: slog.New(slog.DiscardHandler)}
	_, err := io.WriteString(w, "Content-Type: a/b\nContent-Length: 5\n\nhello\n")
	assert.Error(t, err)
	assert.True(t, rec.Flushed)
	assert.Equal(t, "hello", rec.Body.String())
}

// A body that is shorter than it says is not taken for a whole one, and the
// server's log says why.
func TestCGIWriterShortBodyBreaksOff(t *testing.T) {
	log := newRecorder()
	s := scgitest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cgi := &scgi.CGIWriter{Response: w, Request: r}
		_, _ = io.WriteString(cgi, "Content-Type: a/b\nContent-Length: 6000\n\n"+strings.Repeat("x", 5000))
		assert.Error(t, cgi.Close())
	}))
	s.Config.Logger = log.logger()
	s.Start()
	defer s.Close()
	resp, err := s.Client().Get("http://example.org/short")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	assert.Len(t, body, 5000)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Len(t, log.matching("ends after 5000 bytes of a Content-Length of 6000", "uri=/short"), 1)
}

func TestCGIWriterKeepsTheHandlersHeader(t *testing.T) {
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "text/html")
	rec.Header().Set("Set-Cookie", "a=1")
	w := &scgi.CGIWriter{Response: rec, Request: httptest.NewRequest("GET", "/", nil)}
	_, err := io.WriteString(w, "Content-Type: text/plain\nSet-Cookie: b=2\n\n")
	require.NoError(t, err)
	require.True(t, w.Begun())
	require.NoError(t, w.Close())
	assert.Equal(t, "Content-Type: text/plain|Set-Cookie: a=1|Set-Cookie: b=2", fields(rec.Header()))
	_, err = io.WriteString(w, "more")
	assert.Error(t, err)
	assert.NoError(t, w.Close(), "a second Close says the same")
}

// brokenResponse fails like a client that has gone.
type brokenResponse struct{ http.ResponseWriter }

func (brokenResponse) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestCGIWriterPassesOnThatTheClientHasGone(t *testing.T) {
	log := newRecorder()
	w := &scgi.CGIWriter{Response: brokenResponse{httptest.NewRecorder()}, Request: httptest.NewRequest("GET", "/", nil), Logger: log.logger()}
	_, err := io.WriteString(w, "Content-Type: a/b\n\nx")
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.ErrorIs(t, w.Close(), os.ErrDeadlineExceeded)
	assert.Empty(t, log.all(slog.LevelDebug), "nothing that the program is to blame for")
}

// TestLocalRedirect holds the whole chain over SCGI: under a mount, as a front
// end sends it, with the environment of the new path.
func TestLocalRedirect(t *testing.T) {
	mux := http.NewServeMux()
	app := scgi.StripMount("", mux)
	program := func(output string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			cgi := &scgi.CGIWriter{Response: w, Request: r, LocalRedirect: app}
			_, err := io.WriteString(cgi, output)
			assert.NoError(t, err)
			assert.False(t, cgi.Begun())
			_ = cgi.Close() // a loop's error, which the answer shows
		}
	}
	mux.Handle("/go", program("Location: /mount/there?a=b%20c\n\nignored"))
	mux.Handle("/far", program("Location: /elsewhere\n\n"))
	mux.Handle("/loop", program("location: /mount/loop\r\n\r\n"))
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set("X-Method", r.Method)
		fmt.Fprintf(w, "%s %s %s %q %v|", r.Method, r.URL, r.RequestURI, body, r.Header)
		for name, value := range scgi.Env(r).All() {
			fmt.Fprintf(w, "%s=%s|", name, value)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "not found: %s %q", r.URL, scgi.Env(r).Get("SCRIPT_NAME"))
	})
	log := newRecorder()
	s := scgitest.NewUnstartedServer(app)
	s.Config.Logger = log.logger()
	s.Start()
	defer s.Close()
	send := func(method, path string) string {
		answer, err := s.Send(scgitest.Request("body", "CONTENT_LENGTH", "4", "SCGI", "1", "REQUEST_METHOD", method,
			"REQUEST_URI", "/mount"+path+"?old", "QUERY_STRING", "old", "CONTENT_TYPE", "text/plain", "SCRIPT_NAME", "/mount",
			"PATH_INFO", path, "HTTP_CONTENT_LENGTH", "4", "HTTP_CONTENT_TYPE", "text/plain", "HTTP_CONTENT_ENCODING", "gzip",
			"HTTP_TRANSFER_ENCODING", "chunked", "HTTP_EXPECT", "100-continue", "DOCUMENT_URI", "/mount"+path,
			"PATH_TRANSLATED", "/srv"+path, "SCRIPT_FILENAME", "/srv/mount", "REMOTE_ADDR", "192.0.2.7", "HTTP_COOKIE", "a=b"))
		require.NoError(t, err)
		return string(answer)
	}
	ask := func(method, path string) string {
		head, body, _ := strings.Cut(send(method, path), "\r\n\r\n")
		return head[len("Status: "):len("Status: ")+3] + " " + body
	}
	const env = "CONTENT_LENGTH=0|REQUEST_METHOD=GET|REQUEST_URI=/mount/there?a=b%20c|QUERY_STRING=a=b%20c|" +
		"SCGI=1|SCRIPT_NAME=/mount|PATH_INFO=/there|REMOTE_ADDR=192.0.2.7|HTTP_COOKIE=a=b|"
	assert.Equal(t, `200 GET /there?a=b%20c /mount/there?a=b%20c "" map[Cookie:[a=b]]|`+env, ask("POST", "/go"))
	assert.Contains(t, send("HEAD", "/go"), "X-Method: HEAD\r\n")
	assert.Equal(t, `200 not found: /elsewhere ""`, ask("GET", "/far"), "outside of the mount")
	assert.Empty(t, log.all(slog.LevelWarn))
	assert.Equal(t, "502 Bad Gateway\n", ask("GET", "/loop"))
	assert.Len(t, log.matching("more than 10 local redirects in a row, the last to", "/mount/loop"), 1)
	assert.Len(t, log.all(slog.LevelWarn), 1)
}

// A Location that is not alone, or leads to another host, is the client's.
func TestNotALocalRedirect(t *testing.T) {
	for _, output := range []string{
		"Location: /a\nSet-Cookie: a=b\n\n",
		"Location: /a\nContent-Type: text/plain\n\n",
		"Status: 302\nLocation: /a\n\n",
		"Location: //example.org/a\n\n",
		"Location: /a#b\n\n",
		"Location: a\n\n",
		"Location: http://example.org/a\n\n",
	} {
		got := writeCGI(&scgi.CGIWriter{Request: httptest.NewRequest("GET", "/", nil), LocalRedirect: http.NotFoundHandler()}, output)
		assert.Equal(t, http.StatusFound, got.status, "%q", output)
		assert.Contains(t, got.header, "Location: ", "%q", output)
		assert.NoError(t, got.err)
	}
}

// FuzzCGIWriter splits an output at places that the fuzzer chooses, and by
// single bytes, and expects what the whole gives in one Write. And whatever the
// output, an answer's header never holds what it must not.
func FuzzCGIWriter(f *testing.F) {
	for _, row := range cgiRows {
		if len(row.output) < 4000 {
			f.Add([]byte(row.output), []byte{1, 3, 40}, row.method == "HEAD", row.headerless)
		}
	}
	f.Fuzz(func(t *testing.T, output, cuts []byte, head, headerless bool) {
		write := func(pieces ...string) cgiAnswer {
			r := &http.Request{Method: http.MethodGet, RequestURI: "/", Header: http.Header{}}
			if head {
				r.Method = http.MethodHead
			}
			w := &scgi.CGIWriter{Request: r, Headerless: headerless, Logger: slog.New(slog.DiscardHandler)}
			return writeCGI(w, pieces...)
		}
		want := write(string(output))
		assert.Equal(t, want, write(split(output, cuts)...))
		assert.Equal(t, want, write(strings.Split(string(output), "")...), "byte by byte")

		require.True(t, want.status >= 200 && want.status <= 999)
		if want.err != nil {
			var malformed *scgi.ProtocolError
			require.ErrorAs(t, want.err, &malformed)
			require.LessOrEqual(t, malformed.Offset, len(output))
		}
		if want.status != http.StatusBadGateway && want.err == nil && !head {
			require.True(t, strings.HasSuffix(string(output), want.body), "the body is the output's end")
		}
		for line := range strings.SplitSeq(want.header, "|") {
			name, _, _ := strings.Cut(line, ":")
			require.NotContains(t, []string{"Status", "Connection", "Transfer-Encoding", "Trailer", "Upgrade"}, name)
		}
		require.NotContains(t, want.header, "\n")
		require.NotContains(t, want.header, "\r")
		require.NotContains(t, want.header, "\x00")
	})
}

// split cuts a text into pieces of these lengths; the last one is what is left.
func split(text, lengths []byte) []string {
	var pieces []string
	for _, n := range lengths {
		n := min(int(n), len(text))
		pieces = append(pieces, string(text[:n]))
		text = text[n:]
	}
	return append(pieces, string(text))
}

// BenchmarkCGIWriter is a program's whole output in one Write, without what is
// below it.
func BenchmarkCGIWriter(b *testing.B) {
	for _, size := range []int{100, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			output := []byte("Status: 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n\r\n" + strings.Repeat("x", size))
			r := httptest.NewRequest("GET", "/", nil)
			sink := &countingResponse{header: http.Header{}}
			b.ReportAllocs()
			b.SetBytes(int64(len(output)))
			for b.Loop() {
				clear(sink.header)
				w := scgi.CGIWriter{Response: sink, Request: r}
				for rest := output; len(rest) > 0; {
					n := min(len(rest), 32<<10) // as io.Copy does
					if _, err := w.Write(rest[:n]); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			require.Equal(b, int64(b.N*size), sink.n)
			require.Equal(b, b.N, sink.answers)
		})
	}
}

// countingResponse counts what it is given.
type countingResponse struct {
	header  http.Header
	answers int
	n       int64
}

func (w *countingResponse) Header() http.Header { return w.header }
func (w *countingResponse) WriteHeader(int)     { w.answers++ }
func (w *countingResponse) Flush()              {}
func (w *countingResponse) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}
