package scgi_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// netHTTPDifferences are where scgi does not do as net/http, on purpose: the line of
// doc.go that says so begins as doc, and what a client sees shows it.
var netHTTPDifferences = []struct {
	doc     string
	why     string
	request string
	handler http.HandlerFunc
	shows   func(s seen) any
	http    any
	scgi    any
}{
	{
		doc:     "No Date field",
		why:     "the front end adds its own",
		handler: func(http.ResponseWriter, *http.Request) {},
		shows:   func(s seen) any { return s.Header.Get("Date") != "" },
		http:    true, scgi: false,
	},
	{
		doc:     "Hop-by-hop fields",
		why:     "the client's connection is the front end's; some pass on what would break it",
		handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Keep-Alive", "timeout=5") },
		shows:   func(s seen) any { return s.Header.Get("Keep-Alive") },
		http:    "timeout=5", scgi: "",
	},
	{
		doc: "Hop-by-hop fields",
		why: "RFC 9110, section 7.6.1: they are for the next connection only, which is the front end's",
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "X-Hop")
			w.Header().Set("X-Hop", "1")
		},
		shows: func(s seen) any { return s.Header.Get("Connection") + " " + s.Header.Get("X-Hop") },
		http:  "X-Hop 1", scgi: " ",
	},
	{
		doc:     "A Status field",
		why:     "CGI says the answer's status by it",
		handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Status", "active") },
		shows:   func(s seen) any { return s.Status + " " + s.Header.Get("Status") },
		http:    "200 OK active", scgi: "200 OK ",
	},
	{
		doc:     "A Content-Length",
		why:     "what is held back anyway, for one write an answer, is counted",
		handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 4096)) },
		shows:   func(s seen) any { return s.Header.Get("Content-Length") },
		http:    "", scgi: "4096",
	},
	{
		doc:     "WriteHeader with 1xx",
		why:     "front ends take it for the final answer",
		handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(202) },
		shows:   func(s seen) any { return fmt.Sprint(s.Interim, s.Status) },
		http:    "[103]202 Accepted", scgi: "[]202 Accepted",
	},
	{
		doc:     "Location",
		why:     "nginx and lighttpd make a redirect of it, Apache an internal one",
		handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/other") },
		shows:   func(s seen) any { return s.Header.Get("Location") },
		http:    "/other", scgi: "",
	},
	{
		doc: "Trailers",
		why: "CGI has none",
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-A")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-A", "1")
			w.Header().Set(http.TrailerPrefix+"X-B", "2")
		},
		shows: func(s seen) any { return s.Trailer.Get("X-A") + s.Trailer.Get("X-B") },
		http:  "12", scgi: "",
	},
	{
		doc:     "A panic",
		why:     "without an answer a front end may try the request on another server, or mark this one as down",
		handler: func(http.ResponseWriter, *http.Request) { panic("a handler's") },
		shows:   func(s seen) any { return s.Status },
		http:    "", scgi: "500 Internal Server Error",
	},
	{
		doc:     "A request's field that came twice",
		why:     "there is one variable for it",
		request: "GET /\nX-A: 1\nX-A: 2\nCookie: a=1\nCookie: b=2",
		handler: func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Header) },
		shows:   func(s seen) any { return s.Body },
		http:    `map["Cookie":["a=1" "b=2"] "User-Agent":["parity"] "X-A":["1" "2"]]`,
		scgi:    `map["Cookie":["a=1; b=2"] "User-Agent":["parity"] "X-A":["1, 2"]]`,
	},
	{
		doc:     "Underscores",
		why:     "a variable cannot tell them from hyphens; front ends drop such fields",
		request: "GET /\nX_a: 1",
		handler: func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header["X_a"]) },
		shows:   func(s seen) any { return s.Body },
		http:    "[1]", scgi: "[]",
	},
	{
		doc:     "The length of a body",
		why:     "SCGI says it before the body; the front end takes chunks and trailers in",
		request: "POST /\nTransfer-Encoding: chunked\n\nbody",
		handler: func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.ContentLength, r.TransferEncoding, r.Header["Content-Length"])
		},
		shows: func(s seen) any { return s.Body },
		http:  "-1 [chunked] []", scgi: "4 [] [4]",
	},
	{
		doc:     "A path with a NUL",
		why:     "a NUL ends each variable",
		request: "GET /a%00b",
		handler: func(http.ResponseWriter, *http.Request) {},
		shows:   func(s seen) any { return s.Status },
		http:    "200 OK", scgi: "400 Bad Request",
	},
	{
		doc:     "A body can be read",
		why:     "there is no next request to be kept apart from it",
		request: "POST /\n\nbody",
		handler: func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(w, string(body), err)
		},
		shows: func(s seen) any { return s.Body },
		http:  "http: invalid Read on closed Body", scgi: "body<nil>",
	},
	{
		doc:     "An absolute URL",
		why:     "which host is meant is the front end's word",
		request: "GET //other.example/path",
		handler: func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL, r.Host) },
		shows:   func(s seen) any { return s.Body },
		http:    "http://other.example/path other.example\n", scgi: "/path example.org\n",
	},
	{
		doc:     "OPTIONS *",
		why:     "the front end has answered it, or means it for the application",
		request: "OPTIONS *",
		handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the handler's") },
		shows:   func(s seen) any { return s.Body },
		http:    "", scgi: "the handler's",
	},
	{
		doc:     "OPTIONS *",
		why:     "the front end has met it already",
		request: "GET /\nExpect: the unexpected",
		handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the handler's") },
		shows:   func(s seen) any { return s.Status },
		http:    "417 Expectation Failed", scgi: "200 OK",
	},
	{
		doc: "A hijacked connection",
		why: "it leads to the front end, not to the client",
		handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "Status: 200 OK\r\nContent-Length: 2\r\n\r\nOK")
			_ = conn.Close()
		},
		shows: func(s seen) any { return s.Body },
		http:  "", scgi: "OK",
	},
	{
		doc: "The context has no http.ServerContextKey",
		why: "it promises an *http.Server",
		handler: func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Context().Value(http.ServerContextKey) != nil, r.Context().Value(http.LocalAddrContextKey) != nil)
		},
		shows: func(s seen) any { return s.Body },
		http:  "true true", scgi: "false true",
	},
	{
		doc: "No http.CloseNotifier",
		why: "it is deprecated: a request's context says that and more",
		handler: func(w http.ResponseWriter, r *http.Request) {
			_, ok := w.(interface{ CloseNotify() <-chan bool })
			fmt.Fprint(w, ok)
		},
		shows: func(s seen) any { return s.Body },
		http:  "true", scgi: "false",
	},
}

