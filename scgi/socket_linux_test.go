package scgi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	scgilisten "github.com/windsock-scgi/windsock/scgi/listen"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file is about connections that are not package net's until they have to
// wait.

// serverConn is what a server's connection can do.
type serverConn interface {
	closeWriter
	File() (*os.File, error)
	SetLinger(int) error
}

// socketPair is a server's connection and its peer's end.
func socketPair(t testing.TB) (server serverConn, peer *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	file := os.NewFile(uintptr(fds[1]), "")
	defer file.Close() // FileConn makes a copy
	conn, err := net.FileConn(file)
	require.NoError(t, err)
	server = scgi.NewSocket(fds[0], true).(serverConn)
	t.Cleanup(func() {
		_ = server.Close() // most tests have
		_ = conn.Close()
	})
	return server, conn.(*net.UnixConn)
}

// ways in which a connection may be when something happens to it.
var waitedOrNot = map[string]func(*testing.T, serverConn){
	"never waited": func(*testing.T, serverConn) {},
	"has waited": func(t *testing.T, c serverConn) {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Time{}))
	},
}

func onWaitedOrNot(t *testing.T, test func(t *testing.T, server serverConn, peer *net.UnixConn)) {
	for name, prepare := range waitedOrNot {
		t.Run(name, func(t *testing.T) {
			server, peer := socketPair(t)
			prepare(t, server)
			test(t, server, peer)
		})
	}
}

func TestSocketReadsAndWrites(t *testing.T) {
	onWaitedOrNot(t, func(t *testing.T, server serverConn, peer *net.UnixConn) {
		large := strings.Repeat("0123456789", 200_000) // more than a socket holds
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(peer, large)
			sent <- errors.Join(err, peer.CloseWrite())
		}()
		got, err := io.ReadAll(server)
		require.NoError(t, err, "EOF as it is, not wrapped")
		require.NoError(t, await(t, "the peer", sent))
		assert.True(t, string(got) == large)

		go func() {
			n, err := io.WriteString(server, large)
			assert.Equal(t, len(large), n)
			sent <- errors.Join(err, server.CloseWrite())
		}()
		got, err = io.ReadAll(peer)
		require.NoError(t, err)
		require.NoError(t, await(t, "the server", sent))
		assert.True(t, string(got) == large)
	})
}

// Errors are those of package net.
func TestSocketErrors(t *testing.T) {
	onWaitedOrNot(t, func(t *testing.T, server serverConn, peer *net.UnixConn) {
		past := time.Unix(1, 0)
		_, err := peer.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, server.SetDeadline(past))
		_, readErr := server.Read(make([]byte, 1))
		_, writeErr := server.Write([]byte("x"))
		for _, err := range []error{readErr, writeErr} {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, "though it would not have to wait")
			var operation *net.OpError
			require.ErrorAs(t, err, &operation)
			assert.True(t, operation.Timeout())
			assert.Equal(t, "unix", operation.Net)
		}
		require.NoError(t, server.SetDeadline(time.Time{}))
		n, err := server.Read(make([]byte, 9))
		require.NoError(t, err)
		assert.Equal(t, 1, n)

		require.NoError(t, peer.Close())
		_, err = server.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		require.NoError(t, server.Close())
		_, readErr = server.Read(make([]byte, 1))
		_, writeErr = server.Write([]byte("x"))
		_, fileErr := server.File()
		for _, err := range []error{readErr, writeErr, fileErr, server.CloseWrite(), server.Close()} {
			require.ErrorIs(t, err, net.ErrClosed)
		}
	})
}

// Whoever waits is woken, by a deadline and by a close.
func TestSocketWakes(t *testing.T) {
	for name, wake := range map[string]func(serverConn) error{
		"deadline": func(c serverConn) error { return c.SetReadDeadline(time.Unix(1, 0)) },
		"close":    func(c serverConn) error { return c.Close() },
	} {
		server, _ := socketPair(t)
		ended := make(chan error, 1)
		go func() {
			_, err := server.Read(make([]byte, 1))
			ended <- err
		}()
		require.NoError(t, wake(server))
		assert.Error(t, await(t, name, ended), "before or while it waits")
	}
}

