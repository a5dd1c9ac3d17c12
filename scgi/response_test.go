package scgi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
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

// notes is what a handler finds out, to be compared between servers.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// wrote notes the outcome of a write by the error that a handler may ask for.
func (n *notes) wrote(count int, err error) {
	for _, known := range []error{http.ErrBodyNotAllowed, http.ErrContentLength, http.ErrHijacked} {
		if errors.Is(err, known) {
			err = known
		}
	}
	n.add("%d %v", count, err)
}

// alike are handlers whose answers are net/http's own, less what SCGI does not
// send. Both servers run each.
var alike = []struct {
	name    string
	method  string // GET when empty
	header  string // of the request: "Name: value"
	body    string
	handler func(w http.ResponseWriter, r *http.Request, n *notes)
}{
	{name: "nothing", handler: func(http.ResponseWriter, *http.Request, *notes) {}},
	{name: "implicit 200", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "hello"))
	}},
	{name: "empty write", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(w.Write(nil))
		w.WriteHeader(404)
	}},
	{name: "status and body", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.WriteHeader(404)
		n.wrote(io.WriteString(w, "nothing here"))
	}},
	{name: "odd statuses", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.WriteHeader(799)
		n.wrote(io.WriteString(w, "odd"))
	}},
	{name: "superfluous WriteHeader", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.WriteHeader(201)
		w.WriteHeader(500)
		n.wrote(io.WriteString(w, "made"))
		w.WriteHeader(404)
	}},
	{name: "header after WriteHeader", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("X-Early", "1")
		w.Header().Add("X-Early", "2")
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
		n.wrote(io.WriteString(w, "x"))
	}},
	{name: "header after Write", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "x"))
		w.Header().Set("X-Late", "1")
		w.Header().Set("Content-Type", "a/b")
	}},
	{name: "204 with a body", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.WriteHeader(204)
		n.wrote(io.WriteString(w, "x"))
		n.wrote(w.Write(nil))
		n.add("%v", http.NewResponseController(w).Flush())
	}},
	{name: "204 with a length", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(204)
	}},
	{name: "304 with a body", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Etag", `"a"`)
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(304)
		n.wrote(io.WriteString(w, "hello"))
	}},
	{name: "205", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) { w.WriteHeader(205) }},

	{name: "length said", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "10")
		n.wrote(io.WriteString(w, "hello"))
		n.wrote(io.WriteString(w, "world"))
	}},
	{name: "length said, more written", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "5")
		n.wrote(io.WriteString(w, "hello"))
		n.wrote(io.WriteString(w, "world"))
	}},
	{name: "length said, more written at once", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "5")
		n.wrote(io.WriteString(w, "hello, world"))
	}},
	{name: "length said, less written", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "10")
		n.wrote(io.WriteString(w, "hello"))
	}},
	{name: "length said, nothing written", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "10")
	}},
	{name: "length said, less written than was flushed", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "100000")
		n.wrote(io.WriteString(w, strings.Repeat("x", 50_000)))
		n.add("%v", http.NewResponseController(w).Flush())
	}},
	{name: "length of zero", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "0")
		n.wrote(io.WriteString(w, "x"))
	}},
	{name: "length that is none", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "x1")
		n.wrote(io.WriteString(w, "hello"))
	}},
	{name: "length that is negative", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "-1")
		n.wrote(io.WriteString(w, "hello"))
	}},

	{name: "HEAD, nothing", method: "HEAD", handler: func(http.ResponseWriter, *http.Request, *notes) {}},
	{name: "HEAD, small", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "<html>hello"))
	}},
	{name: "HEAD, large", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, strings.Repeat("<html>hello", 10_000)))
	}},
	{name: "HEAD, large in parts", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		for range 50 {
			n.wrote(io.WriteString(w, strings.Repeat("x", 1000)))
		}
	}},
	{name: "HEAD, length said", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "123456")
	}},
	{name: "HEAD, length said and written", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "5")
		n.wrote(io.WriteString(w, "hello"))
		n.wrote(io.WriteString(w, "x"))
	}},
	{name: "HEAD, flushed", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "hello"))
		n.add("%v", http.NewResponseController(w).Flush())
		n.wrote(io.WriteString(w, "hello"))
	}},
	{name: "HEAD, copied", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		count, err := io.Copy(w, strings.NewReader(strings.Repeat("x", 100_000)))
		n.wrote(int(count), err)
	}},

	{name: "sniffed html", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, " <!DOCTYPE html>"))
	}},
	{name: "sniffed png", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "\x89PNG\x0D\x0A\x1A\x0A"))
	}},
	{name: "sniffed large html", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "<html>"+strings.Repeat("x", 100_000)))
	}},
	{name: "sniffed of 4096 bytes", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "<html>"+strings.Repeat("x", 4090)))
	}},
	{name: "sniffed of 4097 bytes", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "<html>"+strings.Repeat("x", 4091)))
	}},
	{name: "sniffed small, then large", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(io.WriteString(w, "<ht"))
		n.wrote(io.WriteString(w, "ml>"+strings.Repeat("x", 100_000)))
	}},
	{name: "sniffed byte by byte", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		for _, b := range []byte("<html>" + strings.Repeat("x", 5000)) {
			if count, err := w.Write([]byte{b}); err != nil {
				n.wrote(count, err)
			}
		}
	}},
	{name: "sniffed copied", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		count, err := io.Copy(w, strings.NewReader("<html>"+strings.Repeat("x", 100_000)))
		n.wrote(int(count), err)
	}},
	{name: "type said", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Type", "application/x-own")
		n.wrote(io.WriteString(w, "<html>"))
	}},
	{name: "type nil", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header()["Content-Type"] = nil
		n.wrote(io.WriteString(w, "<html>"))
	}},
	{name: "encoded is not sniffed", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Encoding", "br")
		n.wrote(io.WriteString(w, "<html>"))
	}},

	{name: "Flush before Write", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.add("%v", http.NewResponseController(w).Flush())
		w.Header().Set("X-Late", "1")
		n.wrote(io.WriteString(w, "hello"))
	}},
	{name: "Flush between", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.WriteHeader(201)
		for range 3 {
			n.wrote(io.WriteString(w, "hello"))
			w.(http.Flusher).Flush()
		}
	}},
	{name: "ReadFrom", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		count, err := w.(io.ReaderFrom).ReadFrom(iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 5000))))
		n.wrote(int(count), err)
		n.wrote(io.WriteString(w, "more"))
	}},
	{name: "ReadFrom, nothing", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		count, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader(""))
		n.wrote(int(count), err)
	}},
	{name: "ReadFrom, failing", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		count, err := w.(io.ReaderFrom).ReadFrom(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(syscall.EIO)))
		n.wrote(int(count), err)
	}},
	{name: "ReadFrom, large with a length", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "1000000")
		count, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader(strings.Repeat("x", 1_000_000)))
		n.wrote(int(count), err)
	}},
	{name: "WriteString", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		n.wrote(w.(io.StringWriter).WriteString("hello"))
		n.wrote(w.(io.StringWriter).WriteString(strings.Repeat("x", 10_000)))
	}},
	{name: "many writes of every size", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		for size := 1; size < 300_000; size = size*3 + 1 {
			n.wrote(w.Write(bytes.Repeat([]byte{byte('a' + size%26)}, size)))
		}
	}},

	{name: "http.Error", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Content-Length", "5")
		http.Error(w, "no", http.StatusTeapot)
	}},
	{name: "http.NotFound", handler: func(w http.ResponseWriter, r *http.Request, n *notes) { http.NotFound(w, r) }},
	{name: "http.Redirect", handler: func(w http.ResponseWriter, r *http.Request, n *notes) {
		http.Redirect(w, r, "/other?x", http.StatusSeeOther)
	}},
	{name: "http.Redirect, relative", handler: func(w http.ResponseWriter, r *http.Request, n *notes) {
		http.Redirect(w, r, "other", http.StatusFound)
	}},
	{name: "201 with a Location", handler: func(w http.ResponseWriter, r *http.Request, n *notes) {
		w.Header().Set("Location", "/made/7")
		w.WriteHeader(201)
	}},
	{name: "http.SetCookie", handler: func(w http.ResponseWriter, r *http.Request, n *notes) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	}},
	{name: "ServeContent", handler: serveContent},
	{name: "ServeContent, HEAD", method: "HEAD", handler: serveContent},
	{name: "ServeContent, range", header: "Range: bytes=10-19", handler: serveContent},
	{name: "ServeContent, range and HEAD", method: "HEAD", header: "Range: bytes=10-19", handler: serveContent},
	{name: "ServeContent, last bytes", header: "Range: bytes=-5", handler: serveContent},
	{name: "ServeContent, range that is not there", header: "Range: bytes=100000-", handler: serveContent},
	{name: "ServeContent, not modified", header: "If-None-Match: \"tag\"", handler: serveContent},
	{name: "ServeContent, precondition failed", header: "If-Match: \"other\"", handler: serveContent},
	{name: "MaxBytesHandler, small", method: "POST", body: "small", handler: maxBytes},
	{name: "MaxBytesHandler, large", method: "POST", body: strings.Repeat("large", 100), handler: maxBytes},
	{name: "values with CR and LF", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("X-A", "a\r\nX-Injected: b")
		w.Header().Set("X-B", "a\n\nb")
		w.Header().Set("X-C", " \t a \t ")
		w.Header().Set("X-D", "\r\n")
		w.Header().Set("Content-Type", "text/plain\r\n\r\n<script>")
	}},
	{name: "names that are none", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header()["X-A\r\nX-Injected"] = []string{"a"}
		w.Header()["X B"] = []string{"a"}
		w.Header()["X:C"] = []string{"a"}
		w.Header()[""] = []string{"a"}
		w.Header()["É"] = []string{"a"}
		w.Header()["x-lower"] = []string{"a"}
	}},
	{name: "early hints", handler: func(w http.ResponseWriter, _ *http.Request, n *notes) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(103)
		w.WriteHeader(102)
		w.WriteHeader(202)
		n.wrote(io.WriteString(w, "x"))
	}},
	{name: "body read after the answer", method: "POST", body: "the body", handler: func(w http.ResponseWriter, r *http.Request, n *notes) {
		n.add("%v", http.NewResponseController(w).EnableFullDuplex())
		n.wrote(io.WriteString(w, "first"))
		n.add("%v", http.NewResponseController(w).Flush())
		body, err := io.ReadAll(r.Body)
		n.add("%s %v", body, err)
		n.wrote(w.Write(body))
	}},
}

