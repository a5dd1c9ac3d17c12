package scgi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// It writes only what ReadHeader takes.
func TestAppendHeaderRefuses(t *testing.T) {
	for name, vars := range map[string][]pair{
		"nothing":              nil,
		"no CONTENT_LENGTH":    {{"SCGI", "1"}},
		"not first":            {{"SCGI", "1"}, {"CONTENT_LENGTH", "0"}},
		"CONTENT_LENGTH empty": {{"CONTENT_LENGTH", ""}, {"SCGI", "1"}},
		"CONTENT_LENGTH none":  {{"CONTENT_LENGTH", "-1"}, {"SCGI", "1"}},
		"no SCGI":              {{"CONTENT_LENGTH", "0"}},
		"SCGI 2":               {{"CONTENT_LENGTH", "0"}, {"SCGI", "2"}},
		"name empty":           {{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"", "v"}},
		"NUL in a name":        {{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"A\x00B", "v"}},
		"NUL in a value":       {{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"A", "v\x00B\x00w"}},
		"CONTENT_LENGTH twice": {{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"CONTENT_LENGTH", "0"}},
		"repeated otherwise":   {{"CONTENT_LENGTH", "0"}, {"SCGI", "1"}, {"A", "v"}, {"A", "w"}},
	} {
		dst := append(make([]byte, 0, 100), "before"...)
		got, err := scgi.AppendHeader(dst, seq(vars))
		var malformed *scgi.ProtocolError
		assert.ErrorAs(t, err, &malformed, name)
		assert.Equal(t, "before", string(got), name)
	}
}

// written is what WriteRequest makes of a request, parsed.
func written(t *testing.T, r *http.Request) (scgi.Vars, string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, scgi.WriteRequest(&out, r))
	br := bufio.NewReader(&out)
	vars, err := scgi.ReadHeader(br, -1)
	require.NoError(t, err)
	body, err := io.ReadAll(br)
	require.NoError(t, err)
	return vars, string(body)
}

// at is a request that a server took in at that address.
func at(r *http.Request, addr net.Addr) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
}

