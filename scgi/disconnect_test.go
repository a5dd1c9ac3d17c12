package scgi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file is about front ends that go away.

func onlyLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("nothing is watched here")
	}
}

// ways in which a front end may end a connection.
var ways = map[string]func(t *testing.T, c closeWriter){
	"close":      func(t *testing.T, c closeWriter) { require.NoError(t, c.Close()) },
	"half-close": func(t *testing.T, c closeWriter) { require.NoError(t, c.CloseWrite()) },
	"reset": func(t *testing.T, c closeWriter) {
		require.NoError(t, c.(*net.TCPConn).SetLinger(0))
		require.NoError(t, c.Close())
	},
}

// endings are what ends a request's context.
var endings = []ending{
	{"unix", "close", false}, {"unix", "close", true},
	{"tcp", "close", false}, {"tcp", "half-close", false},
	{"tcp", "reset", false}, {"tcp", "reset", true},
	{"unix" + portably, "close", false}, {"unix" + portably, "close", true},
	{"tcp" + portably, "close", false}, {"tcp" + portably, "half-close", false},
	{"tcp" + portably, "reset", false}, {"tcp" + portably, "reset", true},
}

type ending struct {
	network, way   string
	allowHalfClose bool
}

func (e ending) String() string {
	name := e.network + ", " + e.way
	if e.allowHalfClose {
		name += ", AllowHalfClose"
	}
	return name
}

// Done shows it.
func TestDisconnectEnds(t *testing.T) {
	onlyLinux(t)
	for _, row := range endings {
		t.Run(row.String(), func(t *testing.T) {
			inHandler, ended := make(chan struct{}), make(chan error, 1)
			s := startOn(t, row.network, &scgi.Server{AllowHalfClose: row.allowHalfClose,
				Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					assert.NoError(t, r.Context().Err())
					done := r.Context().Done()
					assert.Equal(t, done, r.Context().Done(), "it is one channel")
					derived, cancel := context.WithCancel(r.Context())
					defer cancel()
					close(inHandler)
					await(t, "the end of the context", done)
					await(t, "the end of one that descends from it", derived.Done())
					ended <- r.Context().Err()
				})})
			c := dial(t, s)
			defer c.Close()
			_, err := c.Write(scgitest.Post("/", "body"))
			require.NoError(t, err)
			await(t, "the handler", inHandler)
			ways[row.way](t, c)
			assert.Equal(t, context.Canceled, await(t, "the handler's end", ended))
		})
	}
}

// Err shows it too, to a handler that polls, and so does Cause.
func TestDisconnectShowsInErr(t *testing.T) {
	onlyLinux(t)
	for _, row := range endings {
		t.Run(row.String(), func(t *testing.T) {
			inHandler, left, seen := make(chan struct{}), make(chan struct{}), make(chan struct{})
			s := startOn(t, row.network, &scgi.Server{AllowHalfClose: row.allowHalfClose,
				Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					defer close(seen)
					ctx := r.Context()
					assert.NoError(t, ctx.Err())
					assert.NoError(t, context.Cause(ctx))
					close(inHandler)
					await(t, "the front end's going away", left)
					assert.Eventually(t, func() bool { return ctx.Err() != nil }, tooLong, time.Millisecond)
					assert.Equal(t, context.Canceled, ctx.Err())
					assert.Equal(t, context.Canceled, context.Cause(ctx))
					assert.True(t, isClosed(ctx.Done()))
					derived, cancel := context.WithTimeout(ctx, time.Hour)
					defer cancel()
					assert.Equal(t, context.Canceled, derived.Err())
				})})
			c := dial(t, s)
			defer c.Close()
			_, err := c.Write(scgitest.Post("/", "body"))
			require.NoError(t, err)
			await(t, "the handler", inHandler)
			ways[row.way](t, c)
			close(left)
			await(t, "the handler's end", seen)
		})
	}
}

// Err takes no allocation while the front end is there.
func TestErrTakesNoAllocation(t *testing.T) {
	onlyLinux(t)
	for _, network := range []string{"unix", "tcp"} {
		allocations := make(chan float64, 1)
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			allocations <- testing.AllocsPerRun(100, func() { assert.NoError(t, ctx.Err()) })
		})})
		_, err := s.Send(scgitest.Get("/"))
		require.NoError(t, err)
		assert.Zero(t, await(t, "the handler", allocations), network)
	}
}

// A context ends for the cause that came first, as under net/http.
func TestContextCause(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			base, cancel := context.WithCancelCause(context.Background())
			contexts := make(chan context.Context, 1)
			s := startOn(t, network, &scgi.Server{
				BaseContext: func(net.Listener) context.Context { return base },
				Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/base" {
						cancel(errBroken)
						assert.Equal(t, context.Canceled, r.Context().Err())
						assert.Equal(t, errBroken, context.Cause(r.Context()))
					}
					contexts <- r.Context()
				})})
			_, err := s.Send(scgitest.Get("/"))
			require.NoError(t, err)
			returned := await(t, "a context", contexts)
			await(t, "the end of the request", returned.Done())
			unasked := func() context.Context {
				_, err := s.Send(scgitest.Get("/"))
				require.NoError(t, err)
				return await(t, "a context", contexts)
			}()
			_, err = s.Send(scgitest.Get("/base"))
			require.NoError(t, err)
			for _, ctx := range []context.Context{returned, unasked} {
				assert.Equal(t, context.Canceled, ctx.Err())
				assert.Equal(t, context.Canceled, context.Cause(ctx), "base ended later")
			}
		})
	}
}