func serveContent(w http.ResponseWriter, r *http.Request, _ *notes) {
	w.Header().Set("Etag", `"tag"`)
	content := strings.NewReader(strings.Repeat("0123456789", 2000))
	http.ServeContent(w, r, "name.txt", time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), content)
}

func maxBytes(w http.ResponseWriter, r *http.Request, n *notes) {
	http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		n.add("%d %v", len(body), err)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}
	}), 10).ServeHTTP(w, r)
}

func TestResponseIsNetHTTPs(t *testing.T) {
	for _, row := range alike {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var overHTTP, overSCGI notes
			plain := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				row.handler(w, r, &overHTTP)
			}))
			plain.Config.ErrorLog = log.New(io.Discard, "", 0)
			plain.Start()
			defer plain.Close()
			server := newServer(t, func(w http.ResponseWriter, r *http.Request) { row.handler(w, r, &overSCGI) })

			ask := func(client *http.Client, base string) (*http.Response, string, error) {
				r, err := http.NewRequest(row.method, base+"/folder/page", strings.NewReader(row.body))
				require.NoError(t, err)
				r.Host = "example.org"
				if name, value, ok := strings.Cut(row.header, ": "); ok {
					r.Header.Set(name, value)
				}
				resp, err := client.Do(r)
				require.NoError(t, err)
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				return resp, string(body), err
			}
			plain.Client().CheckRedirect = server.Client().CheckRedirect
			want, wantBody, wantErr := ask(plain.Client(), plain.URL)
			got, gotBody, gotErr := ask(server.Client(), "http://example.org")
			plain.Close() // and no handler runs any more
			server.Close()

			assert.Equal(t, want.StatusCode, got.StatusCode)
			assert.Equal(t, wantBody, gotBody)
			assert.Equal(t, wantErr, gotErr)
			assert.Equal(t, overHTTP.lines, overSCGI.lines)
			for _, name := range []string{"Date", "Connection"} {
				want.Header.Del(name)
				assert.NotContains(t, got.Header, name)
			}
			if want.Header.Get("Content-Length") == "" && got.Header.Get("Content-Length") != "" {
				// We hold more back than net/http, and so know more lengths.
				written := len(gotBody)
				if row.method == "HEAD" {
					written = headLength(t, overSCGI.lines)
				}
				assert.Equal(t, fmt.Sprint(written), got.Header.Get("Content-Length"))
				got.Header.Del("Content-Length")
			}
			assert.Equal(t, want.Header, got.Header)
		})
	}
}