// A descriptor's number is given anew at once. Nobody may meet the connection
// that has it then: each peer sends and gets nothing but its own mark.
func TestSocketNumbersGivenAnew(t *testing.T) {
	const rounds = 2000
	var others sync.WaitGroup
	defer others.Wait()
	for i := range rounds {
		mark := byte('a' + i%23) // so that neighbours differ
		server, peer := socketPair(t)
		_, err := peer.Write([]byte{mark, mark})
		require.NoError(t, err)
		begin := make(chan struct{})
		use := func(f func()) { others.Go(func() { <-begin; f() }) }
		use(func() {
			buf := make([]byte, 8)
			n, _ := server.Read(buf) // or it is closed by then
			for _, got := range buf[:n] {
				assert.Equal(t, mark, got)
			}
		})
		use(func() { _, _ = server.Write([]byte{mark}) })
		use(func() { _ = server.SetDeadline(time.Unix(1, 0)) })
		use(func() { _ = server.CloseWrite() })
		use(func() { _ = server.Close() })
		use(func() {
			if file, err := server.File(); err == nil {
				assert.NoError(t, file.Close())
			}
		})
		close(begin)
		if i%2 == 0 {
			_ = server.Close() // and the next pair gets the number
		}
		got, err := io.ReadAll(peer)
		if err != nil {
			require.ErrorIs(t, err, syscall.ECONNRESET) // what it had sent was not read
		}
		for _, c := range got {
			require.Equal(t, mark, c)
		}
		require.NoError(t, peer.Close())
	}
}

// The same through a server: connections are broken off from outside while they
// are answered and others are accepted. An answer is whole, cut or missing, but
// never another's.
func TestServersBrokenOffUnderLoad(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			l := listen(t, network)
			address := l.Addr()
			for range 20 {
				srv := quiet(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, strings.Repeat(r.URL.RawQuery, 3000))
				})
				onNetwork(network, srv)
				require.NoError(t, srv.Start(l))
				var clients sync.WaitGroup
				answered := make(chan struct{}, 1000)
				for i := range 8 {
					mark := string(rune('a' + i))
					clients.Go(func() {
						for {
							c, err := net.Dial(address.Network(), address.String())
							if err != nil {
								return
							}
							_, _ = c.Write(scgitest.Get("/?" + mark))
							answer, _ := io.ReadAll(c)
							_ = c.Close()
							if _, body, _ := strings.Cut(string(answer), "\r\n\r\n"); body != "" {
								assert.Empty(t, strings.Trim(body, mark))
								select {
								case answered <- struct{}{}:
								default:
								}
							}
							if isClosed(srv.Done()) {
								return
							}
						}
					})
				}
				for range 20 {
					await(t, "an answer", answered)
				}
				require.NoError(t, srv.Close())
				await(t, "Done", srv.Done())
				clients.Wait()
				l = listenAgain(t, network, address)
			}
			require.NoError(t, l.Close())
		})
	}
}

func listenAgain(t *testing.T, network string, address net.Addr) net.Listener {
	t.Helper()
	l, err := net.Listen(address.Network(), address.String())
	if err != nil {
		require.ErrorIs(t, err, syscall.EADDRINUSE, "taken meanwhile, or its file is still there")
		return listen(t, network)
	}
	return l
}

// What a hijacker and a hook get is package net's.
func TestSocketIsNets(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			hijacked := make(chan net.Conn, 1)
			s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
				conn, rw, err := http.NewResponseController(w).Hijack()
				assert.NoError(t, err)
				assert.Equal(t, local, conn.LocalAddr())
				line, err := rw.ReadString('\n')
				assert.NoError(t, err)
				_, _ = rw.WriteString("heard " + line)
				assert.NoError(t, rw.Flush())
				hijacked <- conn
			})})
			c := dial(t, s)
			defer c.Close()
			_, err := c.Write(append(scgitest.Get("/"), "half"...))
			require.NoError(t, err)
			_, err = c.Write([]byte(" and half\n"))
			require.NoError(t, err)
			conn := await(t, "the hijacker", hijacked)
			if s.Network == "unix" {
				assert.IsType(t, (*net.UnixConn)(nil), conn)
			} else {
				assert.IsType(t, (*net.TCPConn)(nil), conn)
				assert.Equal(t, c.LocalAddr(), conn.RemoteAddr())
			}
			require.NoError(t, conn.Close())
			answer, err := io.ReadAll(c)
			require.NoError(t, err)
			assert.Equal(t, "heard half and half\n", string(answer))
		})
	}
}

// around is a listener that somebody has put around another one.
type around struct{ *scgilisten.Listener }