func TestWriteRequest(t *testing.T) {
	get := func(u string) *http.Request {
		r, err := http.NewRequest("GET", u, nil)
		require.NoError(t, err)
		return r
	}
	for _, row := range []struct {
		name string
		make func() *http.Request
		want string // block; a value of "-" stands for none
		body string
	}{
		{"get", func() *http.Request { return get("http://example.org/a%2Fb%20c?x=1&y") },
			"CONTENT_LENGTH|0|SCGI|1|REQUEST_METHOD|GET|REQUEST_URI|/a%2Fb%20c?x=1&y|SCRIPT_NAME||PATH_INFO|/a/b c|" +
				"QUERY_STRING|x=1&y|SERVER_PROTOCOL|HTTP/1.1|SERVER_NAME|example.org|SERVER_PORT|80|REMOTE_ADDR|127.0.0.1|" +
				"HTTP_HOST|example.org|HTTPS|-|CONTENT_TYPE|-|HTTP_CONTENT_LENGTH|-|SERVER_ADDR|-", ""},
		{"no path", func() *http.Request { return get("http://example.org") }, "REQUEST_URI|/|PATH_INFO|/|QUERY_STRING|", ""},
		{"https", func() *http.Request { return get("https://example.org/") }, "HTTPS|on|SERVER_PORT|443", ""},
		{"https by its connection", func() *http.Request {
			r := get("http://example.org/")
			r.TLS = &tls.ConnectionState{}
			return r
		}, "HTTPS|on|SERVER_PORT|443", ""},
		{"port", func() *http.Request { return get("https://example.org:8443/") },
			"SERVER_NAME|example.org|SERVER_PORT|8443|HTTP_HOST|example.org:8443", ""},
		{"IPv6", func() *http.Request { return get("http://[2001:db8::7]:8080/") },
			"SERVER_NAME|2001:db8::7|SERVER_PORT|8080|HTTP_HOST|[2001:db8::7]:8080", ""},
		{"Host wins over the URL's", func() *http.Request {
			r := get("http://example.org/")
			r.Host = "other.example:1"
			return r
		}, "HTTP_HOST|other.example:1|SERVER_NAME|other.example|SERVER_PORT|1", ""},
		{"method", func() *http.Request { r := get("http://a/"); r.Method = "PURGE"; return r }, "REQUEST_METHOD|PURGE", ""},
		{"no method", func() *http.Request { r := get("http://a/"); r.Method = ""; return r }, "REQUEST_METHOD|GET", ""},
		{"address", func() *http.Request { r := get("http://a/"); r.RemoteAddr = "192.0.2.7:5"; return r },
			"REMOTE_ADDR|192.0.2.7|REMOTE_PORT|5", ""},
		{"IPv6 address", func() *http.Request { r := get("http://a/"); r.RemoteAddr = "[2001:db8::7]:5"; return r },
			"REMOTE_ADDR|2001:db8::7|REMOTE_PORT|5", ""},
		{"address without a port", func() *http.Request { r := get("http://a/"); r.RemoteAddr = "@"; return r },
			"REMOTE_ADDR|@|REMOTE_PORT|0", ""},
		{"proto", func() *http.Request { r := get("http://a/"); r.Proto = "HTTP/2.0"; return r }, "SERVER_PROTOCOL|HTTP/2.0", ""},
		{"a rewritten path counts", func() *http.Request {
			r := get("http://a/new?x")
			r.RequestURI = "/old?y" // as httputil.ReverseProxy leaves it
			return r
		}, "REQUEST_URI|/new?x|PATH_INFO|/new|QUERY_STRING|x", ""},
		{"header", func() *http.Request {
			r := get("http://a/")
			r.Header = http.Header{"X-A": {"1", "2"}, "Cookie": {"a=1", "b=2"}, "Content-Type": {"a/b"}, "Host": {"no"}, "Proxy": {"no"},
				"Transfer-Encoding": {"chunked"}, "Content-Length": {"9"}, "Under_score": {"no"}, "Bad Name": {"no"}, "Empty": {}, "Last": {""}}
			return r
		}, "HTTP_X_A|1, 2|HTTP_COOKIE|a=1; b=2|CONTENT_TYPE|a/b|HTTP_HOST|a|HTTP_PROXY|-|HTTP_TRANSFER_ENCODING|-|HTTP_CONTENT_LENGTH|0|" +
			"HTTP_UNDER_SCORE|-|HTTP_BAD NAME|-|HTTP_EMPTY|-|HTTP_LAST|", ""},
		{"header in other cases", func() *http.Request {
			r := get("http://a/")
			r.Header = http.Header{"host": {"no"}, "proxy": {"no"}, "transfer-encoding": {"chunked"}, "content-length": {"9"}, "x-a": {"1"}, "X-A": {"2"}}
			return r
		}, "HTTP_X_A|2, 1|HTTP_HOST|a|HTTP_PROXY|-|HTTP_TRANSFER_ENCODING|-|HTTP_CONTENT_LENGTH|-", ""},
		{"body", func() *http.Request {
			r, err := http.NewRequest("POST", "http://a/", strings.NewReader("body"))
			require.NoError(t, err)
			return r
		}, "CONTENT_LENGTH|4|HTTP_CONTENT_LENGTH|4", "body"},
		{"a length of zero is said", func() *http.Request { r := get("http://a/"); r.Method = "PUT"; return r },
			"CONTENT_LENGTH|0|HTTP_CONTENT_LENGTH|0", ""},
		{"at an address of the server's", func() *http.Request {
			return at(get("http://example.org/"), &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 8080})
		}, "SERVER_NAME|example.org|SERVER_ADDR|192.0.2.1|SERVER_PORT|8080|HTTP_HOST|example.org", ""},
		{"at an IPv6 address", func() *http.Request {
			return at(get("http://example.org/"), &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 443})
		}, "SERVER_ADDR|fe80::1%eth0|SERVER_PORT|443", ""},
		{"at an address without a port", func() *http.Request {
			return at(get("http://example.org:81/"), &net.TCPAddr{IP: net.ParseIP("192.0.2.1")})
		}, "SERVER_ADDR|192.0.2.1|SERVER_PORT|81", ""},
		{"at a socket", func() *http.Request { return at(get("http://example.org/"), &net.UnixAddr{Name: "/s", Net: "unix"}) },
			"SERVER_ADDR|-|SERVER_PORT|80", ""},
		{"at no address", func() *http.Request { return at(get("http://example.org/"), (*net.TCPAddr)(nil)) },
			"SERVER_ADDR|-|SERVER_PORT|80", ""},
		{"no body, whatever its length says", func() *http.Request { r := get("http://a/"); r.ContentLength = 7; return r }, "CONTENT_LENGTH|0", ""},
		{"http.NoBody", func() *http.Request { r := get("http://a/"); r.Body = http.NoBody; r.ContentLength = -1; return r }, "CONTENT_LENGTH|0", ""},
		{"only so much of the body", func() *http.Request {
			r := get("http://a/")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("body and more")), 4
			return r
		}, "CONTENT_LENGTH|4", "body"},
		{"large body", func() *http.Request {
			r := get("http://a/")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 100_000))), 100_000
			return r
		}, "CONTENT_LENGTH|100000", strings.Repeat("x", 100_000)},
	} {
		t.Run(row.name, func(t *testing.T) {
			vars, body := written(t, row.make())
			assert.Equal(t, row.body, body)
			fields := strings.Split(row.want, "|")
			for i := 0; i+1 < len(fields); i += 2 {
				value, ok := vars.Lookup(fields[i])
				assert.Equal(t, fields[i+1] != "-", ok, fields[i])
				if ok {
					assert.Equal(t, fields[i+1], value, fields[i])
				}
			}
		})
	}
}

