package scgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file is the life of a server on real sockets.

// tooLong is how long a test waits for what has to come: its failure, not its
// pace.
const tooLong = 30 * time.Second

// await waits for a channel.
func await[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(tooLong):
		require.Fail(t, what+" does not come")
	}
	return v
}

// listen listens on that network. The name of a unix socket is short.
func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	network, _ = strings.CutSuffix(network, portably)
	addr := "127.0.0.1:0"
	if network == "unix" {
		folder, err := os.MkdirTemp("", "scgi")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(folder) }) // at worst it stays in the temporary folder
		addr = filepath.Join(folder, "s")
	}
	l, err := net.Listen(network, addr)
	require.NoError(t, err)
	return l
}

// The race that habitat worked around: a Shutdown that comes while the server
// starts must neither be lost nor hang.
func TestHabitatStartShutdownRace(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), tooLong)
	defer cancel()
	var before, after int
	for i := range 1000 {
		l := listen(t, serverNetworks[i%4])
		s := quiet(ok)
		onNetwork(serverNetworks[i%4], s)
		begin := make(chan struct{})
		started, shut := make(chan error, 1), make(chan error, 1)
		go func() {
			<-begin
			if i%8 < 4 {
				started <- s.Start(l)
			} else {
				started <- s.Serve(l)
			}
		}()
		go func() {
			<-begin
			shut <- s.Shutdown(ctx)
		}()
		close(begin)
		require.NoError(t, await(t, "the end of Shutdown", shut))
		if err := await(t, "the end of Start", started); err != nil {
			require.Equal(t, scgi.ErrServerClosed, err)
		}
		await(t, "Done", s.Done())
		require.Equal(t, scgi.ErrServerClosed, s.Err())
		_, err := l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		if isClosed(s.Serving()) {
			after++
		} else {
			before++
		}
	}
	t.Logf("Shutdown was first %d times, Start %d times", before, after)
}

// Whoever has never heard of Shutdown closes the listener.
func TestClosingTheListenerEndsServe(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			l := listen(t, network)
			s := quiet(ok)
			onNetwork(network, s)
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			await(t, "Serving", s.Serving())
			require.NoError(t, l.Close())
			require.ErrorIs(t, await(t, "the end of Serve", served), net.ErrClosed)
			await(t, "Done", s.Done())
			require.ErrorIs(t, s.Err(), net.ErrClosed)
		})
	}
}

// socket is what net's listeners have in common.
type socket interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
}

// queueing is a server whose only place is taken, so that clients queue.
type queueing struct {
	*scgi.Server
	release chan struct{} // close it to give the place free
	first   net.Conn
}

func startQueueing(t *testing.T, network string, l net.Listener) *queueing {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the queue cannot be looked at")
	}
	q := &queueing{release: make(chan struct{})}
	inHandler := make(chan struct{}, 100)
	q.Server = quiet(func(http.ResponseWriter, *http.Request) {
		inHandler <- struct{}{}
		<-q.release
	})
	q.MaxConns = 1
	onNetwork(network, q.Server)
	require.NoError(t, q.Start(l))
	var err error
	q.first, err = net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(t, err)
	_, err = q.first.Write(scgitest.Get("/"))
	require.NoError(t, err)
	await(t, "the first request", inHandler)
	return q
}

// Whoever waits in the kernel's queue when Shutdown begins is served.
func TestShutdownServesQueue(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			l := listen(t, network)
			q := startQueueing(t, network, l)
			var queued []net.Conn
			for range 20 {
				c, err := net.Dial(l.Addr().Network(), l.Addr().String())
				require.NoError(t, err)
				_, err = c.Write(scgitest.Get("/"))
				require.NoError(t, err)
				queued = append(queued, c)
			}
			shut := make(chan error, 1)
			go func() { shut <- q.Shutdown(context.Background()) }()
			await(t, "the beginning of Shutdown", scgi.Draining(q.Server))
			close(q.release)
			for _, c := range append(queued, q.first) {
				answer, err := io.ReadAll(c)
				assert.NoError(t, err)
				assert.True(t, strings.HasPrefix(string(answer), ok200), "%q", answer)
				require.NoError(t, c.Close())
			}
			assert.NoError(t, await(t, "the end of Shutdown", shut))
			assert.Equal(t, uint64(21), q.Stats().Requests)
			_, err := net.Dial(l.Addr().Network(), l.Addr().String())
			assert.Error(t, err)
		})
	}
}

// movable is a listener that can be moved aside.
type movable struct {
	socket
	moved chan struct{}
}

func (l movable) MoveAside() error { close(l.moved); return os.Remove(l.Addr().String()) }

// Direct lets a server use the descriptor, as listen.Listener does.
func (l movable) Direct(net.Listener) net.Listener { return l.socket }

// A listener of ours is moved aside first: nobody new finds it.
func TestShutdownMovesAside(t *testing.T) {
	for _, network := range []string{"unix", "unix" + portably} {
		t.Run(network, func(t *testing.T) {
			l := movable{listen(t, network).(socket), make(chan struct{})}
			q := startQueueing(t, network, l)
			queued, err := net.Dial("unix", l.Addr().String())
			require.NoError(t, err)
			_, err = queued.Write(scgitest.Get("/"))
			require.NoError(t, err)
			shut := make(chan error, 1)
			go func() { shut <- q.Shutdown(context.Background()) }()
			await(t, "MoveAside", l.moved)
			close(q.release)
			answer, err := io.ReadAll(queued)
			assert.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(answer), ok200))
			assert.NoError(t, await(t, "the end of Shutdown", shut))
			require.NoError(t, q.first.Close())
			require.NoError(t, queued.Close())
		})
	}
}

