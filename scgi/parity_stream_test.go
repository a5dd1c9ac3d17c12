package scgi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// An event arrives while its handler still runs, and the handler learns that the
// client has gone.
func TestParityEventStream(t *testing.T) {
	for name, through := range map[string]func(http.Handler) http.Handler{
		"direct":           func(h http.Handler) http.Handler { return h },
		"by reverse proxy": func(h http.Handler) http.Handler { return reverseProxy(t, h) },
	} {
		t.Run(name, func(t *testing.T) {
			events, gone := make(chan string), make(chan error)
			stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Cache-Control", "no-store")
				w.Header().Set("X-Accel-Buffering", "no")
				assert.NoError(t, http.NewResponseController(w).Flush())
				for {
					select {
					case event := <-events:
						fmt.Fprintf(w, "data: %s\n\n", event)
						assert.NoError(t, http.NewResponseController(w).Flush())
					case <-r.Context().Done():
						gone <- r.Context().Err()
						return
					}
				}
			})
			startSides(t, func() http.Handler { return through(stream) }).each(t, func(t *testing.T, client *http.Client, url string) {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				resp, err := client.Do(requestOf(t, url, "GET /events\nLast-Event-Id: 6\nAccept: text/event-stream").WithContext(ctx))
				require.NoError(t, err)
				resp.Header.Del("Date")
				assert.Equal(t, http.Header{
					"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-store"}, "X-Accel-Buffering": {"no"},
				}, resp.Header)
				assert.EqualValues(t, -1, resp.ContentLength)
				lines := bufio.NewReader(resp.Body)
				for _, event := range []string{"one", "two", strings.Repeat("three", 10_000)} {
					events <- event
					line, err := lines.ReadString('\n')
					require.NoError(t, err)
					assert.Equal(t, "data: "+event+"\n", line)
					_, err = lines.ReadString('\n')
					require.NoError(t, err)
				}
				leave()
				assert.ErrorIs(t, <-gone, context.Canceled)
				require.NoError(t, resp.Body.Close())
			})
		})
	}
}

// reverseProxy is a proxy to a backend of its own, over HTTP.
func reverseProxy(t *testing.T, backend http.Handler) *httputil.ReverseProxy {
	t.Helper()
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		Transport: server.Client().Transport,
		ErrorLog:  log.New(io.Discard, "", 0),
	}
}

func TestParityReverseProxy(t *testing.T) {
	fs := servedFiles(t)
	proxy := func() http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/describe/", describeRequest)
		mux.HandleFunc("/read", readUpload)
		mux.HandleFunc("/unread", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("/streamed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain") // else the proxy's first flush and first write race for it
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, strings.Repeat("streamed", 10_000))
		})
		mux.HandleFunc("/fails", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		mux.Handle("/", http.FileServer(fs))
		return reverseProxy(t, mux)
	}
	parity(t, proxy,
		"GET /describe/a%2Fb?x=1", "HEAD /describe/", "POST /describe/\nContent-Type: text/plain\n\nbody", "GET /describe/\nX-Forwarded-For: 192.0.2.1",
		"POST /read\n\n"+strings.Repeat("x", 500_000), "POST /unread\n\nbody", "POST /read\nTransfer-Encoding: chunked\n\nbody",
		"GET /streamed", "HEAD /streamed", "GET /fails", "GET /large.bin", "GET /text.txt\nRange: bytes=0-9", "GET /sub", "GET /missing",
		"GET /text.txt\nIf-Modified-Since: Tue, 03 Feb 2026 04:05:06 GMT", "GET /describe/\nAccept-Encoding: gzip",
	)
}

// websocketEcho sends back what comes, and in the end how it ended.
func websocketEcho(t *testing.T, ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover,
		})
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = c.CloseNow() }() // it has been closed, if all went well
		for {
			kind, message, err := c.Read(r.Context())
			if err == nil {
				err = c.Write(r.Context(), kind, message)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}
}

