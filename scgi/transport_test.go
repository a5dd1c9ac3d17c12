package scgi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
)

// rawApp listens and lets answer deal with each connection, which it closes.
func rawApp(t *testing.T, network string, answer func(net.Conn)) *scgi.Transport {
	t.Helper()
	l := listen(t, network)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answer(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		await(t, "the application's end", ended)
	})
	return &scgi.Transport{Network: network, Address: l.Addr().String()}
}

func postOf(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://example.org/", body)
	require.NoError(t, err)
	return r
}

// An application that answers and closes with the request unread resets the
// connection: that takes nothing away from the answer.
func TestTransportAnswerThenReset(t *testing.T) {
	sizes := map[string]int{"a small request": 1, "a request that cannot be sent": 20 << 20}
	for _, network := range networks {
		for name, size := range sizes {
			t.Run(network+", "+name, func(t *testing.T) {
				tr := rawApp(t, network, func(conn net.Conn) {
					_, _ = conn.Read(make([]byte, 1)) // so that all, or much, is unread
					_, _ = io.WriteString(conn, "Status: 413\r\nContent-Length: 9\r\n\r\ntoo large")
				})
				resp, err := tr.RoundTrip(postOf(t, bytes.NewReader(make([]byte, size))))
				require.NoError(t, err)
				defer resp.Body.Close()
				assert.Equal(t, 413, resp.StatusCode)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "too large", string(body))
			})
		}
	}
}

// Without a Content-Length a reset may cut the answer short on TCP. On a unix
// socket it cannot, and comes from every program that leaves a body unread.
func TestTransportResetEndsAnswerWithoutLength(t *testing.T) {
	for _, network := range networks {
		for _, size := range []int{1, 20 << 20} {
			t.Run(network+" "+strconv.Itoa(size), func(t *testing.T) {
				tr := rawApp(t, network, func(conn net.Conn) {
					_, _ = conn.Read(make([]byte, 1))
					_, _ = io.WriteString(conn, "Content-Type: text/plain\n\nhello")
				})
				resp, err := tr.RoundTrip(postOf(t, bytes.NewReader(make([]byte, size))))
				require.NoError(t, err)
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				assert.Equal(t, "hello", string(body))
				if network == "unix" {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, syscall.ECONNRESET)
				}
			})
		}
	}
}

// What was malformed is said, though the request could not be sent either.
func TestTransportMalformedAnswerWhileSending(t *testing.T) {
	tr := rawApp(t, "unix", func(conn net.Conn) {
		_, _ = io.WriteString(conn, "<html>\r\n\r\n")
	})
	_, err := tr.RoundTrip(postOf(t, bytes.NewReader(make([]byte, 20<<20))))
	assert.ErrorContains(t, err, `does not begin with a header: line 1 is "<html>"`)
}

// ResponseHeaderTimeout begins when the request was sent, however long that takes.
func TestTransportHeaderTimeoutBeginsWhenSent(t *testing.T) {
	for _, row := range []struct {
		name    string
		thinks  time.Duration
		timeout bool
	}{{"in time", time.Second, false}, {"late", 3 * time.Second, true}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := quiet(func(w http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					assert.NoError(t, err)
					time.Sleep(row.thinks)
				})
				l := newMemoryListener()
				require.NoError(t, s.Start(l))
				tr := memoryTransport(l)
				tr.ResponseHeaderTimeout = 2 * time.Second
				pr, pw := io.Pipe()
				go func() {
					for range 10 {
						time.Sleep(time.Second)
						_, _ = pw.Write(make([]byte, 10_000))
					}
				}()
				r := postOf(t, pr)
				r.ContentLength = 100_000
				began := time.Now()
				resp, err := (&http.Client{Transport: tr}).Do(r)
				if row.timeout {
					var asURL *url.Error
					require.ErrorAs(t, err, &asURL)
					assert.True(t, asURL.Timeout())
					assert.ErrorContains(t, err, "did not answer within 2s")
					assert.Equal(t, 12*time.Second, time.Since(began))
				} else {
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
					assert.Equal(t, 11*time.Second, time.Since(began))
				}
				require.NoError(t, s.Shutdown(t.Context()))
			})
		})
	}
}

// closeCounter counts how often a connection is closed.
type closeCounter struct {
	net.Conn
	n *atomic.Int64
}

// Close implements io.Closer.
func (c closeCounter) Close() error {
	c.n.Add(1)
	return c.Conn.Close()
}

// Whoever reads an answer to its end has given the connection back.
func TestTransportEndOfBodyCloses(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"with a length": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"without": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
		},
		"without a body": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		},
	} {
		s := newServer(t, handler)
		var closed atomic.Int64
		tr := s.Transport()
		tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return closeCounter{conn, &closed}, err
		}
		resp, err := tr.RoundTrip(postOf(t, nil))
		require.NoError(t, err)
		_, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Positive(t, closed.Load(), name)
		n, err := resp.Body.Read(make([]byte, 1))
		assert.Zero(t, n)
		assert.ErrorIs(t, err, io.EOF, name)
		assert.NoError(t, resp.Body.Close())
	}
}

// Closing early ends the application's writing.
func TestTransportCloseEndsAnswer(t *testing.T) {
	for _, network := range networks {
		ended := make(chan struct{})
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			defer close(ended)
			for chunk := make([]byte, 64<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})})
		resp, err := s.Transport().RoundTrip(postOf(t, nil))
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 1000))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		await(t, "the handler's end", ended)
	}
}

