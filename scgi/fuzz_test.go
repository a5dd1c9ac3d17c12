package scgi_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// seedCorpus adds every request of testdata/scgi that is not large.
func seedCorpus(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		for _, raw := range corpus(f, folder) {
			if len(raw) < 8000 {
				f.Add(raw)
			}
		}
	}
	for _, row := range headers {
		f.Add([]byte(block(row.raw)))
	}
	for _, row := range wire {
		if len(row.raw) < 8000 {
			f.Add([]byte(row.raw))
		}
	}
}

// fuzzLimit is small, so that it is met.
const fuzzLimit = 5000

func FuzzReadHeader(f *testing.F) {
	seedCorpus(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		want, rest, accepted := naiveHeader(raw, fuzzLimit)
		for _, reading := range readings {
			r := reading.of(raw)
			vars, err := scgi.ReadHeader(r, fuzzLimit)
			require.Equal(t, accepted, err == nil, "%s: %v", reading.name, err)
			if err != nil {
				require.Empty(t, pairs(vars))
				requireKnown(t, err)
				continue
			}
			require.Equal(t, want, pairs(vars), reading.name)
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.True(t, bytes.Equal(rest, got), reading.name)
			again, err := scgi.AppendHeader(nil, vars.All())
			require.NoError(t, err)
			reparsed, err := scgi.ReadHeader(bufio.NewReader(bytes.NewReader(again)), -1)
			require.NoError(t, err)
			require.Equal(t, want, pairs(reparsed))
		}
	})
}

// requireKnown checks that an error of ReadHeader is one that it documents.
func requireKnown(t *testing.T, err error) {
	var malformed *scgi.ProtocolError
	if !errors.As(err, &malformed) {
		require.Contains(t, []error{io.EOF, io.ErrUnexpectedEOF}, err)
		return
	}
	require.NotEmpty(t, malformed.Reason)
	require.GreaterOrEqual(t, malformed.Offset, 0)
	require.Less(t, len(err.Error()), 500)
}

var (
	netstring = regexp.MustCompile(`^(0|[1-9][0-9]{0,8}):`)
	decimal   = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
)

// naiveHeader is what ReadHeader's description says, in another way and without
// any haste.
func naiveHeader(raw []byte, limit int) (vars []pair, rest []byte, ok bool) {
	prefix := netstring.FindSubmatch(raw)
	if prefix == nil {
		return nil, nil, false
	}
	length, _ := strconv.Atoi(string(prefix[1]))
	raw = raw[len(prefix[0]):]
	if length == 0 || length > limit || len(raw) < length+1 || raw[length] != ',' || raw[length-1] != 0 {
		return nil, nil, false
	}
	fields := strings.Split(string(raw[:length-1]), "\x00")
	if len(fields)%2 != 0 {
		return nil, nil, false
	}
	for field := range slices.Chunk(fields, 2) {
		name, value := field[0], field[1]
		if name == "" {
			return nil, nil, false
		}
		i := slices.IndexFunc(vars, func(p pair) bool { return p.name == name })
		switch {
		case i < 0:
			vars = append(vars, pair{name, value})
		case name == "CONTENT_LENGTH", name == "SCGI":
			return nil, nil, false
		case name == "HTTP_COOKIE":
			vars[i].value += "; " + value
		case name == "HTTP_HOST" || name == "HTTP_CONTENT_LENGTH" || !strings.HasPrefix(name, "HTTP_"):
			if vars[i].value != value {
				return nil, nil, false
			}
		default:
			vars[i].value += ", " + value
		}
	}
	number, _ := new(big.Int).SetString(vars[0].value, 10)
	if vars[0].name != "CONTENT_LENGTH" || !decimal.MatchString(vars[0].value) || !number.IsInt64() {
		return nil, nil, false
	}
	return vars, raw[length+1:], slices.Contains(vars, pair{"SCGI", "1"})
}

func FuzzNewRequest(f *testing.F) {
	for _, uri := range []string{"/", "/a?b", "/a%20b%2fc", "//a", "*", "/?", "http://a/b", "/a#b", "/\xff", "/a??", "/%", "a", "?", "/a b?c d"} {
		f.Add(uri, "", "", "HTTP_X", "y")
	}
	f.Add("", "/s", "/p", "HTTP_Proxy", "a")
	f.Add("", "", "p", "HTTP_CONTENT_LENGTH", "0")
	f.Add("/", "", "", "HTTP_TRANSFER-ENCODING", "chunked")
	f.Add("/", "/", "", "HTTPS", "on")
	f.Fuzz(func(t *testing.T, uri, scriptName, pathInfo, name, value string) {
		if strings.Contains(uri+scriptName+pathInfo+name+value, "\x00") {
			return // it would be other variables than those
		}
		raw := scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", uri,
			"SCRIPT_NAME", scriptName, "PATH_INFO", pathInfo, name, value)
		vars, err := scgi.ReadHeader(bufio.NewReader(bytes.NewReader(raw)), 0)
		if err != nil {
			return
		}
		r, err := scgi.NewRequest(t.Context(), vars)
		if err != nil {
			var malformed *scgi.ProtocolError
			require.ErrorAs(t, err, &malformed)
			if name != "HTTP_CONTENT_LENGTH" && name != "QUERY_STRING" {
				requireUnparsable(t, uri, scriptName+pathInfo)
			}
			return
		}
		requireURL(t, uri, r.URL)
		for key, values := range r.Header {
			require.Equal(t, http.CanonicalHeaderKey(key), key)
			require.NotContains(t, []string{"Proxy", "Transfer-Encoding", "Content-Length", "Host"}, key)
			require.NotEmpty(t, values)
			if key != "Content-Type" {
				require.True(t, strings.HasPrefix(name, "HTTP_"), name)
			}
		}
		require.Equal(t, int64(0), r.ContentLength)
		require.NotNil(t, r.Body)
		require.NotEmpty(t, r.RequestURI)
		require.Positive(t, r.ProtoMajor)
	})
}