// headLength adds up what a handler wrote, as it noted that.
func headLength(t *testing.T, lines []string) (sum int) {
	for _, line := range lines {
		var n int
		_, err := fmt.Sscan(line, &n)
		require.NoError(t, err)
		sum += n
	}
	return sum
}

// newServer starts a server on a unix socket that logs to nowhere.
func newServer(t testing.TB, h http.HandlerFunc) *scgitest.Server {
	t.Helper()
	s := scgitest.NewUnstartedServer(h)
	s.Config.Logger = slog.New(slog.DiscardHandler)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// The bytes themselves: Status first, CRLF lines, Content-Length last.
func TestResponseBytes(t *testing.T) {
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"nothing", func(http.ResponseWriter, *http.Request) {},
			"Status: 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") },
			"Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK"},
		{"header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("B", "2")
			w.Header().Set("A", "1")
			w.Header().Add("B", "3")
			w.WriteHeader(404)
		}, "Status: 404 Not Found\r\nA: 1\r\nB: 2\r\nB: 3\r\nContent-Length: 0\r\n\r\n"},
		{"a status without a name", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) },
			"Status: 299 Unnamed\r\nContent-Length: 0\r\n\r\n"},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "Status: 204 No Content\r\n\r\n"},
		{"a status of the handler's is no field", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Status", "500 no")
			w.Header()["status"] = []string{"500 no"}
		}, "Status: 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"hop-by-hop", func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
				"connection", "keep-alive", "transfer-encoding", "TRANSFER-ENCODING", "upgrade", "trailer"} {
				w.Header()[name] = []string{"chunked"}
			}
			w.Header().Set(http.TrailerPrefix+"X", "1")
			_, _ = io.WriteString(w, "OK")
		}, "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK"},
		{"lengths in other cases", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["content-length"] = []string{"2"}
			_, _ = io.WriteString(w, "OK")
		}, "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK"},
		{"types in other cases", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["content-type"] = []string{"a/b"}
			_, _ = io.WriteString(w, "OK")
		}, "Status: 200 OK\r\ncontent-type: a/b\r\nContent-Length: 2\r\n\r\nOK"},
		{"a length of nil: none is wanted", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = nil
			_, _ = io.WriteString(w, "OK")
		}, "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nOK"},
		{"a length of nil for no body", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Length"] = nil },
			"Status: 200 OK\r\n\r\n"},
		{"fields that Connection names", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["connection"] = []string{"X-One, close"}
			w.Header()["Connection"] = []string{"\tx-two ,", "Content-Length"}
			for _, name := range []string{"X-One", "X-Two", "x-two", "Close", "X-Three"} {
				w.Header()[name] = []string{"1"}
			}
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "OK")
		}, "Status: 200 OK\r\nX-Three: 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK"},
		{"two lengths are none", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"2", "3"}
			_, _ = io.WriteString(w, "OK")
		}, "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK"},
		{"Location with 200", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/internal")
			w.Header()["location"] = []string{"/internal"}
		}, "Status: 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"Location with 302", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/other")
			w.WriteHeader(302)
		}, "Status: 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"},
		{"interim answers", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(100)
			w.WriteHeader(103)
			w.WriteHeader(200)
		}, "Status: 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"a deliberate 101", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(101)
		}, "Status: 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"},
		{"NUL in a value", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("A", "b\x00c\rd\ne") },
			"Status: 200 OK\r\nA: b c d e\r\nContent-Length: 0\r\n\r\n"},
		{"as long as is held back", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, strings.Repeat("x", scgi.HeldBody))
		}, "Status: 200 OK\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("x", scgi.HeldBody)},
		{"longer than is held back", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, strings.Repeat("x", scgi.HeldBody+1))
		}, "Status: 200 OK\r\n\r\n" + strings.Repeat("x", scgi.HeldBody+1)},
		{"flushed", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "OK")
		}, "Status: 200 OK\r\n\r\nOK"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := startMemory(t, &scgi.Server{Handler: row.handler})
			assert.Equal(t, row.want, l.ask(t, scgitest.Get("/")))
		})
	}
}