func (l around) Accept() (net.Conn, error) { return l.Listener.Accept() }

// Only where Accept adds nothing, and nobody wants to see its connections, is it
// gone around.
func TestQuickListeners(t *testing.T) {
	open := func(addr string) *scgilisten.Listener {
		l, err := scgilisten.Listen(t.Context(), addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() }) // there may be nothing left of it
		return l
	}
	unix := open("unix:" + t.TempDir() + "/s")
	for name, row := range map[string]struct {
		srv   *scgi.Server
		l     net.Listener
		quick bool
	}{
		"unix":                  {&scgi.Server{}, listenUntilEnd(t, "unix"), true},
		"tcp":                   {&scgi.Server{}, listenUntilEnd(t, "tcp"), true},
		"of listen":             {&scgi.Server{}, unix, true},
		"of listen, tcp":        {&scgi.Server{}, open("tcp:127.0.0.1:0"), true},
		"embedded":              {&scgi.Server{}, around{unix}, false},
		"allow":                 {&scgi.Server{}, open("tcp:127.0.0.1:0?allow=127.0.0.1"), false},
		"proxy":                 {&scgi.Server{}, open("tcp:127.0.0.1:0?proxy=127.0.0.1"), false},
		"in memory":             {&scgi.Server{}, newMemoryListener(), false},
		"with ConnContext":      {&scgi.Server{ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return ctx }}, listenUntilEnd(t, "unix"), false},
		"with ConnState":        {&scgi.Server{ConnState: func(net.Conn, http.ConnState) {}}, listenUntilEnd(t, "unix"), false},
		"something else of net": {&scgi.Server{}, struct{ net.Listener }{listenUntilEnd(t, "tcp")}, false},
	} {
		assert.Equal(t, row.quick, scgi.IsQuick(row.srv, row.l), name)
	}
}

// listenUntilEnd is listen, and closes at the end.
func listenUntilEnd(t *testing.T, network string) net.Listener {
	l := listen(t, network)
	t.Cleanup(func() { _ = l.Close() }) // there may be nothing left of it
	return l
}

// socketOptions are TCP_NODELAY, SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL and
// TCP_KEEPCNT.
type socketOptions [5]int

func optionsOf(t *testing.T, conn net.Conn) (got socketOptions) {
	raw, err := conn.(interface{ File() (*os.File, error) }).File()
	assert.NoError(t, err)
	defer raw.Close()
	fd := int(raw.Fd())
	got[0], _ = syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
	got[1], _ = syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
	for i, name := range []int{syscall.TCP_KEEPIDLE, syscall.TCP_KEEPINTVL, syscall.TCP_KEEPCNT} {
		if got[1] == 1 { // else they mean nothing
			got[2+i], _ = syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, name)
		}
	}
	assert.NoError(t, syscall.SetNonblock(fd, true)) // which Fd undoes
	return got
}

// Connections have the socket options that package net would set, and as the owner of
// the listener has chosen them.
func TestSocketOptions(t *testing.T) {
	for name, row := range map[string]struct {
		config net.ListenConfig
		want   socketOptions
	}{
		"default": {net.ListenConfig{}, socketOptions{1, 1, 15, 15, 9}},
		"none":    {net.ListenConfig{KeepAlive: -1}, socketOptions{1}},
		"period":  {net.ListenConfig{KeepAlive: 40 * time.Second}, socketOptions{1, 1, 40, 15, 9}},
		"config": {net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 3 * time.Second, Count: 5}},
			socketOptions{1, 1, 7, 3, 5}},
	} {
		for _, network := range []string{"tcp", "tcp" + portably} {
			t.Run(name+", "+network, func(t *testing.T) {
				l, err := row.config.Listen(t.Context(), "tcp", "127.0.0.1:0")
				require.NoError(t, err)
				options := make(chan socketOptions, 1)
				s := quiet(func(_ http.ResponseWriter, r *http.Request) { options <- optionsOf(t, scgi.ConnOf(r)) })
				onNetwork(network, s)
				require.NoError(t, s.Start(l))
				defer s.Close()
				for range 3 {
					c, err := net.Dial("tcp", l.Addr().String())
					require.NoError(t, err)
					_, err = c.Write(scgitest.Get("/"))
					require.NoError(t, err)
					assert.Equal(t, row.want, await(t, "the options", options))
					require.NoError(t, c.Close())
				}
			})
		}
	}
}