// requireURL compares a URL with net/url's.
func requireURL(t *testing.T, uri string, got *url.URL) {
	require.Empty(t, got.Host+got.Scheme+got.Opaque+got.Fragment)
	require.Nil(t, got.User)
	if uri == "" {
		require.True(t, strings.HasPrefix(got.Path, "/"))
		return
	}
	want, err := url.ParseRequestURI(uri)
	require.NoError(t, err)
	require.Equal(t, [...]any{want.Path, want.RawPath, want.RawQuery, want.ForceQuery},
		[...]any{got.Path, got.RawPath, got.RawQuery, got.ForceQuery})
}

// requireUnparsable checks that net/url refuses a target, too, or that there is
// none.
func requireUnparsable(t *testing.T, uri, path string) {
	if uri == "" {
		require.False(t, strings.HasPrefix(path, "/"), "%q", path)
		return
	}
	_, err := url.ParseRequestURI(uri)
	require.Error(t, err, "%q", uri)
}

// program makes a handler of bytes: each operation takes some.
type program struct{ code []byte }

func (p *program) next() int {
	if len(p.code) == 0 {
		return 0
	}
	b := p.code[0]
	p.code = p.code[1:]
	return int(b)
}

// text takes a length and as many bytes.
func (p *program) text() string {
	n := min(p.next()%24, len(p.code))
	s := string(p.code[:n])
	p.code = p.code[n:]
	return s
}

// fieldNames are those that matter, among any.
var fieldNames = []string{"Content-Type", "Content-Length", "Content-Encoding", "Location", "Connection", "Transfer-Encoding",
	"Status", "Upgrade", "Trailer", "transfer-encoding", "status", "content-length", "X-A", "Set-Cookie"}

// run does what the program says, and returns the body that w has accepted.
func (p *program) run(t *testing.T, w http.ResponseWriter) (body []byte) {
	accept := func(n int, err error, data []byte) {
		require.True(t, n == len(data) && err == nil || n == 0 && err != nil, "%d of %d: %v", n, len(data), err)
		body = append(body, data[:n]...)
	}
	for len(p.code) > 0 {
		switch p.next() % 9 {
		case 0:
			w.Header().Set(p.text(), p.text())
		case 1:
			w.Header().Add(fieldNames[p.next()%len(fieldNames)], p.text())
		case 2:
			w.Header()[p.text()] = []string{p.text(), p.text()}
		case 3:
			w.Header().Set("Content-Length", strconv.Itoa(p.next()*17))
		case 4:
			w.WriteHeader(100 + p.next()*3) // and so never invalid
		case 5:
			data := []byte(p.text())
			n, err := w.Write(data)
			accept(n, err, data)
		case 6:
			text := strings.Repeat(string(rune('a'+p.next()%26)), p.next()*100)
			n, err := io.WriteString(w, text)
			accept(n, err, []byte(text))
		case 7:
			w.(http.Flusher).Flush()
		case 8:
			data := bytes.Repeat([]byte("0123456789"), p.next()*20)
			n, err := w.(io.ReaderFrom).ReadFrom(bytes.NewReader(data))
			require.True(t, err != nil || int(n) == len(data))
			body = append(body, data[:n]...)
		}
	}
	return body
}

var fieldLine = regexp.MustCompile("^([!#$%&'*+\\-.^_`|~0-9A-Za-z]+): ([^\r\n\x00]*)$")

