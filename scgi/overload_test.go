package scgi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file tests that a stop ends while clients keep coming, and that it waits for
// the right requests.

// clients connect to a listener and send a request.
type clients struct {
	l   net.Listener
	mu  sync.Mutex // guards all
	all []net.Conn
}

// come adds a client. It may find the listener closed.
func (c *clients) come() error {
	conn, err := net.Dial(c.l.Addr().Network(), c.l.Addr().String())
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.all = append(c.all, conn)
	c.mu.Unlock()
	_, err = conn.Write(scgitest.Get("/"))
	return err
}

func (c *clients) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		_ = conn.Close() // it was read or not
	}
}

// Shutdown serves the clients that are queued when it begins. It does not serve
// later ones, here one for each request that it serves: there would be no end.
func TestShutdownUnderConstantOverload(t *testing.T) {
	onlyLinux(t)
	const queued = 20
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			crowd := &clients{l: listen(t, network)}
			defer crowd.leave()
			inHandler, release := make(chan struct{}), make(chan struct{})
			var handled atomic.Int64
			s := quiet(func(http.ResponseWriter, *http.Request) {
				if handled.Add(1) > 1 {
					_ = crowd.come() // at the end the listener is closed
					return
				}
				close(inHandler)
				<-release
			})
			s.MaxConns = 1
			onNetwork(network, s)
			require.NoError(t, s.Start(crowd.l))
			require.NoError(t, crowd.come())
			await(t, "the first request", inHandler)
			for range queued {
				require.NoError(t, crowd.come())
			}
			ctx, cancel := context.WithTimeout(t.Context(), tooLong)
			defer cancel()
			shut := make(chan error, 1)
			go func() { shut <- s.Shutdown(ctx) }()
			await(t, "the beginning of Shutdown", scgi.Draining(s))
			close(release)
			assert.NoError(t, await(t, "the end of Shutdown", shut), "it is not forced")
			assert.EqualValues(t, 1+queued, s.Stats().Requests)
			for _, conn := range crowd.all[:1+queued] {
				answer, err := io.ReadAll(conn)
				assert.NoError(t, err)
				assert.True(t, strings.HasPrefix(string(answer), ok200), "%q", answer)
			}
		})
	}
}

// exhausted is a listener that has no descriptor left for a while.
type exhausted struct {
	socket
	draining <-chan struct{}
	left     int // failures
}

func (l *exhausted) Accept() (net.Conn, error) {
	if isClosed(l.draining) && l.left > 0 {
		l.left--
		return nil, os.NewSyscallError("accept4", syscall.EMFILE)
	}
	return l.socket.Accept()
}

// A queued client is served although no descriptor is left for it at first.
func TestShutdownOutOfDescriptors(t *testing.T) {
	onlyLinux(t)
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			l := &exhausted{socket: listen(t, network).(socket), left: 3}
			crowd := &clients{l: l}
			defer crowd.leave()
			inHandler, release := make(chan struct{}, 2), make(chan struct{})
			s := quiet(func(http.ResponseWriter, *http.Request) {
				inHandler <- struct{}{}
				<-release
			})
			s.MaxConns = 1
			l.draining = scgi.Draining(s)
			require.NoError(t, s.Start(l))
			require.NoError(t, crowd.come())
			await(t, "the first request", inHandler)
			require.NoError(t, crowd.come())
			shut := make(chan error, 1)
			go func() { shut <- s.Shutdown(context.Background()) }()
			await(t, "the beginning of Shutdown", scgi.Draining(s))
			close(release)
			assert.NoError(t, await(t, "the end of Shutdown", shut))
			assert.EqualValues(t, 2, s.Stats().Requests)
		})
	}
}

// A context of another server's request is no reason to wait for fewer requests.
func TestShutdownFromAnotherServersHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var ended atomic.Bool
		b := quiet(func(http.ResponseWriter, *http.Request) {
			<-release
			ended.Store(true)
		})
		lb := startMemory(t, b)
		a := quiet(func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, b.Shutdown(r.Context()))
			assert.True(t, ended.Load(), "the request of b has ended")
			assert.True(t, isClosed(b.Done()))
		})
		la := startMemory(t, a)
		lb.send(t, scgitest.Get("/"))
		c := la.send(t, scgitest.Get("/"))
		time.Sleep(time.Minute)
		assert.False(t, isClosed(b.Done()))
		close(release)
		assert.Contains(t, c.rest(t), "200")
	})
}

// A request of b whose context descends from a request of a does not make a wait
// for that one, which would be a wait for itself.
func TestShutdownFromARequestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b *scgi.Server
		b = quiet(func(_ http.ResponseWriter, r *http.Request) { assert.NoError(t, a.Shutdown(r.Context())) })
		a = quiet(func(_ http.ResponseWriter, r *http.Request) {
			b.BaseContext = func(net.Listener) context.Context { return r.Context() }
			assert.Contains(t, startMemory(t, b).ask(t, scgitest.Get("/")), "200")
		})
		l := startMemory(t, a)
		assert.Contains(t, l.ask(t, scgitest.Get("/")), "200")
		<-a.Done()
	})
}

// Handlers of a that come and go shut b down with their contexts, and it is safe.
func TestShutdownFromManyOfAnotherServer(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			release := make(chan struct{})
			b := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })})
			a := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				go b.Config.Shutdown(r.Context())
			})})
			waiting := dial(t, b)
			defer waiting.Close()
			_, err := waiting.Write(scgitest.Get("/"))
			require.NoError(t, err)
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 20 {
						_, err := a.Send(scgitest.Get("/"))
						assert.NoError(t, err)
					}
				})
			}
			all.Wait()
			close(release)
			await(t, "Done", b.Config.Done())
		})
	}
}
