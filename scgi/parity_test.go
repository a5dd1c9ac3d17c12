package scgi_test

import (
	"io"
	"log"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// Handlers and middleware as people have them run unchanged behind scgi and behind
// net/http, and a client sees the same: status, header, body. This file is how
// that is compared; what is compared stands in parity_*_test.go, and what is
// meant to differ in parity_differences_test.go.

// sides are two servers with the same handler. Each has one of its own, so that
// what a handler remembers does not help the other.
type sides struct {
	http *httptest.Server
	scgi *scgitest.Server
}

// startSides starts both servers, which log to nowhere and end with the test.
func startSides(t testing.TB, handler func() http.Handler) *sides {
	t.Helper()
	s := &sides{http: httptest.NewUnstartedServer(handler()), scgi: scgitest.NewUnstartedServer(handler())}
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.http.Start()
	t.Cleanup(s.http.Close)
	s.scgi.Config.Logger = slog.New(slog.DiscardHandler)
	s.scgi.Start()
	t.Cleanup(s.scgi.Close)
	// What a client does by itself would only hide what the servers do.
	s.http.Client().CheckRedirect = s.scgi.Client().CheckRedirect
	s.http.Client().Transport.(*http.Transport).DisableCompression = true
	return s
}

// each runs f as a subtest for each side, with a client and the server's URL.
func (s *sides) each(t *testing.T, f func(t *testing.T, client *http.Client, url string)) {
	t.Helper()
	t.Run("http", func(t *testing.T) { f(t, s.http.Client(), s.http.URL) })
	t.Run("scgi", func(t *testing.T) { f(t, s.scgi.Client(), "http://example.org") })
}

// ask sends a request to both.
func (s *sides) ask(t testing.TB, request string) (overHTTP, overSCGI seen) {
	t.Helper()
	return lookAt(t, s.http.Client(), requestOf(t, s.http.URL, request)),
		lookAt(t, s.scgi.Client(), requestOf(t, "http://example.org", request))
}

// requestOf makes a request of "METHOD TARGET", lines of header and, behind an
// empty line, the body. The target is a path, "*" or "//host/path", which is
// sent in absolute form.
func requestOf(t testing.TB, base, text string) *http.Request {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	opaque := ""
	if target == "*" || strings.HasPrefix(target, "//") {
		opaque, target = target, ""
	}
	r, err := http.NewRequest(method, base+target, strings.NewReader(body))
	require.NoError(t, err)
	r.URL.Opaque = opaque
	r.Host = "example.org"
	r.Header.Set("User-Agent", "parity")
	for _, line := range lines[1:] {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "Host":
			r.Host = value
		case "Transfer-Encoding":
			r.ContentLength = -1
		default:
			r.Header[name] = append(r.Header[name], value)
		}
	}
	return r
}

// seen is what a client sees of an answer.
type seen struct {
	Status  string
	Header  http.Header
	Body    string
	Trailer http.Header
	Interim []int // the statuses of interim answers
	Err     error // why there is no answer, or not the whole body
}

func lookAt(t testing.TB, client *http.Client, r *http.Request) (s seen) {
	t.Helper()
	r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			s.Interim = append(s.Interim, code)
			return nil
		},
	}))
	resp, err := client.Do(r)
	if err != nil {
		s.Err = err
		return s
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	s.Status, s.Header, s.Body, s.Trailer, s.Err = resp.Status, resp.Header, string(body), resp.Trailer, err
	if _, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && params["boundary"] != "" {
		s.Header.Set("Content-Type", strings.ReplaceAll(s.Header.Get("Content-Type"), params["boundary"], "random"))
		s.Body = strings.ReplaceAll(s.Body, params["boundary"], "random")
	}
	return s
}

// seenAlike asserts that both clients saw the same, but for the first three of the
// differences, which every answer may show.
func seenAlike(t *testing.T, overHTTP, overSCGI seen) {
	t.Helper()
	for _, side := range []*seen{&overHTTP, &overSCGI} {
		side.Header.Del("Date") // a backend's is passed on by both
		side.Header.Del("Connection")
	}
	if length := overSCGI.Header.Get("Content-Length"); overHTTP.Header.Get("Content-Length") == "" && length != "" {
		if overSCGI.Body != "" { // it is no answer to HEAD
			assert.Equal(t, strconv.Itoa(len(overSCGI.Body)), length)
		}
		overSCGI.Header.Del("Content-Length")
	}
	assert.Equal(t, overHTTP, overSCGI)
}

// parity asks both sides all requests, and wants each answered the same.
func parity(t *testing.T, handler func() http.Handler, requests ...string) {
	t.Helper()
	s := startSides(t, handler)
	for _, request := range requests {
		name, _, _ := strings.Cut(request, "\n\n")
		t.Run(name, func(t *testing.T) {
			overHTTP, overSCGI := s.ask(t, request)
			require.NoError(t, overHTTP.Err)
			seenAlike(t, overHTTP, overSCGI)
		})
	}
}
