package scgi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// describeRequest answers with all that a handler can see of its request.
func describeRequest(w http.ResponseWriter, r *http.Request) {
	user, password, basic := r.BasicAuth()
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	lines := []any{
		"method", r.Method, "uri", r.RequestURI, "url", fmt.Sprintf("%#v", *r.URL), "proto", r.Proto, r.ProtoMajor, r.ProtoMinor,
		"host", r.Host, "client", client, err, "tls", r.TLS != nil, "length", r.ContentLength, "header", r.Header, "close", r.Close,
		"encoding", r.TransferEncoding, "trailer", r.Trailer, "pattern", r.Pattern,
		"id", r.PathValue("id"), "rest", r.PathValue("rest"), "context", r.Context().Err(),
		"auth", user, password, basic, "cookies", r.Cookies(), "agent", r.UserAgent(), "referer", r.Referer(),
	}
	if err := r.ParseMultipartForm(1 << 20); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		lines = append(lines, "form error", err)
	}
	lines = append(lines, "form", r.Form, "post form", r.PostForm)
	if file, head, err := r.FormFile("file"); err == nil {
		content, err := io.ReadAll(file)
		lines = append(lines, "file", head.Filename, head.Header, head.Size, string(content), err)
	}
	body, err := io.ReadAll(r.Body)
	lines = append(lines, "body", string(body), err)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

func TestParityRequest(t *testing.T) {
	parity(t, func() http.Handler { return http.HandlerFunc(describeRequest) },
		"GET /",
		"HEAD /path",
		"GET /path?a=1&a=2&b=%26;c",
		"GET /path?",
		"GET /a%2Fb/c%20d/%C3%A9/~x;y=1,2",
		"GET /a//b/../c/.",
		"GET /ü/[x]|^",
		"GET /\nHost: other.example:8080",
		"GET /\nReferer: http://example.com/\nAccept: text/html, */*;q=0.5\nX-Own-Header:  blanks ",
		"GET /\nAuthorization: Basic YW5uYTpnZWhlaW0=\nCookie: a=1; b=\"2\"; c=",
		"GET /\nX-Empty: ",
		"GET /\nConnection: close", "GET /\nConnection: close, X-Hop\nX-Hop: 1", "GET /\nConnection: keep-alive",
		"GET /\nPragma: no-cache", "GET /\nPragma: no-cache\nCache-Control: max-age=0", "GET /\nPragma: x",
		"GET /\nX-Forwarded-For: 192.0.2.1, 192.0.2.2\nX-Real-Ip: 192.0.2.1",
		"OPTIONS /path",
		"PROPFIND /path",
		"DELETE /path",
		"PUT /path\nContent-Type: text/plain\n\nthe body",
		"POST /path?a=1\nContent-Type: application/x-www-form-urlencoded\n\na=2&b=%20x",
		"POST /path\nContent-Type: application/x-www-form-urlencoded\n\na=%zz",
		"POST /path\nContent-Type: multipart/form-data; boundary=b\n\n"+strings.ReplaceAll(
			"--b\nContent-Disposition: form-data; name=\"a\"\n\n1\n"+
				"--b\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"\nContent-Type: text/plain\n\ncontent\n--b--\n", "\n", "\r\n"),
		"POST /large\nContent-Type: application/octet-stream\n\n"+strings.Repeat("0123456789", 50_000),
		"POST /\nContent-Type: text/plain\n\n", "PUT /", "PATCH /", "DELETE /\n\nbody", // a length of zero is said
	)
}

func TestParityServeMux(t *testing.T) {
	mux := func() http.Handler {
		mux := http.NewServeMux()
		for _, pattern := range []string{
			"GET /items/{id}", "POST /items", "/tree/", "/files/{rest...}", "/exact/{$}", "example.net/", "GET /items/latest",
		} {
			mux.HandleFunc(pattern, describeRequest)
		}
		mux.Handle("/old", http.RedirectHandler("/new?x=1", http.StatusPermanentRedirect))
		mux.Handle("/relative/old", http.RedirectHandler("new", http.StatusFound))
		return mux
	}
	parity(t, mux,
		"GET /items/7", "HEAD /items/7", "DELETE /items/7", "GET /items/latest", "GET /items/a%2Fb", "GET /items/", "GET /items",
		"POST /items\nContent-Type: application/json\n\n{}",
		"GET /tree", "GET /tree?x=1", "GET /tree/a/../b", "GET /tree//a", "GET /tree/%2e%2e/a", "POST /tree\n\nbody",
		"GET /files/a/b%20c?q", "GET /files", "GET /exact/", "GET /exact/x",
		"GET /any\nHost: example.net", "GET /any\nHost: example.net:80", "GET /any",
		"GET /old", "POST /old\n\nbody", "GET /relative/old",
	)
}

// servedFiles is a folder to be served, with times of its own.
func servedFiles(t *testing.T) http.FileSystem {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"text.txt":          strings.Repeat("0123456789", 100),
		"page.html":         "<!DOCTYPE html><title>page</title>",
		"no type":           "\x89PNG\r\n\x1a\n and so on",
		"empty":             "",
		"large.bin":         strings.Repeat("\x00\x01\x02\x03", 300_000),
		"sub/index.html":    "<p>index</p>",
		"list/<script>.txt": "x", "list/b": "x",
	} {
		path := filepath.Join(folder, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.NoError(t, os.Chtimes(path, time.Time{}, time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)))
	}
	for _, name := range []string{"", "sub", "list"} {
		require.NoError(t, os.Chtimes(filepath.Join(folder, name), time.Time{}, time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)))
	}
	return http.Dir(folder)
}

