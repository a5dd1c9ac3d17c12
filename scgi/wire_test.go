package scgi_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file sends bytes over real sockets, as they come and byte by byte.

// networks are what a front end may connect by.
var networks = []string{"unix", "tcp"}

// serverNetworks are these, each with both ways of accepting: Linux's own, and that
// of package net alone.
var serverNetworks = []string{"unix", "tcp", "unix" + portably, "tcp" + portably}

const portably = ", portable"

// onNetwork lets srv accept in the way that a name of serverNetworks asks for, and
// returns the network as package net calls it.
func onNetwork(name string, srv *scgi.Server) string {
	network, portable := strings.CutSuffix(name, portably)
	if portable {
		scgi.Portable(srv)
	}
	return network
}

// onBothWays runs a test with both ways of accepting.
func onBothWays(t *testing.T, network string, test func(*testing.T, string)) {
	for _, name := range []string{network, network + portably} {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}

// startOn starts a server on that network.
func startOn(t testing.TB, network string, srv *scgi.Server) *scgitest.Server {
	t.Helper()
	if srv.Logger == nil {
		srv.Logger = slog.New(slog.DiscardHandler)
	}
	s := &scgitest.Server{Config: srv, Network: onNetwork(network, srv)}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// closeWriter is a connection of either network.
type closeWriter interface {
	net.Conn
	CloseWrite() error
}

func dial(t testing.TB, s *scgitest.Server) closeWriter {
	t.Helper()
	conn, err := s.Dial()
	require.NoError(t, err)
	return conn.(closeWriter)
}

// converse sends chunks, ends its half if it is told to, and returns what comes
// back until the server closes.
func converse(t testing.TB, s *scgitest.Server, chunks [][]byte, end bool) (string, error) {
	t.Helper()
	conn := dial(t, s)
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, chunk := range chunks {
			if _, err := conn.Write(chunk); err != nil {
				return // the server has answered and closed
			}
		}
		if end {
			_ = conn.CloseWrite() // likewise
		}
	}()
	answer, err := io.ReadAll(conn)
	<-sent
	return string(answer), err
}

// minimal is a request of those variables behind the least, "|" standing for NUL.
func minimal(vars string) string {
	return string(scgitest.Netstring(block(least+"REQUEST_METHOD|GET|REQUEST_URI|/|"+vars), ""))
}

// post is one with a body.
func post(vars, body string) string {
	return string(scgitest.Netstring(block("CONTENT_LENGTH|"+strconv.Itoa(len(body))+"|SCGI|1|REQUEST_METHOD|POST|REQUEST_URI|/|"+vars), body))
}

// exactly is a request whose block is that and nothing else.
func exactly(vars string) string { return string(scgitest.Netstring(block(vars), "")) }

// lengthed is one whose CONTENT_LENGTH is that.
func lengthed(length, body string) string {
	return string(scgitest.Netstring(block("CONTENT_LENGTH|"+length+"|SCGI|1|REQUEST_METHOD|POST|REQUEST_URI|/|"), body))
}

// The beginnings of answers.
const (
	ok200  = "Status: 200 OK\r\n"
	bad400 = "Status: 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 12\r\n\r\nBad Request\n"
	big431 = "Status: 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 32\r\n\r\nRequest Header Fields Too Large\n"
	set500 = "Status: 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 22\r\n\r\nInternal Server Error\n"
	none   = ""
)

// wire is what may come over it. The handler's answer, behind ok200, says what
// it made of the request.
var wire = []struct {
	name string
	raw  string
	want string // the answer begins with it; none: there is none
	says string // what the handler says
	ends bool   // the peer ends its half
	more bool   // there is more than the request, and it may meet a closed connection
}{
	{name: "least", raw: minimal(""), want: ok200, says: `GET / "" HTTP/1.0`},
	{name: "post", raw: post("", "body"), want: ok200, says: `POST / "body"`},
	{name: "post, binary", raw: post("", "\x00,\xff:24:"), want: ok200, says: `POST / "\x00,\xff:24:"`},
	{name: "GET with a body", raw: exactly("CONTENT_LENGTH|4|SCGI|1|REQUEST_METHOD|GET|REQUEST_URI|/|") + "body", want: ok200, says: `GET / "body"`},
	{name: "HEAD", raw: exactly(least + "REQUEST_METHOD|HEAD|REQUEST_URI|/|"), want: ok200},
	{name: "another method", raw: exactly(least + "REQUEST_METHOD|PROPFIND|REQUEST_URI|/|"), want: ok200, says: "PROPFIND /"},
	{name: "OPTIONS *", raw: exactly(least + "REQUEST_METHOD|OPTIONS|REQUEST_URI|*|"), want: ok200, says: "OPTIONS *"},
	{name: "SCGI last", raw: exactly("CONTENT_LENGTH|0|REQUEST_METHOD|GET|REQUEST_URI|/|SCGI|1|"), want: ok200},
	{name: "unknown names, lower case", raw: minimal("proxy-scgi-pathinfo|1|no such|2|"), want: ok200},
	{name: "empty values", raw: minimal("REMOTE_PORT||SERVER_NAME||HTTP_X||"), want: ok200},
	{name: "values that are not UTF-8", raw: minimal("REMOTE_ADDR|\xff\xfe|HTTP_X|\x80|"), want: ok200},
	{name: "CR and LF in a value", raw: minimal("HTTP_ECHO|a\r\nInjected: b\r\n\r\nbody|"), want: ok200 + "Content-Type: text/plain; charset=utf-8\r\nEcho: a  Injected: b    body\r\n"},
	{name: "empty address", raw: minimal("REMOTE_ADDR||"), want: ok200, says: `from ""`},
	{name: "address", raw: minimal("REMOTE_ADDR|192.0.2.7|REMOTE_PORT|5|"), want: ok200, says: `from "192.0.2.7:5"`},
	{name: "Host with an at sign", raw: minimal("HTTP_HOST|a@b|"), want: ok200, says: `host "a@b"`},
	{name: "HTTP/2.0", raw: minimal("SERVER_PROTOCOL|HTTP/2.0|"), want: ok200, says: `HTTP/2.0`},
	{name: "INCLUDED", raw: minimal("SERVER_PROTOCOL|INCLUDED|"), want: ok200, says: `HTTP/1.0`},
	{name: "HTTPS on", raw: minimal("HTTPS|on|"), want: ok200, says: `tls true`},
	{name: "HTTPS off", raw: minimal("HTTPS|off|"), want: ok200, says: `tls false`},
	{name: "no REQUEST_URI", raw: exactly(least + "REQUEST_METHOD|GET|SCRIPT_NAME|/s|PATH_INFO|/p|QUERY_STRING|q|"), want: ok200, says: "GET /s/p?q"},
	{name: "absolute URI", raw: exactly(least + "REQUEST_METHOD|GET|REQUEST_URI|http://evil.example/a|"), want: ok200, says: "GET /a"},
	{name: "repeated request header", raw: minimal("HTTP_ECHO|a|HTTP_ECHO|b|"), want: ok200 + "Content-Type: text/plain; charset=utf-8\r\nEcho: a, b\r\n"},
	{name: "repeated, same value", raw: minimal("REQUEST_URI|/|REMOTE_ADDR||REMOTE_ADDR||"), want: ok200},
	{name: "HTTP_PROXY", raw: minimal("HTTP_PROXY|http://evil.example|"), want: ok200, says: "headers []"},
	{name: "HTTP_TRANSFER_ENCODING", raw: post("HTTP_TRANSFER_ENCODING|chunked|", "body"), want: ok200, says: `"body"`},
	{name: "HTTP_CONTENT_LENGTH", raw: post("HTTP_CONTENT_LENGTH|4|", "body"), want: ok200, says: "headers [Content-Length]"},
	{name: "HTTP_CONTENT_LENGTH empty", raw: post("HTTP_CONTENT_LENGTH||", "body"), want: ok200, says: `"body"`},
	{name: "bytes after the body", raw: post("", "body") + "and more", want: ok200, says: `"body"`, more: true},
	{name: "bytes after no body", raw: minimal("") + "and more", want: ok200, more: true},
	{name: "a second request", raw: minimal("") + minimal(""), want: ok200, more: true},
	{name: "half-close after the header", raw: minimal(""), want: ok200, ends: true},
	{name: "half-close after the body", raw: post("", "body"), want: ok200, says: `"body"`, ends: true},
	{name: "a large block", raw: minimal("LARGE|" + strings.Repeat("x", 60_000) + "|"), want: ok200},
	{name: "the largest block", raw: sizedRequest(64 << 10), want: ok200},
	{name: "many variables", raw: minimal(numbered(1000)), want: ok200},

	{name: "length: leading zero", raw: "0" + minimal(""), want: bad400},
	{name: "length: plus sign", raw: "+" + minimal(""), want: bad400},
	{name: "length: minus sign", raw: "-" + minimal(""), want: bad400},
	{name: "length: blank before", raw: " " + minimal(""), want: bad400},
	{name: "length: blank behind", raw: strings.Replace(minimal(""), ":", " :", 1), want: bad400},
	{name: "length: none", raw: ":,", want: bad400},
	{name: "length: letters", raw: "abc:", want: bad400},
	{name: "length: hexadecimal", raw: "0x1f:", want: bad400},
	{name: "length: of an empty block", raw: "0:,", want: bad400},
	{name: "length: too short", raw: strings.Replace(minimal(""), "57:", "56:", 1), want: bad400},
	{name: "length: too long", raw: strings.Replace(minimal(""), "57:", "58:", 1) + "x", want: bad400},
	{name: "length: over the limit", raw: sizedRequest(64<<10 + 1), want: big431},
	{name: "length: nine digits", raw: "999999999:CONTENT", want: big431},
	{name: "length: twenty digits", raw: "18446744073709551616:CONTENT", want: big431},
	{name: "no comma", raw: strings.TrimSuffix(minimal(""), ",") + ";", want: bad400},
	{name: "line feed for the comma", raw: strings.TrimSuffix(minimal(""), ",") + "\r\n", want: bad400},
	{name: "first variable", raw: exactly("SCGI|1|CONTENT_LENGTH|0|REQUEST_METHOD|GET|REQUEST_URI|/|"), want: bad400},
	{name: "first variable in lower case", raw: exactly("content_length|0|SCGI|1|REQUEST_METHOD|GET|REQUEST_URI|/|"), want: bad400},
	{name: "no CONTENT_LENGTH", raw: exactly("REQUEST_METHOD|GET|REQUEST_URI|/|SCGI|1|"), want: bad400},
	{name: "CONTENT_LENGTH empty", raw: lengthed("", ""), want: bad400},
	{name: "CONTENT_LENGTH 00", raw: lengthed("00", ""), want: bad400},
	{name: "CONTENT_LENGTH 04", raw: lengthed("04", "body"), want: bad400},
	{name: "CONTENT_LENGTH +4", raw: lengthed("+4", "body"), want: bad400},
	{name: "CONTENT_LENGTH -4", raw: lengthed("-4", "body"), want: bad400},
	{name: "CONTENT_LENGTH with a blank", raw: lengthed(" 4", "body"), want: bad400},
	{name: "CONTENT_LENGTH list", raw: lengthed("4, 4", "body"), want: bad400},
	{name: "CONTENT_LENGTH hexadecimal", raw: lengthed("0x4", "body"), want: bad400},
	{name: "CONTENT_LENGTH 2^63", raw: lengthed("9223372036854775808", "body"), want: bad400},
	{name: "CONTENT_LENGTH 2^64+4", raw: lengthed("18446744073709551620", "body"), want: bad400},
	{name: "CONTENT_LENGTH twice", raw: minimal("CONTENT_LENGTH|0|"), want: bad400},
	{name: "CONTENT_LENGTH twice, other value", raw: minimal("CONTENT_LENGTH|4|") + "body", want: bad400},
	{name: "client's length is larger", raw: post("HTTP_CONTENT_LENGTH|60000|", "body"), want: set500},
	{name: "client's length is none", raw: post("HTTP_CONTENT_LENGTH|four|", "body"), want: set500},
	{name: "no SCGI", raw: exactly("CONTENT_LENGTH|0|REQUEST_METHOD|GET|REQUEST_URI|/|"), want: bad400},
	{name: "SCGI 2", raw: exactly("CONTENT_LENGTH|0|SCGI|2|REQUEST_METHOD|GET|REQUEST_URI|/|"), want: bad400},
	{name: "SCGI empty", raw: exactly("CONTENT_LENGTH|0|SCGI||REQUEST_METHOD|GET|REQUEST_URI|/|"), want: bad400},
	{name: "SCGI twice", raw: minimal("SCGI|1|"), want: bad400},
	{name: "repeated, other value", raw: minimal("REMOTE_ADDR|192.0.2.7|REMOTE_ADDR|192.0.2.8|"), want: bad400},
	{name: "repeated Host", raw: minimal("HTTP_HOST|a|HTTP_HOST|b|"), want: bad400},
	{name: "name empty", raw: minimal("|value|"), want: bad400},
	{name: "name without a value", raw: minimal("NAME|"), want: bad400},
	{name: "name without its end", raw: minimal("NAME"), want: bad400},
	{name: "value without its end", raw: minimal("NAME|value"), want: bad400},
	{name: "no method", raw: exactly(least + "REQUEST_URI|/|"), want: bad400},
	{name: "method that is none", raw: exactly(least + "REQUEST_METHOD|GE T|REQUEST_URI|/|"), want: bad400},
	{name: "no path", raw: exactly(least + "REQUEST_METHOD|GET|"), want: bad400},
	{name: "URI that is none", raw: exactly(least + "REQUEST_METHOD|GET|REQUEST_URI|/%zz|"), want: bad400},
	{name: "URI with a line feed", raw: exactly(least + "REQUEST_METHOD|GET|REQUEST_URI|/a\nb|"), want: bad400},
	{name: "HTTP", raw: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", want: bad400},
	{name: "HTTP, ended", raw: "GET / HTTP/1.0\r\n\r\n", want: bad400, ends: true},
	{name: "HTTP/2", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: bad400},
	{name: "FastCGI", raw: "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00", want: bad400},
	{name: "uwsgi", raw: "\x00\x10\x00\x00\x0e\x00REQUEST_METHOD\x03\x00GET", want: bad400},
	{name: "TLS", raw: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", want: bad400},
	{name: "PROXY", raw: "PROXY TCP4 192.0.2.7 192.0.2.1 5 6\r\n" + minimal(""), want: bad400},
	{name: "PROXY, binary", raw: "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", want: bad400},

	{name: "probe", raw: "", want: none, ends: true},
	{name: "ended in the length", raw: "5", want: none, ends: true},
	{name: "ended after the length", raw: "57:", want: none, ends: true},
	{name: "ended in a name", raw: minimal("")[:10], want: none, ends: true},
	{name: "ended before the comma", raw: strings.TrimSuffix(minimal(""), ","), want: none, ends: true},
	{name: "ended in a large block", raw: sizedRequest(60_000)[:50_000], want: none, ends: true},
	{name: "ended before the body", raw: strings.TrimSuffix(post("", "body"), "body"), want: "Status: 408 ", says: "unexpected EOF", ends: true},
	{name: "ended in the body", raw: strings.TrimSuffix(post("", "body"), "y"), want: "Status: 408 ", says: "unexpected EOF", ends: true},
	{name: "ended in a body of any length", raw: lengthed("9223372036854775807", "body"), want: "Status: 408 ", says: "unexpected EOF", ends: true},
}

func sizedRequest(size int) string {
	filler := size - len(least) - len("REQUEST_METHOD|GET|REQUEST_URI|/|F||")
	return minimal("F|" + strings.Repeat("x", filler) + "|")
}

func numbered(n int) string {
	var sb strings.Builder
	for i := range n {
		fmt.Fprintf(&sb, "NUMBER_%d|%d|", i, i)
	}
	return sb.String()
}

// describe says what it was asked.
func describe(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		http.Error(w, err.Error(), http.StatusRequestTimeout)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if echo := r.Header.Get("Echo"); echo != "" {
		w.Header().Set("Echo", echo)
	}
	fmt.Fprintf(w, "%s %s %q %s host %q from %q tls %v headers %v err %v", r.Method, r.URL, body, r.Proto, r.Host,
		r.RemoteAddr, r.TLS != nil, slices.Sorted(maps.Keys(r.Header)), err)
}

func TestWire(t *testing.T) {
	require.GreaterOrEqual(t, len(wire), 60)
	for _, network := range serverNetworks {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(describe)})
		for _, row := range wire {
			t.Run(network+", "+row.name, func(t *testing.T) {
				step := 1
				if len(row.raw) > 5000 {
					step = 997 // a prime, so that no boundary is met twice
				}
				for _, chunks := range [][][]byte{{[]byte(row.raw)}, scgitest.Split([]byte(row.raw), step)} {
					answer, err := converse(t, s, chunks, row.ends)
					if err != nil {
						require.True(t, row.more, "%v", err)
						require.ErrorIs(t, err, syscall.ECONNRESET)
					}
					if row.want == none {
						assert.Empty(t, answer)
						continue
					}
					assert.True(t, strings.HasPrefix(answer, row.want), "%q", answer)
					assert.Contains(t, answer, row.says)
				}
			})
		}
	}
}

// Every bad request through a server: 400, 431, 500, or no answer at all.
func TestCorpusBadServed(t *testing.T) { onBothWays(t, "unix", testCorpusBadServed) }

func testCorpusBadServed(t *testing.T, network string) {
	files := corpus(t, "bad")
	wanted := answersInREADME(t)
	wanted["nginx-unbuffered-length.scgi"] = "500" // the README says so outside its tables
	s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "no other reaches an application")
		panic(http.ErrAbortHandler)
	})})
	for name, raw := range files {
		for _, chunks := range [][][]byte{{raw}, scgitest.Split(raw, max(1, len(raw)/1000))} {
			answer, err := converse(t, s, chunks, strings.HasPrefix(name, "cut-"))
			assert.NoError(t, err, name)
			require.NotEmpty(t, wanted[name], name)
			if wanted[name] == "none" {
				assert.Empty(t, answer, name)
			} else {
				assert.True(t, strings.HasPrefix(answer, "Status: "+wanted[name]+" "), "%s: %q", name, answer)
			}
		}
	}
}