// What does not: a half-close where it can be told from a close, or need not be.
// Another connection's close, which comes later and is seen, shows that there was
// time to see it.
func TestDisconnectDoesNotEnd(t *testing.T) {
	onlyLinux(t)
	for _, row := range []struct {
		network        string
		allowHalfClose bool
	}{
		{"unix", false}, {"unix", true}, {"tcp", true},
		{"unix" + portably, false}, {"unix" + portably, true}, {"tcp" + portably, true},
	} {
		t.Run(row.network, func(t *testing.T) {
			watched := make(chan struct{}, 2)
			otherEnded := make(chan struct{})
			s := startOn(t, row.network, &scgi.Server{AllowHalfClose: row.allowHalfClose,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					done := r.Context().Done()
					watched <- struct{}{}
					if r.URL.Path == "/other" {
						await(t, "the end of the other context", done)
						close(otherEnded)
						return
					}
					await(t, "the other's end", otherEnded)
					assert.NoError(t, r.Context().Err())
					_, _ = io.WriteString(w, "still here")
				})})
			c, other := dial(t, s), dial(t, s)
			defer c.Close()
			for conn, path := range map[net.Conn]string{c: "/", other: "/other"} {
				_, err := conn.Write(scgitest.Get(path))
				require.NoError(t, err)
				await(t, "the handler", watched)
			}
			require.NoError(t, c.CloseWrite())
			if tcp, ok := other.(*net.TCPConn); ok {
				require.NoError(t, tcp.SetLinger(0))
			}
			require.NoError(t, other.Close())
			answer, err := io.ReadAll(c)
			require.NoError(t, err)
			assert.True(t, strings.HasSuffix(string(answer), "still here"), "%q", answer)
		})
	}
}

// The front end is watched from the first Done on. Before, Err asks once and takes
// no descriptor.
func TestDisconnectIsWatchedFromDoneOn(t *testing.T) {
	onlyLinux(t)
	for _, network := range serverNetworks {
		inHandler, gone, over := make(chan int, 1), make(chan struct{}), make(chan struct{})
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			defer close(over)
			assert.NoError(t, r.Context().Err())
			inHandler <- openFiles(t)
			await(t, "the front end's going away", gone)
			_ = r.Context().Value(http.LocalAddrContextKey)
			_, hasDeadline := r.Context().Deadline()
			assert.False(t, hasDeadline)
			before := openFiles(t)
			done := r.Context().Done()
			if !isClosed(done) { // else it has been seen and the watch may be over
				assert.LessOrEqual(t, openFiles(t), before+1)
			}
			await(t, "the end of the context", done)
			assert.Equal(t, context.Canceled, r.Context().Err())
		})})
		before := openFiles(t)
		c := dial(t, s)
		_, err := c.Write(scgitest.Get("/"))
		require.NoError(t, err)
		assert.Equal(t, before+2, await(t, "the handler", inHandler), "both ends, and nothing to watch them with")
		require.NoError(t, c.Close())
		close(gone)
		await(t, "the handler's end", over)
		s.Close() // or the next count would find what is being closed
	}
}

// Watching takes nothing from the body.
func TestDisconnectLeavesBody(t *testing.T) {
	for _, network := range serverNetworks {
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			done := r.Context().Done()
			_, err := io.Copy(w, r.Body)
			assert.NoError(t, err)
			assert.False(t, isClosed(done))
		})})
		body := strings.Repeat("0123456789", 50_000)
		raw := scgitest.Post("/", body)
		answer, err := s.Send(scgitest.Split(raw, 10_007)...)
		require.NoError(t, err)
		_, got, _ := strings.Cut(string(answer), "\r\n\r\n")
		assert.True(t, body == got, network)
	}
}

// A body that was cut short reads so, whether or not the context is looked at.
func TestDisconnectWithinBody(t *testing.T) {
	for _, network := range serverNetworks {
		read := make(chan error, 1)
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.Equal(t, "half", string(body))
			read <- err
		})})
		c := dial(t, s)
		_, err := c.Write([]byte(lengthed("8", "half")))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		assert.Equal(t, io.ErrUnexpectedEOF, await(t, "the body's end", read))
	}
}

// The watch's own descriptor must not keep a connection open: neither one that
// Close breaks, nor one that was hijacked and closed by its taker.
func TestDisconnectWatchLetsGo(t *testing.T) {
	for _, how := range []string{"Close", "Hijack"} {
		for _, network := range serverNetworks {
			t.Run(how+", "+network, func(t *testing.T) {
				inHandler, release := make(chan struct{}), make(chan struct{})
				s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = r.Context().Done()
					if how == "Hijack" {
						conn, _, err := http.NewResponseController(w).Hijack()
						assert.NoError(t, err)
						assert.NoError(t, conn.Close())
					}
					close(inHandler)
					<-release // the handler goes on, whatever its context says
				})})
				c := dial(t, s)
				defer c.Close()
				_, err := c.Write(scgitest.Get("/"))
				require.NoError(t, err)
				await(t, "the handler", inHandler)
				if how == "Close" {
					require.NoError(t, s.Config.Close())
				}
				ended := make(chan string, 1)
				go func() {
					answer, _ := io.ReadAll(c) // broken off or closed, it has ended
					ended <- string(answer)
				}()
				assert.Empty(t, await(t, "the connection's end", ended))
				close(release)
			})
		}
	}
}