func TestWriteRequestRefuses(t *testing.T) {
	for _, row := range []struct {
		name   string
		body   io.Reader
		length int64
		change func(r *http.Request)
		want   string
	}{
		{"unknown length", strings.NewReader("body"), -1, nil, "length"},
		{"unknown length, zero", struct{ io.Reader }{strings.NewReader("body")}, 0, nil, "length"},
		{"short body", strings.NewReader("body"), 5, nil, io.ErrUnexpectedEOF.Error()},
		{"short large body", strings.NewReader("body"), 500_000, nil, io.ErrUnexpectedEOF.Error()},
		{"broken body", iotest.ErrReader(errBroken), 5, nil, "broken"},
		{"broken large body", iotest.ErrReader(errBroken), 500_000, nil, "broken"},
		{"NUL in a header", nil, 0, func(r *http.Request) { r.Header.Set("X", "a\x00b") }, "NUL"},
		{"NUL in a method", nil, 0, func(r *http.Request) { r.Method = "G\x00" }, "NUL"},
	} {
		r, err := http.NewRequest("POST", "http://a/", row.body)
		require.NoError(t, err)
		r.ContentLength = row.length
		if row.change != nil {
			row.change(r)
		}
		err = scgi.WriteRequest(io.Discard, r)
		assert.ErrorContains(t, err, row.want, row.name)
	}
	r, err := http.NewRequest("POST", "http://a/", strings.NewReader("body"))
	require.NoError(t, err)
	assert.ErrorIs(t, scgi.WriteRequest(failingWriter{}, r), syscall.EPIPE)
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// responses is what an application may say.
var responses = []struct {
	name   string
	raw    string
	method string // GET when empty
	status int    // 0: an error
	reason string
	header http.Header
	length int64
	body   string
	err    string // of ReadResponse or of the body
}{
	{name: "usual", raw: "Status: 404 Not Found\r\nContent-Type: a/b\r\nContent-Length: 4\r\n\r\nbody", status: 404, reason: "Not Found",
		header: http.Header{"Content-Type": {"a/b"}, "Content-Length": {"4"}}, length: 4, body: "body"},
	{name: "LF", raw: "Status: 404\nA: b\n\nbody", status: 404, reason: "Not Found", header: http.Header{"A": {"b"}}, length: -1, body: "body"},
	{name: "mixed ends", raw: "A: b\nC: d\r\n\nbody", status: 200, reason: "OK", header: http.Header{"A": {"b"}, "C": {"d"}}, length: -1, body: "body"},
	{name: "no Status", raw: "Content-Type: a/b\r\n\r\nbody", status: 200, reason: "OK", header: http.Header{"Content-Type": {"a/b"}}, length: -1, body: "body"},
	{name: "Location without Status", raw: "Location: /a\r\n\r\n", status: 302, reason: "Found", header: http.Header{"Location": {"/a"}}, length: -1},
	{name: "Location with Status", raw: "Location: /a\r\nStatus: 201 Made\r\n\r\n", status: 201, reason: "Made", header: http.Header{"Location": {"/a"}}, length: -1},
	{name: "names of any case", raw: "STATUS: 201\r\ncontent-LENGTH: 0\r\n\r\n", status: 201, reason: "Created", header: http.Header{"Content-Length": {"0"}}, length: 0},
	{name: "blanks around values", raw: "Status: \t 404  Not  There \t\r\nA:b\r\nB:\r\n\r\n", status: 404, reason: "Not  There", header: http.Header{"A": {"b"}, "B": {""}}, length: -1},
	{name: "repeated fields", raw: "Set-Cookie: a\r\nSet-Cookie: b\r\n\r\n", status: 200, reason: "OK", header: http.Header{"Set-Cookie": {"a", "b"}}, length: -1},
	{name: "unnamed status", raw: "Status: 799\r\n\r\n", status: 799, header: http.Header{}, length: -1},
	{name: "a status line", raw: "HTTP/1.1 404 Not Here\r\nContent-Type: a/b\r\n\r\nbody", status: 404, reason: "Not Here",
		header: http.Header{"Content-Type": {"a/b"}}, length: -1, body: "body"},
	{name: "a status line alone", raw: "HTTP/1.0  200\n\nbody", status: 200, reason: "OK", header: http.Header{}, length: -1, body: "body"},
	{name: "a status line wins over Status and Location", raw: "HTTP/1.1 200 OK\r\nStatus: x\r\nLocation: /a\r\n\r\n", status: 200, reason: "OK",
		header: http.Header{"Location": {"/a"}}, length: -1},
	{name: "interim status lines", raw: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 4\r\n\r\nbody", status: 201, reason: "Made",
		header: http.Header{"Content-Length": {"4"}}, length: 4, body: "body"},
	{name: "HEAD", raw: "Status: 200\r\nContent-Length: 1000\r\n\r\n", method: "HEAD", status: 200, reason: "OK", header: http.Header{"Content-Length": {"1000"}}, length: 1000},
	{name: "204", raw: "Status: 204\r\nContent-Length: 5\r\n\r\nhello", status: 204, reason: "No Content", header: http.Header{"Content-Length": {"5"}}, length: 0},
	{name: "304", raw: "Status: 304\r\n\r\n", status: 304, reason: "Not Modified", header: http.Header{}, length: 0},
	{name: "101", raw: "Status: 101\r\nUpgrade: a\r\n\r\nfirst", status: 101, reason: "Switching Protocols", header: http.Header{"Upgrade": {"a"}}, length: 0, body: "first"},
	{name: "interim answers", raw: "Status: 100 Continue\r\n\r\nStatus: 103\r\nLink: a\r\n\r\nStatus: 404\r\nA: b\r\n\r\nbody", status: 404, reason: "Not Found",
		header: http.Header{"A": {"b"}}, length: -1, body: "body"},
	{name: "five interim answers", raw: strings.Repeat("Status: 102\n\n", 5) + "A: b\n\n", status: 200, reason: "OK", header: http.Header{"A": {"b"}}, length: -1},
	{name: "more than the length", raw: "Content-Length: 4\r\n\r\nbody and more", status: 200, reason: "OK", header: http.Header{"Content-Length": {"4"}}, length: 4, body: "body"},
	{name: "less than the length", raw: "Content-Length: 10\r\n\r\nbody", status: 200, reason: "OK", header: http.Header{"Content-Length": {"10"}}, length: 10, body: "body", err: "unexpected EOF"},
	{name: "length of zero", raw: "Content-Length: 0\r\n\r\nbody", status: 200, reason: "OK", header: http.Header{"Content-Length": {"0"}}, length: 0},
	{name: "same length twice", raw: "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody", status: 200, reason: "OK", header: http.Header{"Content-Length": {"4", "4"}}, length: 4, body: "body"},
	{name: "256 fields", raw: strings.Repeat("A: b\r\n", 256) + "\r\n", status: 200, reason: "OK", header: http.Header{"A": repeated("b", 256)}, length: -1},
	{name: "64 KiB", raw: "A: " + strings.Repeat("x", 64<<10-5) + "\r\n\r\n", status: 200, reason: "OK", header: http.Header{"A": {strings.Repeat("x", 64<<10-5)}}, length: -1},

	{name: "nothing", raw: "", err: "without an answer"},
	{name: "nothing after an interim answer", raw: "Status: 100\r\n\r\n", err: "EOF"},
	{name: "six interim answers", raw: strings.Repeat("Status: 102\n\n", 6) + "A: b\n\n", err: "interim"},
	{name: "cut in the first field", raw: "Stat", err: "unexpected EOF"},
	{name: "cut in a value", raw: "Status: 200 OK", err: "unexpected EOF"},
	{name: "cut behind a field", raw: "Status: 200 OK\r\n", err: "unexpected EOF"},
	{name: "cut in the empty line", raw: "Status: 200 OK\r\n\r", err: "unexpected EOF"},
	{name: "no header", raw: "\r\nbody", err: "does not begin with a header"},
	{name: "text", raw: "<html>\r\n\r\n", err: `does not begin with a header: line 1 is "<html>"`},
	{name: "text behind a field", raw: "A: b\n<html>\n\n", err: `does not begin with a header: line 2 is "<html>"`},
	{name: "a status line that is none", raw: "HTTP/1.1 abc OK\r\nA: b\r\n\r\n", err: `does not begin with a header: line 1 is "HTTP/1.1 abc OK"`},
	{name: "a status line without a status", raw: "HTTP/1.1\r\nA: b\r\n\r\n", err: "does not begin with a header"},
	{name: "a status line without a version", raw: "HTTP/ 200 OK\r\nA: b\r\n\r\n", err: "does not begin with a header"},
	{name: "a status line behind a field", raw: "A: b\r\nHTTP/1.1 200 OK\r\n\r\n", err: "does not begin with a header"},
	{name: "two status lines", raw: "HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n\r\n", err: "does not begin with a header"},
	{name: "cut in the status line", raw: "HTTP/1.1 20", err: "unexpected EOF"},
	{name: "folding", raw: "A: b\r\n c\r\n\r\n", err: "does not begin with a header"},
	{name: "blank before the colon", raw: "A : b\r\n\r\n", err: "does not begin with a header"},
	{name: "no name", raw: ": b\r\n\r\n", err: "does not begin with a header"},
	{name: "status of letters", raw: "Status: abc\r\n\r\n", err: "does not begin with a header"},
	{name: "status of two digits", raw: "Status: 99\r\n\r\n", err: "does not begin with a header"},
	{name: "status of four digits", raw: "Status: 2000\r\n\r\n", err: "does not begin with a header"},
	{name: "status with a sign", raw: "Status: +20\r\n\r\n", err: "does not begin with a header"},
	{name: "status with a blank in it", raw: "Status: 2 0\r\n\r\n", err: "does not begin with a header"},
	{name: "length of letters", raw: "Content-Length: x\r\n\r\n", err: "CONTENT_LENGTH"},
	{name: "negative length", raw: "Content-Length: -1\r\n\r\n", err: "CONTENT_LENGTH"},
	{name: "two lengths", raw: "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", err: "Content-Length"},
	{name: "257 fields", raw: strings.Repeat("A: b\r\n", 257) + "\r\n", err: "too large"},
	{name: "over 64 KiB", raw: "A: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", err: "too large"},
	{name: "over 64 KiB without an end", raw: strings.Repeat("x", 1<<20), err: "too large"},
	{name: "over 64 KiB in many fields", raw: strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", 70) + "\r\n", err: "too large"},
}

func repeated(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

func TestReadResponse(t *testing.T) {
	for _, row := range responses {
		for _, reading := range readings {
			t.Run(row.name+", "+reading.name, func(t *testing.T) {
				r := &http.Request{Method: row.method}
				resp, err := scgi.ReadResponse(reading.of([]byte(row.raw)), r)
				if row.status == 0 {
					require.ErrorContains(t, err, row.err)
					assert.Nil(t, resp)
					if strings.Contains(row.err, "EOF") || row.raw == "" {
						assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
					}
					return
				}
				require.NoError(t, err)
				assert.Equal(t, row.status, resp.StatusCode)
				assert.Equal(t, strconv.Itoa(row.status)+" "+row.reason, resp.Status)
				assert.Equal(t, row.header, resp.Header)
				assert.Equal(t, row.length, resp.ContentLength)
				assert.Equal(t, r, resp.Request)
				body, err := io.ReadAll(resp.Body)
				assert.Equal(t, row.body, string(body))
				if row.err != "" {
					assert.ErrorContains(t, err, row.err)
				} else {
					assert.NoError(t, err)
				}
				assert.NoError(t, resp.Body.Close())
			})
		}
	}
}

// Without a request an answer is one to a GET.
func TestReadResponseWithoutRequest(t *testing.T) {
	resp, err := scgi.ReadResponse(bufio.NewReader(strings.NewReader("A: b\r\n\r\nbody")), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "body", string(body))
}

func TestTransport(t *testing.T) {
	for _, network := range serverNetworks {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(describe)})
		client := s.Client()
		resp, err := client.Post("http://example.org:8080/a%2Fb?c", "text/plain", strings.NewReader("body"))
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, 200, resp.StatusCode)
		assert.Equal(t, "200 OK", resp.Status)
		assert.Equal(t, "/a%2Fb?c", resp.Request.URL.RequestURI())
		assert.Equal(t, int64(len(body)), resp.ContentLength)
		assert.True(t, strings.HasPrefix(string(body), `POST /a%2Fb?c "body" HTTP/1.1 host "example.org:8080" from "127.0.0.1:0" tls false`), "%s", body)

		resp, err = client.Head("http://example.org/")
		require.NoError(t, err)
		body, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Empty(t, body)
		assert.Positive(t, resp.ContentLength)
	}
}