// heirloom is a listener that was inherited.
type heirloom struct{ socket }

func (heirloom) Inherited() bool { return true }

func (l heirloom) Direct(net.Listener) net.Listener { return l.socket }

// The queue of an inherited listener is left to whoever inherits it next.
func TestShutdownLeavesInheritedQueue(t *testing.T) {
	onBothWays(t, "unix", testInherited)
}

func testInherited(t *testing.T, network string) {
	l := listen(t, network).(*net.UnixListener)
	l.SetUnlinkOnClose(false)
	file, err := l.File() // the other process's
	require.NoError(t, err)
	defer file.Close()
	q := startQueueing(t, network, heirloom{l})
	queued, err := net.Dial("unix", l.Addr().String())
	require.NoError(t, err)
	_, err = queued.Write(scgitest.Get("/"))
	require.NoError(t, err)
	shut := make(chan error, 1)
	go func() { shut <- q.Shutdown(context.Background()) }()
	await(t, "the beginning of Shutdown", scgi.Draining(q.Server))
	close(q.release)
	require.NoError(t, await(t, "the end of Shutdown", shut))
	assert.Equal(t, uint64(1), q.Stats().Requests)

	heir, err := net.FileListener(file)
	require.NoError(t, err)
	next := quiet(ok)
	onNetwork(network, next)
	require.NoError(t, next.Start(heir))
	answer, err := io.ReadAll(queued)
	assert.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(answer), ok200))
	require.NoError(t, next.Shutdown(t.Context()))
	require.NoError(t, q.first.Close())
	require.NoError(t, queued.Close())
}

// underLoad runs clients until the server is gone, and stop after the server has
// answered a good many. Every answer is whole or missing.
func underLoad(t *testing.T, network string, stop func(*scgi.Server)) {
	const workers, enough = 16, 300
	var answered atomic.Int64
	enoughAnswered := make(chan struct{})
	s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		if answered.Add(1) == enough {
			close(enoughAnswered)
		}
	})})
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for !isClosed(s.Config.Done()) {
				answer, err := s.Send(scgitest.Post("/", "body"))
				if err == nil && len(answer) > 0 {
					assert.True(t, strings.HasPrefix(string(answer), ok200), "%q", answer)
					assert.True(t, strings.HasSuffix(string(answer), "\r\n\r\nbody"), "%q", answer)
				}
			}
		})
	}
	await(t, "enough answers", enoughAnswered)
	stop(s.Config)
	await(t, "Done", s.Config.Done())
	assert.Equal(t, scgi.ErrServerClosed, s.Config.Err())
	assert.Zero(t, s.Config.Stats().Open)
	assert.Zero(t, s.Config.Stats().Panics)
	wait.Wait()
}

func TestCloseUnderLoad(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			underLoad(t, network, func(s *scgi.Server) { assert.NoError(t, s.Close()) })
		})
	}
}

func TestShutdownUnderLoad(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			underLoad(t, network, func(s *scgi.Server) {
				ctx, cancel := context.WithTimeout(t.Context(), tooLong)
				defer cancel()
				assert.NoError(t, s.Shutdown(ctx))
			})
		})
	}
}

// openFiles counts the process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("descriptors cannot be counted here")
	}
	require.NoError(t, err)
	return len(entries)
}

// However requests end, no descriptor is left.
func TestDescriptors(t *testing.T) {
	run := func(network string) {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/watch":
				_ = r.Context().Done()
			case "/gone":
				<-r.Context().Done()
			case "/panic":
				panic(http.ErrAbortHandler)
			case "/exit":
				runtime.Goexit()
			case "/hijack":
				_ = r.Context().Done()
				conn, _, err := http.NewResponseController(w).Hijack()
				assert.NoError(t, err)
				assert.NoError(t, conn.Close())
			case "/proxy":
				resp, err := (&scgi.Transport{Network: r.Host, Address: r.URL.RawQuery}).RoundTrip(r.Clone(r.Context()))
				assert.Error(t, err)
				assert.Nil(t, resp)
			}
		})})
		for _, path := range []string{"/", "/watch", "/panic", "/exit", "/hijack", "/proxy"} {
			_, _ = s.Send(scgitest.Post(path, "body")) // some are broken off
		}
		for _, raw := range []string{"", "57:CONT", "GET / HTTP/1.0\r\n", string(scgitest.Get("/gone"))} {
			conn := dial(t, s)
			_, err := conn.Write([]byte(raw))
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}
		resp, err := s.Client().Get("http://example.org/")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		s.Close()
	}
	for _, network := range serverNetworks {
		run(network) // what is opened once for good is open now
		before := openFiles(t)
		for range 10 {
			run(network)
		}
		assert.Equal(t, before, openFiles(t), network)
	}
}

// Once Shutdown has returned, the address is free.
func TestServersOnOnePort(t *testing.T) {
	onBothWays(t, "tcp", testServersOnOnePort)
}

func testServersOnOnePort(t *testing.T, network string) {
	l := listen(t, network)
	first := quiet(ok)
	onNetwork(network, first)
	require.NoError(t, first.Start(l))
	require.NoError(t, first.Shutdown(t.Context()))
	again, err := net.Listen("tcp", l.Addr().String())
	require.NoError(t, err)
	second := quiet(ok)
	require.NoError(t, second.Start(again))
	s := &scgitest.Server{Config: second, Network: "tcp", Address: l.Addr().String()}
	answer, err := s.Send(scgitest.Get("/"))
	require.NoError(t, err)
	assert.Contains(t, string(answer), fmt.Sprint(http.StatusOK))
	s.Close()
}
