package scgi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// serveRows are handlers after those of net/http's own serve_test.go, where scgi has
// the same promise to keep. Each name begins with that of the test there.
var serveRows = []struct {
	name     string
	requests []string // "GET /" when empty
	handler  http.HandlerFunc
}{
	{name: "HeaderToWire: header after WriteString", handler: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello world")
		w.Header().Set("Content-Type", "foo/bar")
	}},
	{name: "HeaderToWire: header read, and set after Flush", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()
		w.(http.Flusher).Flush()
		w.Header().Set("Content-Type", "x/y")
		_, _ = io.WriteString(w, "<html>")
	}},
	{name: "HeaderToWire: header set between writes", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "some/type")
		_, _ = io.WriteString(w, "first")
		w.Header().Set("Too-Late", "1")
		_, _ = io.WriteString(w, strings.Repeat("second", 10_000))
	}},
	{name: "HeaderToWire: header deleted after WriteHeader", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "some/type")
		w.Header()["X-A"] = []string{"1", "2"}
		w.WriteHeader(http.StatusAccepted)
		w.Header().Del("Content-Type")
		w.Header()["X-A"][0] = "changed"
		_, _ = io.WriteString(w, "text")
	}},
	{name: "HeaderToWire: an empty type", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{""}
		_, _ = io.WriteString(w, "<html>")
	}},
	{name: "HeaderToWire: fields without values", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-None"] = nil
		w.Header()["X-Empty"] = []string{""}
		w.Header()["X-Two"] = []string{"", "b"}
	}},
	{name: "CodesPreventingContentTypeAndBody",
		requests: []string{"GET /?204", "GET /?304", "HEAD /?204", "HEAD /?304", "POST /?204\n\nbody", "GET /?204,type", "GET /?304,type", "GET /?304,length"},
		handler: func(w http.ResponseWriter, r *http.Request) {
			var code int
			_, _ = fmt.Sscan(r.URL.RawQuery[:3], &code)
			if strings.HasSuffix(r.URL.RawQuery, "type") {
				w.Header().Set("Content-Type", "foo/bar")
			}
			if strings.HasSuffix(r.URL.RawQuery, "length") {
				w.Header().Set("Content-Length", "7")
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "body") // is an error, which the client does not see
		}},
	{name: "ContentEncodingNoSniffing", requests: []string{"GET /?gzip", "GET /?", "GET /?identity", "HEAD /?gzip"},
		handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Encoding"] = []string{r.URL.RawQuery}
			_, _ = io.WriteString(w, "<html><head></head><body>compressed?</body></html>")
		}},
	{name: "HeadBody and GetBody", requests: everyMethod("\n\nbody"), handler: describeRequest},
	{name: "HeadBody and GetBody: none", requests: everyMethod(""), handler: describeRequest},
	{name: "HandlerSetsBodyNil", requests: []string{"GET /", "POST /\n\nbody"}, handler: func(w http.ResponseWriter, r *http.Request) {
		r.Body = nil
		fmt.Fprint(w, r.RequestURI)
	}},
	{name: "HandlerBodyClose", requests: []string{"POST /\n\nbody", "POST /\n\n" + strings.Repeat("x", 300_000)}, handler: func(w http.ResponseWriter, r *http.Request) {
		n, err := io.ReadFull(r.Body, make([]byte, 2))
		closed := r.Body.Close()
		_, after := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, n, err, closed, errors.Is(after, http.ErrBodyReadAfterClose))
	}},
	{name: "ServerReadAfterHandlerDone", requests: []string{"POST /\n\nbody"}, handler: func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		again, eof := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, string(body), err, again, eof)
	}},
	{name: "RequestBodyLimit", requests: []string{"POST /\n\n" + strings.Repeat("x", 200_000)}, handler: func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 100_000))
		http.Error(w, fmt.Sprint(n, err), http.StatusRequestEntityTooLarge)
	}},
	{name: "ServerReaderFromOrder", requests: []string{"GET /", "HEAD /"}, handler: func(w http.ResponseWriter, _ *http.Request) {
		n, err := io.Copy(w, iotest.OneByteReader(strings.NewReader("<html>one")))
		fmt.Fprint(w, " two", n, err)
	}},
	{name: "ResponseWriterWriteString", handler: func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			_, _ = io.WriteString(w, "a")
			_, _ = w.Write([]byte("b"))
			_, _ = fmt.Fprint(w, "c")
		}
	}},
	{name: "ErrorContentLength", requests: []string{"GET /", "HEAD /"}, handler: func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Content-Length", "Etag", "Last-Modified", "Cache-Control", "Content-Encoding", "Content-Type"} {
			w.Header().Set(name, "1")
		}
		http.Error(w, "short answer", http.StatusBadRequest)
	}},
	{name: "ZeroLengthPostAndResponse", requests: []string{"POST /", "PUT /", "HEAD /"}, handler: func(w http.ResponseWriter, r *http.Request) {
		all, err := io.ReadAll(r.Body)
		w.Header().Set("X-Read", fmt.Sprint(len(all), err))
		w.Header().Set("Content-Length", "0")
	}},
	{name: "Redirect", requests: redirects(), handler: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.Header.Get("X-To"), http.StatusFound)
	}},
	{name: "RedirectContentTypeAndBody", requests: []string{"GET /", "HEAD /", "POST /\n\nx"}, handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/test")
		http.Redirect(w, r, "/foo", http.StatusMovedPermanently)
	}},
	{name: "WriteHeader: twice, and one that is none", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK)
		w.WriteHeader(0)
		_, _ = io.WriteString(w, "tea")
	}},
	{name: "WriteHeader: its panic, recovered", handler: func(w http.ResponseWriter, _ *http.Request) {
		defer func() { http.Error(w, fmt.Sprint(recover()), http.StatusBadGateway) }()
		w.WriteHeader(1000)
	}},
	{name: "HTTP10ConnectionHeader", requests: []string{"GET /", "GET /\nConnection: close", "GET /\nConnection: keep-alive, Close"}, handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, r.Close, r.Header["Connection"])
	}},
	{name: "ParseFormCleanup", requests: []string{"POST /\nContent-Type: multipart/form-data; boundary=b\n\n" + formOf("content")}, handler: func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseMultipartForm(0)
		file, head, missing := r.FormFile("file")
		if err != nil || missing != nil {
			http.Error(w, fmt.Sprint(err, missing), http.StatusBadRequest)
			return
		}
		defer file.Close()
		content, err := io.ReadAll(file)
		fmt.Fprint(w, head.Filename, head.Size, string(content), err)
	}},
}

// everyMethod is a request by each method, with that behind it.
func everyMethod(body string) (requests []string) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"} {
		requests = append(requests, method+" /path"+body)
	}
	return requests
}

// redirects are requests for the redirects of net/http's TestRedirect and others.
func redirects() (requests []string) {
	for _, to := range []string{
		"http://foobar.com/baz", "/foo/bar", "foo/bar", "../foo", "../../foo", "./a/../b/", "/a/../b//", "?x=1", "/foo?bar=http://example.com/#a",
		"//foo.com/x", "foo/bar#frag", "mailto:a@example.org", "/ü/%20 x", "/[]&{}", "",
	} {
		requests = append(requests, "GET /qux/\nX-To: "+to, "POST /qux/deep?old=1\nX-To: "+to+"\n\nbody")
	}
	return requests
}

func TestParityServe(t *testing.T) {
	for _, row := range serveRows {
		t.Run(row.name, func(t *testing.T) {
			if row.requests == nil {
				row.requests = []string{"GET /", "HEAD /"}
			}
			parity(t, func() http.Handler { return row.handler }, row.requests...)
		})
	}
}