// Request and answer stream at the same time.
func TestTransportStreamsBothWays(t *testing.T) {
	for _, network := range networks {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			lines := bufio.NewReader(r.Body)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(w, "echo "+line)
				w.(http.Flusher).Flush()
			}
		})})
		line := strings.Repeat("x", 40<<10) + "\n"
		pr, pw := io.Pipe()
		r := postOf(t, pr)
		r.ContentLength = int64(3 * len(line))
		first := make(chan struct{})
		go func() {
			defer close(first)
			_, _ = io.WriteString(pw, line)
		}()
		resp, err := s.Transport().RoundTrip(r)
		require.NoError(t, err)
		await(t, "the first line's sending", first)
		answer := bufio.NewReader(resp.Body)
		for i := range 3 {
			if i > 0 {
				_, err := io.WriteString(pw, line)
				require.NoError(t, err)
			}
			got, err := answer.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "echo "+line, got)
		}
		_, err = answer.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
		require.NoError(t, resp.Body.Close())
	}
}

// A Transport that does not know where to says so.
func TestTransportZeroValue(t *testing.T) {
	_, err := new(scgi.Transport).RoundTrip(postOf(t, nil))
	assert.ErrorContains(t, err, "no Network and Address")
}

// A connection that is not made ends with the context or the dialer's timeout.
func TestTransportDialTimeout(t *testing.T) {
	onlyLinux(t)
	address := deafListener(t)
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		tr := &scgi.Transport{Network: "tcp", Address: address}
		_, err := tr.RoundTrip(postOf(t, nil).WithContext(ctx))
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := time.AfterFunc(10*time.Millisecond, func() { cancel(errBroken) })
		defer stop.Stop()
		tr := &scgi.Transport{Network: "tcp", Address: address}
		_, err := tr.RoundTrip(postOf(t, nil).WithContext(ctx))
		assert.ErrorIs(t, err, errBroken)
	})
	t.Run("DialContext", func(t *testing.T) {
		tr := &scgi.Transport{Network: "tcp", Address: address, DialContext: (&net.Dialer{Timeout: 10 * time.Millisecond}).DialContext}
		_, err := tr.RoundTrip(postOf(t, nil))
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
	})
}

// deafListener is an address of which the queue is full and stays so.
func deafListener(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	addr, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: addr.(*syscall.SockaddrInet4).Port}).String()
	for { // until it is full
		conn, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

// What http.Client does beyond one request works: redirects with cookies and
// with the body sent again, and its timeout.
func TestTransportUnderClient(t *testing.T) {
	for _, network := range networks {
		hang := make(chan struct{})
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/login":
				http.SetCookie(w, &http.Cookie{Name: "who", Value: "alice", Path: "/"})
				w.Header().Set("Location", "/again")
				w.WriteHeader(http.StatusTemporaryRedirect)
			case "/again":
				w.Header().Set("Location", "http://example.org/home?a=b")
				w.WriteHeader(http.StatusSeeOther)
			case "/hang":
				<-hang
			}
			body, _ := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+" "+r.Header.Get("Cookie")+" "+string(body))
		})})
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		var bodies []string
		client := &http.Client{Transport: s.Transport(), Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.GetBody != nil {
				body, err := r.GetBody()
				require.NoError(t, err)
				text, err := io.ReadAll(body)
				require.NoError(t, err)
				bodies = append(bodies, string(text))
			}
			return nil
		}}
		resp, err := client.Post("http://example.org/login", "text/plain", strings.NewReader("secret"))
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "GET /home?a=b who=alice ", string(body))
		assert.Equal(t, []string{"secret"}, bodies, "the 307 has the body, the 303 has none")

		client.Timeout = 10 * time.Millisecond
		_, err = client.Get("http://example.org/hang")
		var asURL *url.Error
		require.ErrorAs(t, err, &asURL)
		assert.True(t, asURL.Timeout())
		assert.True(t, errors.Is(err, context.DeadlineExceeded))
		close(hang)
	}
}

// A connection of DialContext's may have no address.
func TestTransportWithoutRemoteAddr(t *testing.T) {
	for _, raw := range []string{"Status: 200 OK\r\n\r\nhello", "Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello"} {
		tr := &scgi.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				if _, err := scgi.ReadHeader(bufio.NewReader(theirs), 0); assert.NoError(t, err) {
					_, _ = io.WriteString(theirs, raw) // the client sees what is missing
				}
			}()
			return addressless{ours}, nil
		}}
		resp, err := tr.RoundTrip(postOf(t, nil))
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		assert.NoError(t, err)
		assert.Equal(t, "hello", string(body))
	}
}

type addressless struct{ net.Conn }

func (addressless) RemoteAddr() net.Addr { return nil }

// SCGI cannot carry a path with a NUL. nginx answers 400 to it, and so does Transport,
// without the application.
func TestTransportPathWithNUL(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST"} {
		body := newTrackedBody(strings.NewReader("body"))
		r, err := http.NewRequest(method, "http://example.org/a%00b?c", body)
		require.NoError(t, err)
		resp, err := (&scgi.Transport{}).RoundTrip(r)
		require.NoError(t, err)
		assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
		assert.Equal(t, r, resp.Request)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, method == "HEAD", len(text) == 0)
		await(t, "the request's body to be closed", body.closed)
	}
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) { assert.Equal(t, "b=%00", r.URL.RawQuery) })
	resp, err := s.Client().Get("http://example.org/a?b=%00")
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, resp.StatusCode, "in a query it stays encoded")
	require.NoError(t, resp.Body.Close())
}