// requireAnswer checks an answer's header block by itself, and returns its fields.
func requireAnswer(t *testing.T, answer string) http.Header {
	head, _, ok := strings.Cut(answer, "\r\n\r\n")
	require.True(t, ok, "%q", answer)
	header := make(http.Header)
	for i, line := range strings.Split(head, "\r\n") {
		field := fieldLine.FindStringSubmatch(line)
		require.NotNil(t, field, "%q", line)
		name := http.CanonicalHeaderKey(field[1])
		require.Equal(t, i == 0, name == "Status", "%q", line)
		header.Add(name, field[2])
	}
	status := header.Get("Status")
	require.Regexp(t, `^([2-9]\d\d|101) .`, status)
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		if !strings.HasPrefix(status, "101 ") || name != "Connection" && name != "Upgrade" {
			require.NotContains(t, header, name)
		}
	}
	require.LessOrEqual(t, len(header["Content-Length"]), 1)
	if strings.HasPrefix(status, "200 ") {
		require.NotContains(t, header, "Location")
	}
	return header
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("\x05\x05hello"), false)
	f.Add([]byte("\x03\x01\x05\x05hello\x05\x05world\x05\x0dand much more"), false)
	f.Add([]byte("\x00\x03X-A\x0aa\r\nX-B: b\r\x04\x21\x06\x01\x50\x07\x08\x90"), true)
	f.Add([]byte("\x01\x05\x07chunked\x01\x06\x03500\x02\x03X\r\n\x01a\x01b\x04\x68"), false)
	f.Add([]byte("\x04\x22\x05\x01x\x04\x44\x05\x01x"), false)
	f.Add([]byte("\x04\x00\x04\x01\x06\x00\xff\x06\x01\x28\x06\x02\x29"), false)
	f.Fuzz(func(t *testing.T, code []byte, head bool) {
		code = code[:min(len(code), 512)] // more would make a header that ReadResponse is right to refuse
		var body []byte
		finished := false
		srv := &scgi.Server{Logger: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			body = (&program{code}).run(t, w)
			finished = true
		})}
		l := newMemoryListener()
		l.room = 16 << 20
		require.NoError(t, srv.Start(l))
		r := &http.Request{Method: http.MethodGet}
		if head {
			r.Method = http.MethodHead
		}
		answer := l.ask(t, scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", r.Method, "REQUEST_URI", "/"))
		require.NoError(t, srv.Shutdown(t.Context()))
		require.True(t, finished)

		header := requireAnswer(t, answer)
		br := bufio.NewReader(strings.NewReader(answer))
		resp, err := scgi.ReadResponse(br, r)
		require.NoError(t, err)
		require.Equal(t, header.Get("Status")[:3], strconv.Itoa(resp.StatusCode))
		got, err := io.ReadAll(resp.Body)
		switch {
		case head:
			require.Empty(t, got)
			require.True(t, strings.HasSuffix(answer, "\r\n\r\n"), "no body is sent")
		case err != nil: // the handler wrote less than it said
			require.Equal(t, io.ErrUnexpectedEOF, err)
			require.Less(t, int64(len(body)), resp.ContentLength)
			fallthrough
		default:
			require.True(t, bytes.Equal(body, got), "%q instead of %q", got, body)
			require.True(t, strings.HasSuffix(answer, "\r\n\r\n"+string(body)))
		}
		if length := header.Get("Content-Length"); length != "" && err == nil && !head {
			require.Equal(t, strconv.Itoa(len(body)), length)
		}
	})
}

func FuzzReadResponse(f *testing.F) {
	for _, row := range responses {
		f.Add([]byte(row.raw), "GET")
	}
	f.Add([]byte("Status: 200 OK\r\nContent-Length: 3\r\n\r\nabcd"), "HEAD")
	f.Fuzz(func(t *testing.T, raw []byte, method string) {
		r := &http.Request{Method: method}
		read := func(br *bufio.Reader) string {
			resp, err := scgi.ReadResponse(br, r)
			if err != nil {
				require.Nil(t, resp)
				return err.Error()
			}
			require.True(t, resp.StatusCode >= 100 && resp.StatusCode <= 999)
			require.True(t, strings.HasPrefix(resp.Status, strconv.Itoa(resp.StatusCode)+" "))
			fields := 0
			for key, values := range resp.Header {
				require.Equal(t, http.CanonicalHeaderKey(key), key)
				require.NotContains(t, key+strings.Join(values, ""), "\n")
				require.NotEqual(t, "Status", key)
				fields += len(values)
			}
			require.LessOrEqual(t, fields, 256)
			body, err := io.ReadAll(resp.Body)
			switch {
			case method == http.MethodHead:
				require.Empty(t, body)
				require.NoError(t, err)
			case resp.ContentLength >= 0 && resp.StatusCode != 101:
				require.Equal(t, int64(len(body)) < resp.ContentLength, errors.Is(err, io.ErrUnexpectedEOF))
				require.LessOrEqual(t, int64(len(body)), resp.ContentLength)
			default:
				require.NoError(t, err)
			}
			require.NoError(t, resp.Body.Close())
			return fmt.Sprint(resp.Status, resp.Header, resp.ContentLength, body, err)
		}
		whole := read(bufio.NewReader(bytes.NewReader(raw)))
		assert.Equal(t, whole, read(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(raw)))))
		assert.Equal(t, whole, read(bufio.NewReaderSize(bytes.NewReader(raw), 16)))
	})
}