func TestParityFileServer(t *testing.T) {
	fs := servedFiles(t)
	parity(t, func() http.Handler { return http.StripPrefix("/static", http.FileServer(fs)) },
		"GET /static/text.txt", "HEAD /static/text.txt", "GET /static/page.html", "GET /static/no%20type", "GET /static/empty",
		"GET /static/large.bin", "HEAD /static/large.bin", "GET /static/large.bin\nRange: bytes=70000-170000",
		"GET /static/sub", "GET /static/sub/", "GET /static/sub/index.html", "GET /static/text.txt/", "GET /static/list/",
		"GET /static/missing", "GET /static/../text.txt", "GET /static/%2e%2e/text.txt", "GET /elsewhere", "POST /static/text.txt\n\nx",
		"GET /static/text.txt\nRange: bytes=0-9", "HEAD /static/text.txt\nRange: bytes=0-9", "GET /static/text.txt\nRange: bytes=-10",
		"GET /static/text.txt\nRange: bytes=990-", "GET /static/text.txt\nRange: bytes=0-1,5-6,-2", "GET /static/text.txt\nRange: bytes=1000-",
		"GET /static/text.txt\nRange: lines=1-2", "GET /static/empty\nRange: bytes=0-",
		"GET /static/text.txt\nIf-Modified-Since: Tue, 03 Feb 2026 04:05:06 GMT",
		"GET /static/text.txt\nIf-Modified-Since: Tue, 03 Feb 2026 04:05:05 GMT",
		"GET /static/text.txt\nIf-Modified-Since: nonsense",
		"GET /static/text.txt\nIf-Unmodified-Since: Tue, 03 Feb 2026 04:05:05 GMT",
		"GET /static/text.txt\nRange: bytes=0-9\nIf-Range: Tue, 03 Feb 2026 04:05:06 GMT",
		"GET /static/text.txt\nRange: bytes=0-9\nIf-Range: \"other\"",
		"GET /static/sub/\nIf-Modified-Since: Tue, 03 Feb 2026 04:05:06 GMT",
	)
}

// readUpload answers with what comes of reading the body, as an upload does.
func readUpload(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(w, fmt.Sprintf("more than %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
		return
	}
	fmt.Fprintln(w, len(body), err)
}

func TestParityMaxBytesHandler(t *testing.T) {
	parity(t, func() http.Handler { return http.MaxBytesHandler(http.HandlerFunc(readUpload), 10) },
		"GET /", "POST /\n\n0123456789", "POST /\n\n01234567890", "POST /\nTransfer-Encoding: chunked\n\n01234567890",
		"POST /\n\n"+strings.Repeat("x", 200_000),
	)
	parity(t, func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 10)
			readUpload(w, r)
		})
	}, "POST /\n\n0123456789", "POST /\n\n"+strings.Repeat("x", 2_000_000))
}