// calls is a connection that notes what a server does with it.
type calls struct {
	*memoryConn
	notes *notes
}

func (c calls) Write(p []byte) (int, error) {
	c.notes.add("write %d", len(p))
	return c.memoryConn.Write(p)
}
func (c calls) CloseWrite() error { c.notes.add("close half"); return c.memoryConn.CloseWrite() }
func (c calls) Close() error      { c.notes.add("close"); return c.memoryConn.Close() }

// The common answer is one write and one close; half-close and drain come only
// when request bytes are unread.
func TestResponseCalls(t *testing.T) {
	const head = len("Status: 200 OK\r\nContent-Length: 0\r\n\r\n")
	for _, row := range []struct {
		name    string
		raw     []byte
		handler http.HandlerFunc
		want    []string
	}{
		{"nothing", scgitest.Get("/"), func(http.ResponseWriter, *http.Request) {}, []string{fmt.Sprint("write ", head), "close"}},
		{"small, of many writes", scgitest.Get("/"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			for range 9 {
				_, _ = io.WriteString(w, "x")
			}
		}, []string{fmt.Sprint("write ", head+9), "close"}},
		{"body read", scgitest.Post("/", "body"), func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		}, []string{fmt.Sprint("write ", head), "close"}},
		{"body unread", scgitest.Post("/", "body"), func(http.ResponseWriter, *http.Request) {},
			[]string{fmt.Sprint("write ", head), "close half", "close"}},
		{"bytes after the body", append(scgitest.Post("/", "body"), "more"...), func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		}, []string{fmt.Sprint("write ", head), "close half", "close"}},
		{"large, held body goes with the header", scgitest.Get("/"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 100_000))
		}, []string{"write 4138", "write 65536", "write 30368", "close"}},
		{"streamed", scgitest.Get("/"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			for range 2 {
				_, _ = w.Write(make([]byte, 10))
				w.(http.Flusher).Flush()
			}
		}, []string{"write 28", "write 10", "close"}},
		{"copied", scgitest.Get("/"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.Copy(w, struct{ io.Reader }{bytes.NewReader(make([]byte, 96<<10))})
		}, []string{"write 4114", "write 28672", "write 32768", "write 32768", "close"}},
		{"malformed", []byte("GET / HTTP/1.1\r\n\r\n"), nil, []string{"write 100", "close half", "close"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var done notes
			l := startMemory(t, &scgi.Server{Handler: row.handler})
			client, server := memoryPipe(1 << 20)
			_, err := client.Write(row.raw)
			require.NoError(t, err)
			l.conns <- calls{server, &done}
			client.rest(t)
			require.NoError(t, client.CloseWrite())
			awaitClosed(t, client)
			assert.Equal(t, row.want, done.lines)
		})
	}
}