func TestParityDifferences(t *testing.T) {
	for _, row := range netHTTPDifferences {
		t.Run(row.doc, func(t *testing.T) {
			if row.request == "" {
				row.request = "GET /"
			}
			s := startSides(t, func() http.Handler { return row.handler })
			overHTTP, overSCGI := s.ask(t, row.request)
			assert.Equal(t, row.http, row.shows(overHTTP), "http: %v", overHTTP)
			assert.Equal(t, row.scgi, row.shows(overSCGI), "scgi: %v", overSCGI)
		})
	}
}

// Each difference is a line of the package's description, and each line there is
// shown to be one.
func TestParityDifferencesDocumented(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(source), "\n# Differences from net/http\n\n")
	section, _, _ = strings.Cut(section, "\n\n")
	var documented []string
	for _, line := range strings.Split(section, "\n  - ") {
		documented = append(documented, strings.TrimPrefix(line, "  - "))
	}
	require.NotEmpty(t, documented)
	shown := make(map[string]bool)
	for _, row := range netHTTPDifferences {
		assert.NotEmpty(t, row.why)
		for _, line := range documented {
			if strings.HasPrefix(line, row.doc) {
				shown[line] = true
				shown[row.doc] = true
			}
		}
		assert.True(t, shown[row.doc], "doc.go does not say: %s", row.doc)
	}
	for _, line := range documented {
		assert.True(t, shown[line], "no test shows: %s", line)
	}
}