func TestParityTimeoutHandler(t *testing.T) {
	mux := func() http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/in-time", http.TimeoutHandler(http.HandlerFunc(describeRequest), time.Hour, ""))
		mux.Handle("/large", http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Own", "1")
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write(bytes.Repeat([]byte("<p>"), 50_000)) // the client sees what is missing
		}), time.Hour, ""))
		mux.Handle("/too-late", http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "not to be seen")
			<-r.Context().Done()
		}), time.Millisecond, "<h1>too late</h1>"))
		return mux
	}
	parity(t, mux, "GET /in-time", "HEAD /in-time", "POST /in-time\n\nbody", "GET /large", "HEAD /large", "GET /too-late", "POST /too-late\n\nbody")
}

func TestParityStripPrefix(t *testing.T) {
	parity(t, func() http.Handler { return http.StripPrefix("/a/b", http.HandlerFunc(describeRequest)) },
		"GET /a/b/c", "GET /a/b", "GET /a/bc", "GET /a%2Fb/c", "GET /a/b/c%2Fd?x", "GET /other")
	parity(t, func() http.Handler { return http.AllowQuerySemicolons(http.HandlerFunc(describeRequest)) }, "GET /?a=1;b=2")
}

func TestParityCrossOriginProtection(t *testing.T) {
	protected := func() http.Handler {
		protection := http.NewCrossOriginProtection()
		assert.NoError(t, protection.AddTrustedOrigin("https://friend.example"))
		protection.AddInsecureBypassPattern("POST /open")
		return protection.Handler(http.HandlerFunc(describeRequest))
	}
	parity(t, protected,
		"GET /\nSec-Fetch-Site: cross-site", "POST /\nSec-Fetch-Site: cross-site\n\nx", "POST /\nSec-Fetch-Site: same-origin\n\nx",
		"POST /\nSec-Fetch-Site: none\n\nx", "POST /\nSec-Fetch-Site: same-site\n\nx", "POST /\nOrigin: https://example.org\n\nx",
		"POST /\nOrigin: https://evil.example\n\nx", "POST /\nOrigin: https://friend.example\n\nx", "POST /\nOrigin: null\n\nx",
		"POST /\nSec-Fetch-Site: cross-site\nOrigin: https://friend.example\n\nx", "POST /open\nSec-Fetch-Site: cross-site\n\nx", "POST /\n\nx",
	)
}

// What depends on the moment is compared by its shape.
func TestParityDebug(t *testing.T) {
	mux := func() http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/vars", expvar.Handler())
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		return mux
	}
	parity(t, mux, "GET /debug/pprof/cmdline", "GET /debug/pprof/symbol", "GET /debug/pprof/symbol?0x1", "POST /debug/pprof/symbol\n\n0x1+0x2",
		"GET /debug/pprof/nothing", "GET /debug/pprof")

	s := startSides(t, mux)
	for target, shape := range map[string]func(body string) any{
		"/vars": func(body string) any {
			var vars map[string]any
			assert.NoError(t, json.Unmarshal([]byte(body), &vars))
			return slices.Sorted(maps.Keys(vars))
		},
		"/debug/pprof/":                  func(body string) any { return strings.Contains(body, "<title>/debug/pprof/</title>") },
		"/debug/pprof/goroutine?debug=1": func(body string) any { return strings.HasPrefix(body, "goroutine profile: total ") },
		"/debug/pprof/heap":              func(body string) any { return strings.HasPrefix(body, "\x1f\x8b") },
	} {
		t.Run(target, func(t *testing.T) {
			overHTTP, overSCGI := s.ask(t, "GET "+target)
			assert.Equal(t, shape(overHTTP.Body), shape(overSCGI.Body))
			assert.NotEqual(t, false, shape(overSCGI.Body))
			for _, side := range []*seen{&overHTTP, &overSCGI} {
				side.Header.Del("Content-Length")
				side.Body = ""
			}
			seenAlike(t, overHTTP, overSCGI)
		})
	}
}