func TestParityWebSocket(t *testing.T) {
	ended := make(chan error, 1)
	t.Run("direct", func(t *testing.T) {
		testParityWebSocket(t, ended, func() http.Handler { return websocketEcho(t, ended) })
	})
	t.Run("by reverse proxy", func(t *testing.T) { // which writes an HTTP status line
		testParityWebSocket(t, ended, func() http.Handler { return reverseProxy(t, websocketEcho(t, ended)) })
	})
}

func testParityWebSocket(t *testing.T, ended <-chan error, handler func() http.Handler) {
	s := startSides(t, handler)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Host, r.Out.URL.Scheme, r.Out.URL.Host = r.In.Host, "http", r.In.Host
		},
		Transport: s.scgi.Transport(),
	})
	t.Cleanup(front.Close)
	for name, url := range map[string]string{"http": s.http.URL, "scgi": front.URL} {
		for mode, compression := range map[string]websocket.CompressionMode{"plain": websocket.CompressionDisabled, "compressed": websocket.CompressionContextTakeover} {
			t.Run(name+" "+mode, func(t *testing.T) {
				c, resp, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{
					Subprotocols: []string{"echo"}, CompressionMode: compression,
				})
				require.NoError(t, err)
				defer func() { _ = c.CloseNow() }()
				assert.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
				assert.Equal(t, "echo", c.Subprotocol())
				for _, message := range []string{"text", "", strings.Repeat("long ", 5000)} {
					for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
						require.NoError(t, c.Write(t.Context(), kind, []byte(message)))
						gotKind, got, err := c.Read(t.Context())
						require.NoError(t, err)
						assert.Equal(t, kind, gotKind)
						assert.Equal(t, message, string(got))
					}
				}
				require.NoError(t, c.Close(websocket.StatusNormalClosure, "enough"))
				assert.Equal(t, websocket.CloseError{Code: websocket.StatusNormalClosure, Reason: "enough"}, websocketClose(<-ended))
			})
		}
	}
}

func websocketClose(err error) (e websocket.CloseError) {
	if !errors.As(err, &e) {
		e.Reason = fmt.Sprintf("no close frame came: %v", err)
	}
	return e
}

// What a front end sees of an upgrade.
func TestParityWebSocketBytes(t *testing.T) {
	ended := make(chan error, 1)
	s := scgitest.NewServer(websocketEcho(t, ended))
	defer s.Close()
	conn, err := s.Dial()
	require.NoError(t, err)
	_, err = conn.Write(scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", "/",
		"SERVER_PROTOCOL", "HTTP/1.1", "HTTP_CONNECTION", "keep-alive, Upgrade", "HTTP_UPGRADE", "websocket",
		"HTTP_SEC_WEBSOCKET_VERSION", "13", "HTTP_SEC_WEBSOCKET_KEY", "dGhlIHNhbXBsZSBub25jZQ=="))
	require.NoError(t, err)
	want := "Status: 101 Switching Protocols\r\nConnection: Upgrade\r\n" +
		"Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nUpgrade: websocket\r\n\r\n"
	got := make([]byte, len(want))
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
	_, err = conn.Write([]byte("\x81\x82\x00\x00\x00\x00hi")) // a text frame, RFC 6455, section 5.7
	require.NoError(t, err)
	got = make([]byte, 4)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	assert.Equal(t, "\x81\x02hi", string(got))
	require.NoError(t, conn.Close())
	assert.Error(t, <-ended, "the client went without a word")
}

// A connection that was taken over ends when its taker closes it, whoever asked
// the request's context before: nothing of the server's holds it open.
func TestParityHijackClose(t *testing.T) {
	release := make(chan struct{})
	startSides(t, func() http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			done := r.Context().Done()
			conn, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			_, _ = io.WriteString(conn, "Status: 200 OK\r\n\r\n") // see below
			assert.NoError(t, conn.Close())
			<-release
			select {
			case <-done:
				assert.Fail(t, "the context ended before the handler did")
			default:
			}
		})
	}).each(t, func(t *testing.T, client *http.Client, url string) {
		resp, err := client.Do(requestOf(t, url, "GET /"))
		if err == nil { // that was no answer over HTTP, but an end
			_, err = io.ReadAll(resp.Body)
			assert.NoError(t, err)
			assert.NoError(t, resp.Body.Close())
		}
		release <- struct{}{}
	})
}