// answersInREADME reads which answer each bad request gets.
func answersInREADME(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "scgi", "README.md"))
	require.NoError(t, err)
	answers := make(map[string]string)
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+\.scgi) \| .* \| (400|431|500|none) \|$`).FindAllStringSubmatch(string(text), -1) {
		answers[row[1]] = row[2]
	}
	return answers
}

// Every good one, too, and the body is whole.
func TestCorpusGoodServed(t *testing.T) { onBothWays(t, "unix", testCorpusGoodServed) }

func testCorpusGoodServed(t *testing.T, network string) {
	s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(describe)})
	for name, raw := range corpus(t, "good") {
		for _, chunks := range [][][]byte{{raw}, scgitest.Split(raw, max(1, len(raw)/1000))} {
			answer, err := converse(t, s, chunks, false)
			if !strings.HasPrefix(name, "odd-trailing") {
				assert.NoError(t, err, name)
			}
			assert.True(t, strings.HasPrefix(answer, ok200), "%s: %q", name, answer)
		}
	}
}

// The commonest mistakes in a front end's configuration are named in the log.
func TestWireLog(t *testing.T) { onBothWays(t, "unix", testWireLog) }

func testWireLog(t *testing.T, network string) {
	for raw, parts := range map[string][]string{
		"GET / HTTP/1.1\r\n\r\n": {"WARN", "malformed", "status=400", "HTTP", "proxy_pass"},
		"\x01\x01\x00":           {"WARN", "malformed", "FastCGI", "fastcgi_pass"},
		"\x00\x10\x00":           {"WARN", "malformed", "uwsgi", "uwsgi_pass"},
		exactly("CONTENT_LENGTH|0|REQUEST_METHOD|GET|REQUEST_URI|/|"): {"WARN", "malformed", "include scgi_params"},
		minimal("REMOTE_ADDR|1|REMOTE_ADDR|2|"):                       {"WARN", "malformed", "REMOTE_ADDR"},
		post("HTTP_CONTENT_LENGTH|60000|", "body"): {"WARN", "malformed", "status=500", "scgi_request_buffering", "auth_request and mirror",
			`scgi_param HTTP_CONTENT_LENGTH "";`},
		"": {"DEBUG", "without a request"},
	} {
		log := newRecorder()
		s := startOn(t, network, &scgi.Server{Logger: log.logger(), Handler: http.HandlerFunc(describe)})
		_, err := converse(t, s, [][]byte{[]byte(raw)}, true)
		require.NoError(t, err)
		s.Close()
		assert.Len(t, log.all(slog.LevelDebug), 1)
		assert.Len(t, log.matching(parts...), 1, "%v in %v", parts, log.all(slog.LevelDebug))
	}
}

// An answer that comes before the request's end is seen whole, though the body
// is large and nobody reads it.
func TestEarlyAnswer(t *testing.T) {
	const size = 30 << 20
	want := "Status: 413 Request Entity Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"X-Content-Type-Options: nosniff\r\nContent-Length: 10\r\n\r\ntoo large\n"
	for _, network := range serverNetworks {
		for _, row := range []struct {
			name    string
			handler http.HandlerFunc
		}{
			{"nothing read", func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}},
			{"a part read", func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
				assert.Error(t, err)
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}},
			{"body closed", func(w http.ResponseWriter, r *http.Request) {
				assert.NoError(t, r.Body.Close())
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			}},
		} {
			t.Run(network+", "+row.name, func(t *testing.T) {
				s := startOn(t, network, &scgi.Server{Handler: row.handler})
				conn := dial(t, s)
				defer conn.Close()
				sent := make(chan error, 1)
				go func() {
					_, err := conn.Write([]byte(lengthed(strconv.Itoa(size), "")))
					piece := make([]byte, 64<<10)
					for i := 0; err == nil && i < size; i += len(piece) {
						_, err = conn.Write(piece)
					}
					sent <- err
				}()
				require.NoError(t, <-sent, "a front end that sends all before it reads gets rid of it")
				answer, err := io.ReadAll(conn)
				require.NoError(t, err)
				assert.Equal(t, want, string(answer))
			})
		}
	}
}

// A refusal reaches a peer that goes on sending, too.
func TestEarlyRefusal(t *testing.T) {
	for _, network := range serverNetworks {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(describe)})
		answer, err := converse(t, s, scgitest.Split([]byte(sizedRequest(5<<20)), 64<<10), false)
		require.NoError(t, err)
		assert.Equal(t, big431, answer)
		answer, err = converse(t, s, [][]byte{[]byte("POST / HTTP/1.1\r\n"), make([]byte, 5<<20)}, false)
		require.NoError(t, err)
		assert.Equal(t, bad400, answer)
	}
}

// A large body both ways, at the same time.
func TestLargeBothWays(t *testing.T) {
	const size = 8 << 20
	for _, network := range serverNetworks {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(w, r.Body)
			assert.NoError(t, err)
			assert.Equal(t, int64(size), n)
		})})
		body := strings.Repeat("0123456789abcdef", size/16)
		answer, err := converse(t, s, [][]byte{[]byte(lengthed(strconv.Itoa(size), body))}, false)
		require.NoError(t, err)
		_, got, _ := strings.Cut(answer, "\r\n\r\n")
		assert.True(t, body == got)
	}
}