// awaitClosed waits until the server has closed its end for good.
func awaitClosed(t *testing.T, c *memoryConn) {
	t.Helper()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	for !c.out.abandoned {
		c.out.changed.Wait()
	}
}

// An invalid status panics as in net/http, with its value. Once the answer's status is
// final, or the connection is another's, it no longer matters.
func TestResponseStatusInvalid(t *testing.T) {
	for _, status := range []int{-1, 0, 99, 1000} {
		var late http.ResponseWriter
		l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			assert.PanicsWithValue(t, fmt.Sprintf("invalid WriteHeader code %d", status), func() { w.WriteHeader(status) })
			w.WriteHeader(202)
			assert.NotPanics(t, func() { w.WriteHeader(status) })
			late = w
		})})
		assert.Contains(t, l.ask(t, scgitest.Get("/")), "Status: 202 Accepted\r\n")
		assert.NotPanics(t, func() { late.WriteHeader(status) })

		l = startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			defer conn.Close()
			assert.NotPanics(t, func() { w.WriteHeader(status) })
		})})
		assert.Empty(t, l.ask(t, scgitest.Get("/")))
	}
}

func TestResponseLogs(t *testing.T) {
	log := newRecorder()
	var late http.ResponseWriter
	l := startMemory(t, &scgi.Server{Logger: log.logger(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.WriteHeader(500)
		late = w
	})})
	l.ask(t, scgitest.Get("/"))
	late.WriteHeader(404)
	assert.Len(t, log.matching("superfluous WriteHeader", "status=500", "first=200"), 1)
	assert.Len(t, log.matching("WriteHeader after the answer", "status=404"), 1)
}

// nginx makes a 502 of a large header block: that is said once a server.
func TestResponseLargeHeader(t *testing.T) {
	log := newRecorder()
	size := 0
	l := startMemory(t, &scgi.Server{Logger: log.logger(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", size-len("Status: 200 OK\r\nX-Large: \r\nContent-Length: 0\r\n\r\n")))
	})})
	for _, s := range []int{100, 4096} {
		size = s
		assert.Len(t, l.ask(t, scgitest.Get("/")), s)
		assert.Empty(t, log.all(slog.LevelInfo))
	}
	for _, s := range []int{4097, 10_000} {
		size = s
		assert.Len(t, l.ask(t, scgitest.Get("/")), s)
		assert.Len(t, log.matching("4096 bytes of header", "bytes=4097"), 1)
		assert.Len(t, log.all(slog.LevelInfo), 1)
	}
}

func TestResponsePanic(t *testing.T) {
	const internal = "Status: 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"X-Content-Type-Options: nosniff\r\nContent-Length: 22\r\n\r\nInternal Server Error\n"
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
		logged  string
	}{
		{"before writing", func(http.ResponseWriter, *http.Request) { panic("the cause") }, internal, "the cause"},
		{"an error", func(http.ResponseWriter, *http.Request) { panic(io.ErrNoProgress) }, internal, io.ErrNoProgress.Error()},
		{"nil", func(http.ResponseWriter, *http.Request) { panic(nil) }, internal, "panic called with nil"}, //nolint
		{"after a header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Secret", "1")
			w.WriteHeader(200)
			panic("the cause")
		}, internal, "the cause"},
		{"after a write that was held back", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half an answer")
			panic("the cause")
		}, internal, "the cause"},
		{"after a flush", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, " an")
			panic("the cause")
		}, "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\n\r\nhalf", "the cause"},
		{"on purpose", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half an answer")
			panic(http.ErrAbortHandler)
		}, "", ""},
		{"Goexit", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half an answer")
			runtime.Goexit()
		}, "", "handler panicked"},
	} {
		t.Run(row.name, func(t *testing.T) {
			log := newRecorder()
			srv := &scgi.Server{Logger: log.logger(), Handler: row.handler}
			l := startMemory(t, srv)
			assert.Equal(t, row.want, l.ask(t, scgitest.Get("/page")))
			require.NoError(t, srv.Shutdown(t.Context()), "the connection is forgotten")
			stats := srv.Stats()
			assert.Equal(t, uint64(1), stats.Requests)
			if row.logged == "" {
				assert.Empty(t, log.all(slog.LevelInfo))
				assert.Zero(t, stats.Panics)
				return
			}
			assert.Len(t, log.matching("ERROR", "handler panicked", row.logged, "method=GET", "uri=/page", "response_test.go"), 1)
			assert.Equal(t, uint64(1), stats.Panics)
		})
	}
}

// On TCP an answer that is not whole ends visibly, though it may have no length.
func TestResponseBrokenOffOnTCP(t *testing.T) { onBothWays(t, "tcp", testResponseBrokenOffOnTCP) }