// trackedBody is a request's body that tells when it was closed.
type trackedBody struct {
	io.Reader
	closed chan struct{}
}

func newTrackedBody(r io.Reader) *trackedBody { return &trackedBody{r, make(chan struct{})} }

// Close may be called once.
func (b *trackedBody) Close() error {
	close(b.closed)
	if c, ok := b.Reader.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Mount splits the path as a front end does.
func TestTransportMount(t *testing.T) {
	for _, row := range []struct{ mount, path, scriptName, pathInfo string }{
		{"", "/habitat/a", "", "/habitat/a"},
		{"/habitat", "/habitat/a", "/habitat", "/a"},
		{"/habitat", "/habitat", "/habitat", ""},
		{"/habitat", "/habitat/", "/habitat", "/"},
		{"/habitat", "/habitation", "", "/habitation"},
		{"/habitat/", "/habitat/a", "/habitat", "/a"},
		{"/", "/a", "", "/a"},
	} {
		s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
			assert.Equal(t, row.scriptName, scgi.Env(r).Get("SCRIPT_NAME"), row)
			assert.Equal(t, row.pathInfo, scgi.Env(r).Get("PATH_INFO"), row)
			assert.Equal(t, row.path, r.URL.Path)
		})
		tr := s.Transport()
		tr.Mount = row.mount
		resp, err := (&http.Client{Transport: tr}).Get("http://example.org" + row.path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
}

// SCGI says a body's length first; so one of unknown length is held.
func TestTransportUnknownLength(t *testing.T) {
	for _, row := range []struct {
		max  int64
		size int
		ok   bool
	}{{0, 0, true}, {0, 1, true}, {0, 1 << 20, true}, {0, 1<<20 + 1, false}, {10, 10, true}, {10, 11, false}, {-1, 0, true}, {-1, 1, false}} {
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		tr := s.Transport()
		tr.MaxBufferedBody = row.max
		body := newTrackedBody(strings.NewReader(strings.Repeat("x", row.size)))
		r, err := http.NewRequest("POST", "http://example.org/", body)
		require.NoError(t, err)
		resp, err := tr.RoundTrip(r)
		await(t, "the body's closing", body.closed)
		if !row.ok {
			tooLarge := new(http.MaxBytesError)
			require.ErrorAs(t, err, &tooLarge, row)
			assert.EqualValues(t, row.size-1, tooLarge.Limit)
			assert.Nil(t, resp)
			continue
		}
		require.NoError(t, err, row)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Len(t, got, row.size)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, int64(0), r.ContentLength, "the request is not changed")
		assert.Same(t, r, resp.Request)
		assert.Same(t, body, r.Body)
	}
}

// An answer that comes before the request was sent whole is an answer.
func TestTransportEarlyAnswer(t *testing.T) {
	for _, network := range serverNetworks {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		})})
		for _, size := range []int64{100, 1 << 20, 30 << 20} {
			r, err := http.NewRequest("POST", "http://example.org/", io.LimitReader(endless{}, size))
			require.NoError(t, err)
			r.ContentLength = size
			resp, err := s.Client().Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, 413, resp.StatusCode)
			assert.Equal(t, "too large\n", string(body))
		}
	}
}

// lateRead is a connection that is read only when there is nothing else to do.
type lateRead struct{ *memoryConn }

func (c lateRead) Read(p []byte) (int, error) {
	synctest.Wait()
	return c.memoryConn.Read(p)
}

// Even that of an application that does not read on, but closes.
func TestTransportEarlyAnswerAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, app := memoryPipe(100)
		_, err := io.WriteString(app, "Status: 413\r\nContent-Length: 9\r\n\r\ntoo large")
		require.NoError(t, err)
		require.NoError(t, app.Close())
		tr := &scgi.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return lateRead{client}, nil }}
		r, err := http.NewRequest("POST", "http://example.org/", strings.NewReader(strings.Repeat("x", 100_000)))
		require.NoError(t, err)
		resp, err := tr.RoundTrip(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "too large", string(body))
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// Closing the answer's body lets go of a request's body that still blocks.
func TestTransportCloseEndsSending(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	pr, pw := io.Pipe()
	defer pw.Close()
	body := newTrackedBody(pr)
	r, err := http.NewRequest("POST", "http://example.org/", body)
	require.NoError(t, err)
	r.ContentLength = 1 << 30
	resp, err := s.Transport().RoundTrip(r)
	require.NoError(t, err)
	assert.Equal(t, 413, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	await(t, "the request body's closing", body.closed)
}

// memoryTransport is a transport to a server in memory.
func memoryTransport(l *memoryListener) *scgi.Transport {
	return &scgi.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		c, err := l.dial()
		if err != nil {
			return nil, err
		}
		return c, nil
	}}
}