func testResponseBrokenOffOnTCP(t *testing.T, network string) {
	s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/short":
			w.Header().Set("Content-Length", "8")
			_, _ = io.WriteString(w, "half")
		}
	})})
	for _, path := range []string{"/panic", "/short"} {
		_, err := s.Send(scgitest.Get(path))
		assert.ErrorIs(t, err, syscall.ECONNRESET, path)
	}
	answer, err := s.Send(scgitest.Get("/"))
	assert.NoError(t, err)
	assert.Contains(t, string(answer), "200")
}

// A hook of the server's owner that panics costs its own connection only.
func TestConnHookPanic(t *testing.T) {
	log := newRecorder()
	panicking := true
	srv := &scgi.Server{Logger: log.logger(), ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		if panicking {
			panic("the hook")
		}
		return ctx
	}, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	l := startMemory(t, srv)
	c := l.connect(t)
	_, _ = c.Write(scgitest.Get("/")) // the server may have closed already
	_, err := io.ReadAll(c)
	if err != nil {
		assert.ErrorIs(t, err, syscall.ECONNRESET)
	}
	panicking = false
	assert.Contains(t, l.ask(t, scgitest.Get("/")), "200 OK")
	assert.Len(t, log.matching("ERROR", "connection panicked", "the hook"), 1)
}

// What a handler keeps is dead once it has returned, and nobody else's.
func TestResponseAfterReturn(t *testing.T) {
	type kept struct {
		w http.ResponseWriter
		r *http.Request
	}
	keep := make(chan kept, 1)
	l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			_, _ = r.Body.Read(make([]byte, 1))
			_, _ = io.WriteString(w, "first")
			keep <- kept{w, r}
			return
		}
		first := <-keep
		_, _ = io.WriteString(w, "second")
		_, err := io.WriteString(first.w, "intruder")
		assert.Error(t, err)
		_, err = first.w.Write(make([]byte, 100_000))
		assert.Error(t, err)
		_, err = io.Copy(first.w, strings.NewReader("intruder"))
		assert.Error(t, err)
		rc := http.NewResponseController(first.w)
		assert.Error(t, rc.Flush())
		_, _, err = rc.Hijack()
		assert.Error(t, err)
		first.w.Header().Set("Intruder", "1")
		first.w.WriteHeader(500)
		_, err = first.r.Body.Read(make([]byte, 1))
		assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
		assert.ErrorIs(t, first.r.Context().Err(), context.Canceled)
		assert.True(t, isClosed(first.r.Context().Done()), "at once, though nobody has asked before")
	})})
	first := l.send(t, scgitest.Post("/first", "body"))
	assert.Contains(t, first.rest(t), "\r\n\r\nfirst")
	require.NoError(t, first.Close())
	answer := l.ask(t, scgitest.Get("/second"))
	assert.True(t, strings.HasSuffix(answer, "\r\n\r\nsecond"), answer)
	assert.NotContains(t, answer, "ntruder")
}

// The context is over when the handler has returned, not only when what the
// front end still sends has been drained.
func TestContextEndsWithHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			context.AfterFunc(r.Context(), func() { close(over) })
		})})
		began := time.Now()
		c := l.send(t, scgitest.Post("/", "a body that nobody reads"))
		<-over
		assert.Zero(t, time.Since(began))
		_ = c.rest(t)
		require.NoError(t, c.Close())
	})
}

func TestTimeoutHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "not seen")
			<-r.Context().Done()
			synctest.Wait() // for the 503
			_, err := io.WriteString(w, "too late")
			assert.ErrorIs(t, err, http.ErrHandlerTimeout)
		})
		l := startMemory(t, &scgi.Server{Handler: http.TimeoutHandler(slow, 3*time.Second, "too slow")})
		began := time.Now()
		answer := l.ask(t, scgitest.Get("/"))
		assert.Equal(t, 3*time.Second, time.Since(began))
		assert.Contains(t, answer, "Status: 503 Service Unavailable\r\n")
		assert.True(t, strings.HasSuffix(answer, "\r\n\r\ntoo slow"), answer)
	})
}