// However a request fails, its error says why, its body is closed and nothing is
// left behind.
func TestTransportFails(t *testing.T) {
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		body    func() io.Reader
		length  int64
		change  func(tr *scgi.Transport, r *http.Request) *http.Request
		want    error
		after   time.Duration
	}{
		{name: "no answer", handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: io.ErrUnexpectedEOF},
		{name: "nobody listens", change: func(tr *scgi.Transport, r *http.Request) *http.Request {
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
			return r
		}, want: syscall.ECONNREFUSED},
		{name: "cancelled before", change: func(tr *scgi.Transport, r *http.Request) *http.Request {
			tr.DialContext = func(context.Context, string, string) (net.Conn, error) { panic("nobody is asked") }
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			return r.WithContext(ctx)
		}, want: context.Canceled},
		{name: "cancelled before, body that blocks and has no length", body: func() io.Reader { r, _ := io.Pipe(); return r }, length: -1,
			change: func(_ *scgi.Transport, r *http.Request) *http.Request {
				ctx, cancel := context.WithCancel(r.Context())
				cancel()
				return r.WithContext(ctx)
			}, want: context.Canceled},
		{name: "cancelled during", change: withTimeout(3 * time.Second), want: context.DeadlineExceeded, after: 3 * time.Second,
			handler: func(_ http.ResponseWriter, r *http.Request) { time.Sleep(time.Minute) }},
		{name: "cancelled while sending", change: withTimeout(3 * time.Second), want: context.DeadlineExceeded, after: 3 * time.Second,
			body: func() io.Reader { r, _ := io.Pipe(); return r }, length: 100_000},
		{name: "cancelled while reading a body without a length", change: withTimeout(3 * time.Second), want: context.DeadlineExceeded,
			after: 3 * time.Second, body: func() io.Reader { r, _ := io.Pipe(); return r }, length: -1},
		{name: "ResponseHeaderTimeout", change: func(tr *scgi.Transport, r *http.Request) *http.Request {
			tr.ResponseHeaderTimeout = 2 * time.Second
			return r
		}, want: os.ErrDeadlineExceeded, after: 2 * time.Second, handler: func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }},
		{name: "short body", body: func() io.Reader { return strings.NewReader("body") }, length: 100, want: io.ErrUnexpectedEOF},
		{name: "short large body", body: func() io.Reader { return strings.NewReader("body") }, length: 100_000, want: io.ErrUnexpectedEOF},
		{name: "broken body", body: func() io.Reader { return iotest.ErrReader(errBroken) }, length: 100_000, want: errBroken},
		{name: "broken body without a length", body: func() io.Reader { return iotest.ErrReader(errBroken) }, length: -1, want: errBroken},
		{name: "body that breaks as a connection does", length: 100_000, body: func() io.Reader {
			return iotest.ErrReader(&net.OpError{Op: "read", Net: "tcp", Err: errBroken}) // behind httputil.ReverseProxy
		}, want: errBroken},
		{name: "NUL in a header", change: func(_ *scgi.Transport, r *http.Request) *http.Request {
			r.Header.Set("X", "\x00")
			return r
		}, want: &scgi.ProtocolError{}},
		{name: "answer that is none", handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			_, _ = io.WriteString(conn, "nonsense\r\n\r\n")
			_ = conn.Close()
		}, want: errors.New(`scgi: the application's answer does not begin with a header: line 1 is "nonsense"`)},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler := row.handler
				if handler == nil {
					handler = func(_ http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body)
						panic(http.ErrAbortHandler)
					}
				}
				s := quiet(handler)
				l := newMemoryListener()
				require.NoError(t, s.Start(l))
				var body *trackedBody
				r, err := http.NewRequestWithContext(t.Context(), "POST", "http://example.org/", nil)
				require.NoError(t, err)
				if row.body != nil {
					body = newTrackedBody(row.body())
					r.Body, r.ContentLength = body, row.length
				}
				tr := memoryTransport(l)
				if row.change != nil {
					r = row.change(tr, r)
				}
				began := time.Now()
				resp, err := tr.RoundTrip(r)
				assert.Equal(t, row.after, time.Since(began))
				assert.Nil(t, resp)
				if malformed := new(scgi.ProtocolError); errors.As(row.want, &malformed) {
					assert.ErrorAs(t, err, &malformed)
				} else if !errors.Is(err, row.want) {
					assert.EqualError(t, err, row.want.Error())
				}
				if body != nil {
					<-body.closed
				}
				require.NoError(t, s.Shutdown(t.Context()))
			})
		})
	}
}

func withTimeout(d time.Duration) func(*scgi.Transport, *http.Request) *http.Request {
	return func(_ *scgi.Transport, r *http.Request) *http.Request {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		context.AfterFunc(ctx, cancel)
		return r.WithContext(ctx)
	}
}

// A context that ends while the answer's body is read ends that, and says so.
func TestTransportCancelledWithinAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := quiet(func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			<-release
		})
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", "http://example.org/", nil)
		require.NoError(t, err)
		tr := memoryTransport(l)
		tr.ResponseHeaderTimeout = time.Millisecond // which is over with the header
		resp, err := tr.RoundTrip(r)
		require.NoError(t, err)
		began := time.Now()
		_, err = io.ReadAll(resp.Body)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(began))
		require.NoError(t, resp.Body.Close())
		require.NoError(t, resp.Body.Close(), "twice is once")
		close(release)
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

// startProxy starts an HTTP server that passes everything on over SCGI.
func startProxy(t *testing.T, s *scgitest.Server, rewrite func(*httputil.ProxyRequest)) *httptest.Server {
	t.Helper()
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: s.Transport(), FlushInterval: -1, Rewrite: rewrite, ErrorLog: log.New(io.Discard, "", 0)})
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.Start()
	t.Cleanup(front.Close)
	return front
}