// The handler's deadlines are totals; IOTimeout is about progress. The earlier
// one counts.
func TestResponseControllerDeadlines(t *testing.T) {
	for _, row := range []struct {
		name string
		set  func(set func(time.Time) error, began time.Time) error
		want time.Duration
	}{
		{"none", func(func(time.Time) error, time.Time) error { return nil }, 60 * time.Second},
		{"earlier", func(set func(time.Time) error, began time.Time) error {
			return set(began.Add(7 * time.Second))
		}, 7 * time.Second},
		{"later", func(set func(time.Time) error, began time.Time) error {
			return set(began.Add(time.Hour))
		}, 60 * time.Second},
		{"taken back", func(set func(time.Time) error, began time.Time) error {
			return errors.Join(set(began.Add(time.Second)), set(time.Time{}))
		}, 60 * time.Second},
		{"past", func(set func(time.Time) error, began time.Time) error { return set(began.Add(-1)) }, 0},
	} {
		t.Run("read, "+row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					began := time.Now()
					assert.NoError(t, row.set(http.NewResponseController(w).SetReadDeadline, began))
					body, err := io.ReadAll(r.Body)
					assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
					if row.want > 0 {
						assert.Equal(t, "half", string(body))
					}
					assert.Equal(t, row.want, time.Since(began))
					_, err = r.Body.Read(make([]byte, 1))
					assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "and stays so")
					w.WriteHeader(http.StatusRequestTimeout)
				})})
				raw := scgitest.Post("/", "half a body")
				c := l.send(t, raw[:len(raw)-len(" a body")])
				assert.Contains(t, c.rest(t), "Status: 408 ")
				require.NoError(t, c.Close())
			})
		})
		t.Run("write, "+row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				written := make(chan error)
				l := newMemoryListener()
				l.room = 200
				srv := &scgi.Server{Logger: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					began := time.Now()
					assert.NoError(t, row.set(http.NewResponseController(w).SetWriteDeadline, began))
					_, err := w.Write(make([]byte, 100_000))
					assert.Equal(t, row.want, time.Since(began))
					_, again := w.Write([]byte("x"))
					assert.ErrorIs(t, again, os.ErrDeadlineExceeded, "and stays so")
					written <- err
				})}
				require.NoError(t, srv.Start(l))
				c := l.send(t, scgitest.Get("/"))
				assert.ErrorIs(t, <-written, os.ErrDeadlineExceeded)
				_ = c.Close() // its answer is not whole
				require.NoError(t, srv.Shutdown(t.Context()))
			})
		})
	}
}

// As long as something moves nothing times out.
func TestIOTimeoutIsAboutProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		l.room = 1000
		srv := &scgi.Server{IOTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Len(t, body, 100)
			for range 100 {
				time.Sleep(900 * time.Millisecond)
				_, err := w.Write(make([]byte, 500))
				assert.NoError(t, err)
				assert.NoError(t, http.NewResponseController(w).Flush())
			}
		})}
		require.NoError(t, srv.Start(l))
		defer srv.Close()
		began := time.Now()
		c := l.connect(t)
		raw := scgitest.Post("/", strings.Repeat("x", 100))
		_, err := c.Write(raw[:len(raw)-100])
		require.NoError(t, err)
		for _, b := range raw[len(raw)-100:] {
			time.Sleep(900 * time.Millisecond)
			_, err := c.Write([]byte{b})
			require.NoError(t, err)
		}
		answer := c.rest(t)
		_, body, _ := strings.Cut(answer, "\r\n\r\n")
		assert.Len(t, body, 50_000)
		assert.Equal(t, 200*900*time.Millisecond, time.Since(began))
	})
}

// A handler hears of a front end that has gone when it writes, and from then on.
func TestWriteToNobody(t *testing.T) {
	failed := make(chan error, 3)
	l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, endless{})
		failed <- err
		_, err = w.Write([]byte("x"))
		failed <- err
		failed <- http.NewResponseController(w).Flush()
	})})
	c := l.send(t, scgitest.Get("/"))
	_, err := c.Read(make([]byte, 100_000))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	for range cap(failed) {
		assert.ErrorIs(t, <-failed, syscall.EPIPE)
	}
}

// Each end wakes a read that the handler left behind, before its buffer is
// another's.
func TestBodyReadLeftBehind(t *testing.T) {
	for _, how := range []string{"return", "close", "panic"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				readErr := make(chan error, 1)
				l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					go func() {
						_, err := io.ReadAll(r.Body)
						readErr <- err
					}()
					synctest.Wait()
					if how == "close" {
						assert.NoError(t, r.Body.Close())
						assert.Error(t, <-readErr)
						readErr <- nil
					}
					_, _ = io.WriteString(w, "OK")
					if how == "panic" {
						panic(http.ErrAbortHandler)
					}
				})})
				began := time.Now()
				raw := scgitest.Post("/", "body")
				c := l.send(t, raw[:len(raw)-1])
				answer := c.rest(t)
				assert.Equal(t, how != "panic", strings.Contains(answer, "\r\n\r\nOK"))
				if err := <-readErr; how != "close" {
					assert.Error(t, err)
				}
				assert.Zero(t, time.Since(began))
				require.NoError(t, c.Close())
			})
		})
	}
}