func toApp(pr *httputil.ProxyRequest) { pr.Out.URL.Scheme, pr.Out.URL.Host = "http", "app" }

func TestReverseProxy(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		w.Header().Set("X-Path", r.URL.String())
		w.Header().Set("X-Addr", scgi.Env(r).Get("REMOTE_ADDR"))
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(body)
	})
	front := startProxy(t, s, func(pr *httputil.ProxyRequest) {
		toApp(pr)
		pr.Out.URL.Path = "/app" + pr.Out.URL.Path
		pr.Out.URL.RawPath = ""
	})
	for _, body := range []io.Reader{strings.NewReader("body"), struct{ io.Reader }{strings.NewReader("body")}} { // with a length, and chunked
		resp, err := front.Client().Post(front.URL+"/a b?c=d", "text/plain", body)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusTeapot, resp.StatusCode)
		assert.Equal(t, "body", string(got))
		assert.Equal(t, "/app/a%20b?c=d", resp.Header.Get("X-Path"), "what was rewritten is what is asked for")
		assert.Equal(t, "127.0.0.1", resp.Header.Get("X-Addr"))
	}
	s.Close()
	resp, err := front.Client().Get(front.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
}

// Events arrive one by one, and the handler hears of a client that goes away.
func TestReverseProxyEvents(t *testing.T) {
	onlyLinux(t)
	next, ended := make(chan string), make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case event := <-next:
				_, _ = io.WriteString(w, "data: "+event+"\n\n")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	front := startProxy(t, s, toApp)
	next0 := make(chan struct{})
	go func() { next <- "first"; close(next0) }()
	resp, err := front.Client().Get(front.URL)
	require.NoError(t, err)
	await(t, "the first event", next0)
	br := bufio.NewReader(resp.Body)
	for _, event := range []string{"first", "second", "third"} {
		if event != "first" {
			next <- event
		}
		line, err := br.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "data: "+event+"\n", line)
		_, err = br.ReadString('\n')
		require.NoError(t, err)
	}
	require.NoError(t, resp.Body.Close())
	await(t, "the handler's end", ended)
}

// An upgrade goes through, both ways.
func TestReverseProxyUpgrade(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "echo", r.Header.Get("Upgrade"))
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer conn.Close()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = rw.WriteString(line)
			_ = rw.Flush()
		}
	})
	front := startProxy(t, s, toApp)
	u, err := url.Parse(front.URL)
	require.NoError(t, err)
	conn, err := net.Dial("tcp", u.Host)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	for _, line := range []string{"hello\n", strings.Repeat("x", 100_000) + "\n"} {
		go func() { _, _ = io.WriteString(conn, line) }() // the echo tells
		got, err := br.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, line, got)
	}
}

// The test server answers through scgi.Server, and says when a handler hangs.
func TestScgitest(t *testing.T) {
	s := scgitest.NewServer(http.HandlerFunc(describe))
	s.Config.Logger = slog.New(slog.DiscardHandler)
	defer s.Close()
	answer, err := s.Send(scgitest.Split(scgitest.Post("/a", "body"), 7)...)
	require.NoError(t, err)
	assert.Contains(t, string(answer), `POST /a "body"`)
	assert.Equal(t, "5:abcde,fgh", string(scgitest.Netstring("abcde", "fgh")))
	assert.Equal(t, "4:a\x00b\x00,c", string(scgitest.Request("c", "a", "b")))
	assert.Equal(t, "0:,", string(scgitest.Request("")))
	assert.Equal(t, [][]byte{[]byte("ab"), []byte("c")}, scgitest.Split([]byte("abc"), 2))
}