func TestHijack(t *testing.T) {
	states := make(chan http.ConnState, 9)
	var srv *scgi.Server
	srv = &scgi.Server{
		ConnState: func(_ net.Conn, state http.ConnState) { states <- state },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
			_, err := io.WriteString(w, "x")
			assert.ErrorIs(t, err, http.ErrBodyNotAllowed)
			conn, rw, err := http.NewResponseController(w).Hijack()
			if !assert.NoError(t, err) {
				return
			}
			_, err = io.WriteString(w, "x")
			assert.ErrorIs(t, err, http.ErrHijacked)
			assert.ErrorIs(t, http.NewResponseController(w).Flush(), http.ErrHijacked)
			_, _, err = http.NewResponseController(w).Hijack()
			assert.ErrorIs(t, err, http.ErrHijacked)
			w.WriteHeader(500)
			assert.Zero(t, srv.Stats().Open, "the server no longer counts it")
			go func() {
				defer conn.Close()
				for {
					line, err := rw.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = rw.WriteString("echo " + line)
					_ = rw.Flush()
				}
			}()
		}),
	}
	l := startMemory(t, srv)
	c := l.send(t, append(scgitest.Get("/"), "early\n"...))
	br := bufio.NewReader(c)
	resp, err := scgi.ReadResponse(br, nil)
	require.NoError(t, err)
	assert.Equal(t, 101, resp.StatusCode)
	assert.Equal(t, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}, resp.Header)
	line, err := br.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "echo early\n", line, "what was read past the header is the taker's")
	require.NoError(t, srv.Shutdown(t.Context()), "nobody waits for it")
	_, err = c.Write([]byte("late\n"))
	require.NoError(t, err)
	line, err = br.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "echo late\n", line)
	require.NoError(t, c.CloseWrite())
	assert.Empty(t, c.rest(t))
	assert.Equal(t, []http.ConnState{http.StateNew, http.StateActive, http.StateHijacked}, received(states))
}

// received empties a channel.
func received[T any](c chan T) (all []T) {
	for {
		select {
		case v := <-c:
			all = append(all, v)
		default:
			return all
		}
	}
}

// A body that was not read is the taker's too, and deadlines are not.
func TestHijackBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan string)
		l := startMemory(t, &scgi.Server{IOTimeout: time.Second, ReadHeaderTimeout: time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				rc := http.NewResponseController(w)
				assert.NoError(t, rc.SetReadDeadline(time.Now().Add(time.Second)))
				conn, rw, err := rc.Hijack()
				if !assert.NoError(t, err) {
					return
				}
				_, err = r.Body.Read(make([]byte, 1))
				assert.Error(t, err)
				go func() {
					defer conn.Close()
					all, err := io.ReadAll(rw)
					assert.NoError(t, err)
					got <- string(all)
				}()
			})})
		raw := scgitest.Post("/", "body and more")
		c := l.send(t, raw[:len(raw)-len(" and more")])
		time.Sleep(time.Hour)
		_, err := c.Write([]byte(" and more"))
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		assert.Equal(t, "body and more", <-got)
	})
}

// brokenPipe fails to write.
type brokenPipe struct {
	*memoryConn
	closed chan struct{}
}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }
func (c brokenPipe) Close() error            { close(c.closed); return c.memoryConn.Close() }

// A Hijack that fails gives nothing away: the connection is closed, once.
func TestHijackFails(t *testing.T) {
	srv := &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusSwitchingProtocols)
		_, _, err := http.NewResponseController(w).Hijack()
		assert.ErrorIs(t, err, syscall.EPIPE)
	})}
	l := startMemory(t, srv)
	client, server := memoryPipe(1000)
	_, err := client.Write(scgitest.Get("/"))
	require.NoError(t, err)
	closed := make(chan struct{})
	l.conns <- brokenPipe{server, closed}
	<-closed
	require.NoError(t, srv.Shutdown(t.Context()))
}

// ConnState tells each step.
func TestConnState(t *testing.T) {
	for _, row := range []struct {
		name string
		raw  string
		want []http.ConnState
	}{
		{"answered", string(scgitest.Get("/")), []http.ConnState{http.StateNew, http.StateActive, http.StateClosed}},
		{"probe", "", []http.ConnState{http.StateNew, http.StateClosed}},
		{"malformed", "GET / HTTP/1.1\r\n\r\n", []http.ConnState{http.StateNew, http.StateClosed}},
		{"aborted", string(scgitest.Get("/abort")), []http.ConnState{http.StateNew, http.StateActive, http.StateClosed}},
	} {
		t.Run(row.name, func(t *testing.T) {
			states := make(chan http.ConnState, 9)
			srv := &scgi.Server{ConnState: func(_ net.Conn, state http.ConnState) { states <- state },
				Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/abort" {
						panic(http.ErrAbortHandler)
					}
				})}
			l := startMemory(t, srv)
			c := l.send(t, []byte(row.raw))
			require.NoError(t, c.CloseWrite())
			c.rest(t)
			require.NoError(t, srv.Shutdown(t.Context()))
			assert.Equal(t, row.want, received(states))
		})
	}
}

// Buffers are pooled: many requests at once must not see each other's.
func TestResponsePooling(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		for part := range slices.Chunk(body, 700) {
			_, err := w.Write(part)
			assert.NoError(t, err)
		}
		if len(body)%3 == 0 {
			panic(http.ErrAbortHandler)
		}
	})
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range 60 {
				body := bytes.Repeat([]byte{byte('a' + worker)}, 1+i*137)
				answer, err := s.Send(scgitest.Post("/", string(body)))
				if len(body)%3 == 0 {
					continue
				}
				assert.NoError(t, err)
				_, got, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
				assert.True(t, bytes.Equal(body, got))
			}
		})
	}
	wait.Wait()
}
