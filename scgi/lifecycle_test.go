package scgi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// All of this runs in bubbles: time is exact, and a goroutine that is left over
// is an error.

// isClosed reports whether a channel is closed.
func isClosed[T any](c <-chan T) bool {
	select {
	case _, ok := <-c:
		return !ok
	default:
		return false
	}
}

// assertState checks what a server shows of its state.
func assertState(t *testing.T, s *scgi.Server, serving, done bool, err error) {
	t.Helper()
	assert.Equal(t, serving, isClosed(s.Serving()), "Serving")
	assert.Equal(t, done, isClosed(s.Done()), "Done")
	assert.Equal(t, err, s.Err(), "Err")
}

// quiet is a server of that handler which logs to nowhere.
func quiet(h http.HandlerFunc) *scgi.Server {
	return &scgi.Server{Handler: h, Logger: newRecorder().logger()}
}

func ok(http.ResponseWriter, *http.Request) {}

// serve runs Serve and gives its error.
func serve(s *scgi.Server, l net.Listener) <-chan error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	return served
}

func TestNew(t *testing.T) {
	var s scgi.Server
	assertState(t, &s, false, false, nil)
	assert.Zero(t, s.Stats())
}

func TestShutdownBeforeServe(t *testing.T) {
	for _, how := range []string{"Shutdown", "Close", "Shutdown with a context that has ended"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := quiet(ok)
				serving, done := s.Serving(), s.Done()
				switch how {
				case "Shutdown":
					require.NoError(t, s.Shutdown(t.Context()))
				case "Close":
					require.NoError(t, s.Close())
				default:
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					require.NoError(t, s.Shutdown(ctx), "there is nothing to wait for")
				}
				assertState(t, s, false, true, scgi.ErrServerClosed)
				assert.False(t, isClosed(serving))
				assert.True(t, isClosed(done))

				for _, late := range []func(net.Listener) error{s.Serve, s.Start} {
					l := newMemoryListener()
					assert.Equal(t, scgi.ErrServerClosed, late(l), "as it is, for code that compares it")
					assert.True(t, isClosed(l.closed), "the listener is closed")
				}
				assertState(t, s, false, true, scgi.ErrServerClosed)
			})
		})
	}
}

func TestShutdownDuringServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inHandler, release := make(chan struct{}), make(chan struct{})
		s := quiet(func(w http.ResponseWriter, _ *http.Request) {
			close(inHandler)
			<-release
			_, _ = io.WriteString(w, "done")
		})
		l := newMemoryListener()
		served := serve(s, l)
		synctest.Wait()
		assertState(t, s, true, false, nil)
		c := l.send(t, scgitest.Get("/"))
		<-inHandler

		shut := make(chan error, 1)
		go func() { shut <- s.Shutdown(context.Background()) }()
		synctest.Wait()
		assert.Equal(t, scgi.ErrServerClosed, <-served, "Serve does not wait for requests")
		assert.True(t, isClosed(l.closed))
		assert.Empty(t, shut, "Shutdown does")
		assertState(t, s, true, false, nil)
		assert.Equal(t, 1, s.Stats().Open)

		close(release)
		assert.Contains(t, c.rest(t), "done")
		assert.NoError(t, <-shut)
		assertState(t, s, true, true, scgi.ErrServerClosed)
		assert.Zero(t, s.Stats().Open)
	})
}

func TestShutdownAfterServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(ok)
		l := newMemoryListener()
		served := serve(s, l)
		l.ask(t, scgitest.Get("/"))
		require.NoError(t, s.Shutdown(t.Context()))
		require.Equal(t, scgi.ErrServerClosed, <-served)
		assertState(t, s, true, true, scgi.ErrServerClosed)
		assert.NoError(t, s.Shutdown(t.Context()), "again")
		assert.NoError(t, s.Close())
		assert.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, scgi.ErrServerClosed, s.Serve(newMemoryListener()))
		assertState(t, s, true, true, scgi.ErrServerClosed)
	})
}

func TestTwoListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		bases := make(map[string]int)
		s := quiet(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			bases[fmt.Sprint(r.Context().Value(http.LocalAddrContextKey))]++
		})
		a, b := newMemoryListener(), newMemoryListener()
		served := serve(s, a)
		require.NoError(t, s.Start(b))
		for range 3 {
			assert.Contains(t, a.ask(t, scgitest.Get("/")), "200")
			assert.Contains(t, b.ask(t, scgitest.Get("/")), "200")
		}
		assert.Equal(t, uint64(6), s.Stats().Requests)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.True(t, isClosed(a.closed) && isClosed(b.closed))
		assert.Equal(t, scgi.ErrServerClosed, <-served)
		assertState(t, s, true, true, scgi.ErrServerClosed)
	})
}

func TestShutdownsAndClosesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		for range 5 {
			l.send(t, scgitest.Get("/"))
		}
		synctest.Wait()
		shut := make(chan error, 20)
		for range cap(shut) {
			go func() { shut <- s.Shutdown(context.Background()) }()
		}
		synctest.Wait()
		assert.Empty(t, shut)
		closed := make(chan error, 20)
		for range cap(closed) {
			go func() { closed <- s.Close() }()
		}
		for range 20 {
			assert.NoError(t, <-closed)
			assert.NoError(t, <-shut)
		}
		<-s.Done()
		assertState(t, s, true, true, scgi.ErrServerClosed)
	})
}

// Close does not wait, and Done stays open while a handler ignores its context.
func TestCloseDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := quiet(func(w http.ResponseWriter, r *http.Request) {
			<-release
			assert.Error(t, r.Context().Err())
			_, err := w.Write(make([]byte, 100_000))
			assert.Error(t, err)
		})
		l := newMemoryListener()
		served := serve(s, l)
		c := l.send(t, scgitest.Get("/"))
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.Close())
		assert.Equal(t, scgi.ErrServerClosed, <-served)
		assert.Empty(t, c.rest(t), "the connection is broken at once")
		synctest.Wait()
		assertState(t, s, true, false, nil)
		_, err := l.dial()
		assert.Error(t, err)
		close(release)
		<-s.Done()
		assertState(t, s, true, true, scgi.ErrServerClosed)
		assert.Zero(t, time.Since(began))
	})
}

// When the context ends what is left is broken off; the handler may run on.
func TestShutdownForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, release := make(chan struct{}), make(chan struct{})
		s := quiet(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			close(over)
			<-release
		})
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		c := l.send(t, scgitest.Get("/"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
		defer cancel()
		began := time.Now()
		err := s.Shutdown(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 7*time.Second, time.Since(began))
		<-over
		assert.Empty(t, c.rest(t))
		assertState(t, s, true, false, nil)
		close(release)
		<-s.Done()
		assertState(t, s, true, true, scgi.ErrServerClosed)
	})
}

// A handler that shuts the server down with its own context waits for all but
// itself.
func TestShutdownFromHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *scgi.Server
		release := make(chan struct{})
		var otherEnded bool
		s = quiet(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/other" {
				<-release
				otherEnded = true
				return
			}
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			assert.NoError(t, s.Shutdown(ctx))
			assert.True(t, otherEnded)
			assert.False(t, isClosed(s.Done()), "this handler still runs")
			_, _ = io.WriteString(w, "the last one")
		})
		l := newMemoryListener()
		served := serve(s, l)
		other := l.send(t, scgitest.Get("/other"))
		c := l.send(t, scgitest.Get("/shutdown"))
		synctest.Wait()
		assert.Equal(t, scgi.ErrServerClosed, <-served)
		time.Sleep(time.Minute)
		close(release)
		assert.Contains(t, other.rest(t), "200")
		assert.Contains(t, c.rest(t), "the last one")
		<-s.Done()
		assertState(t, s, true, true, scgi.ErrServerClosed)
	})
}

// Two handlers that do so do not wait for each other.
func TestShutdownFromTwoHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *scgi.Server
		begin, release := make(chan struct{}), make(chan struct{})
		var returned sync.WaitGroup
		s = quiet(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/other" {
				<-release
				return
			}
			<-begin
			assert.NoError(t, s.Shutdown(r.Context()))
			returned.Done()
		})
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		returned.Add(3)
		for range 3 {
			l.send(t, scgitest.Get("/"))
		}
		l.send(t, scgitest.Get("/other"))
		synctest.Wait()
		close(begin)
		time.Sleep(time.Minute)
		assert.Equal(t, 4, s.Stats().Open, "all wait for the other one")
		began := time.Now()
		close(release)
		returned.Wait()
		<-s.Done()
		assert.Zero(t, time.Since(began))
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

// `go s.Shutdown(ctx)` is the idiom for a handler that does not mean to wait.
func TestShutdownFromHandlerInBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *scgi.Server
		shut := make(chan error, 1)
		s = quiet(func(w http.ResponseWriter, _ *http.Request) {
			go func() { shut <- s.Shutdown(context.Background()) }()
			synctest.Wait()
			assert.Empty(t, shut)
			_, _ = io.WriteString(w, "goodbye")
		})
		l := newMemoryListener()
		served := serve(s, l)
		assert.Contains(t, l.ask(t, scgitest.Get("/")), "goodbye")
		assert.NoError(t, <-shut)
		assert.Equal(t, scgi.ErrServerClosed, <-served)
		assertState(t, s, true, true, scgi.ErrServerClosed)
	})
}

// Forced from a handler the stop spares that handler's own connection.
func TestShutdownFromHandlerForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *scgi.Server
		s = quiet(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/other" {
				<-r.Context().Done()
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			assert.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
			_, _ = io.WriteString(w, "the last one")
		})
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		other := l.send(t, scgitest.Get("/other"))
		synctest.Wait()
		assert.Contains(t, l.ask(t, scgitest.Get("/")), "the last one")
		<-s.Done()
		other.rest(t)
	})
}

var errBroken = errors.New("broken")

// A listener that fails alone ends the server as Shutdown does, but says why.
func TestListenerFails(t *testing.T) {
	for _, how := range []string{"Serve", "Start"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newRecorder()
				release := make(chan struct{})
				s := &scgi.Server{Logger: log.logger(), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })}
				l := newMemoryListener()
				var served <-chan error
				if how == "Serve" {
					served = serve(s, l)
				} else {
					require.NoError(t, s.Start(l))
				}
				c := l.send(t, scgitest.Get("/"))
				l.errs <- errBroken
				synctest.Wait()
				assert.True(t, isClosed(l.closed))
				if how == "Serve" {
					assert.Equal(t, errBroken, <-served)
				} else {
					assert.Len(t, log.matching("ERROR", "a listener failed", "error=broken"), 1)
				}
				assertState(t, s, true, false, nil)
				assert.Equal(t, scgi.ErrServerClosed, s.Start(newMemoryListener()))
				close(release)
				assert.Contains(t, c.rest(t), "200 OK", "what was begun is finished")
				<-s.Done()
				assertState(t, s, true, true, errBroken)
				assert.NoError(t, s.Shutdown(t.Context()))
				assertState(t, s, true, true, errBroken)
			})
		})
	}
}

// One of two may fail: the other goes on.
func TestListenerFailsOneOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(ok)
		a, b := newMemoryListener(), newMemoryListener()
		servedA, servedB := serve(s, a), serve(s, b)
		synctest.Wait()
		a.errs <- errBroken
		assert.Equal(t, errBroken, <-servedA)
		assertState(t, s, true, false, nil)
		assert.Contains(t, b.ask(t, scgitest.Get("/")), "200")
		third := newMemoryListener()
		require.NoError(t, s.Start(third))
		b.errs <- fmt.Errorf("also %w", errBroken)
		assert.ErrorIs(t, <-servedB, errBroken)
		assertState(t, s, true, false, nil)
		require.NoError(t, s.Shutdown(t.Context()))
		assertState(t, s, true, true, scgi.ErrServerClosed)
	})
}

// Errors that pass are waited out: 5 ms, doubling, at most 1 s, and from the
// beginning again after an accept that worked.
func TestAcceptBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(ok)
		l := newMemoryListener()
		served := serve(s, l)
		fail := func(errno syscall.Errno) {
			l.errs <- &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", errno)}
		}
		want := 5 * time.Millisecond
		fail(syscall.EMFILE)
		for range 12 {
			began := time.Now()
			fail(syscall.ENFILE)
			assert.Equal(t, want, time.Since(began))
			want = min(2*want, time.Second)
		}
		assert.Equal(t, time.Second, want)
		assert.Contains(t, l.ask(t, scgitest.Get("/")), "200", "it is served in the end")
		fail(syscall.ECONNABORTED)
		began := time.Now()
		fail(syscall.ENOMEM)
		assert.Equal(t, 5*time.Millisecond, time.Since(began))

		for range 9 { // and a pause does not hold Shutdown up
			fail(syscall.ENOBUFS)
		}
		began = time.Now()
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Zero(t, time.Since(began))
		assert.Equal(t, scgi.ErrServerClosed, <-served)
		assert.Equal(t, scgi.ErrServerClosed, s.Err())
	})
}

func TestMaxConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := quiet(func(http.ResponseWriter, *http.Request) { <-release })
		s.MaxConns = 2
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		a, b := l.send(t, scgitest.Get("/")), l.send(t, scgitest.Get("/"))
		synctest.Wait()
		assert.Equal(t, scgi.Stats{Open: 2, Accepted: 2, Requests: 2, Pauses: 1}, s.Stats())

		third := make(chan string)
		go func() { third <- l.ask(t, scgitest.Get("/")) }()
		synctest.Wait()
		assert.Equal(t, uint64(2), s.Stats().Accepted, "it stays in the queue")
		release <- struct{}{}
		synctest.Wait()
		assert.Equal(t, scgi.Stats{Open: 2, Accepted: 3, Requests: 3, Pauses: 2}, s.Stats())
		close(release)
		assert.Contains(t, <-third, "200")
		a.rest(t)
		b.rest(t)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Equal(t, scgi.Stats{Accepted: 3, Requests: 3, Pauses: 2}, s.Stats())
	})
}

// A Shutdown ends the pause, and a hijacked connection makes room.
func TestMaxConnsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var taken net.Conn
		s := quiet(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hijack" {
				taken, _, _ = http.NewResponseController(w).Hijack()
				return
			}
			<-release
		})
		s.MaxConns = 1
		l := newMemoryListener()
		served := serve(s, l)
		c := l.send(t, scgitest.Get("/hijack"))
		d := l.send(t, scgitest.Get("/"))
		synctest.Wait()
		shut := make(chan error, 1)
		go func() { shut <- s.Shutdown(context.Background()) }()
		synctest.Wait()
		assert.Equal(t, scgi.ErrServerClosed, <-served)
		close(release)
		d.rest(t)
		assert.NoError(t, <-shut)
		require.NoError(t, taken.Close())
		c.rest(t)
	})
}

// Room that is made is found by the listener that has a use for it.
func TestMaxConnsTwoListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := quiet(func(http.ResponseWriter, *http.Request) { <-release })
		s.MaxConns = 1
		a, b := newMemoryListener(), newMemoryListener()
		require.NoError(t, s.Start(a))
		require.NoError(t, s.Start(b))
		synctest.Wait()
		// Both listeners accept one, then both wait for room.
		a.send(t, scgitest.Get("/"))
		b.send(t, scgitest.Get("/"))
		synctest.Wait()
		close(release)
		synctest.Wait()
		require.Zero(t, s.Stats().Open)
		assert.Contains(t, b.ask(t, scgitest.Get("/")), "200")
		assert.Contains(t, a.ask(t, scgitest.Get("/")), "200")
		assert.Contains(t, b.ask(t, scgitest.Get("/")), "200")
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestReadHeaderTimeout(t *testing.T) {
	for _, row := range []struct {
		name    string
		timeout time.Duration
		want    time.Duration // 0: it does not end
	}{
		{"default", 0, 10 * time.Second}, {"own", 3 * time.Second, 3 * time.Second}, {"none", -1, 0},
	} {
		for _, sent := range []string{"", "1", "24:CONTENT_LENGTH"} {
			t.Run(fmt.Sprintf("%s, %q sent", row.name, sent), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := quiet(ok)
					s.ReadHeaderTimeout = row.timeout
					l := startMemory(t, s)
					began := time.Now()
					c := l.send(t, []byte(sent))
					if row.want == 0 {
						time.Sleep(24 * time.Hour)
						assert.Equal(t, 1, s.Stats().Open)
						return
					}
					assert.Empty(t, c.rest(t), "no answer")
					assert.Equal(t, row.want, time.Since(began))
					synctest.Wait()
					assert.Equal(t, scgi.Stats{Accepted: 1, Malformed: 1}, s.Stats())
				})
			})
		}
	}
}

// It is a total: bytes that trickle in do not renew it.
func TestReadHeaderTimeoutIsATotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startMemory(t, quiet(ok))
		began := time.Now()
		c := l.connect(t)
		for _, b := range scgitest.Get("/") {
			if _, err := c.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(400 * time.Millisecond)
		}
		answer, _ := io.ReadAll(c) // the byte that came too late is a reset
		assert.Empty(t, answer)
		assert.Equal(t, 10*time.Second, time.Since(began).Truncate(time.Second))
	})
}

// After the header it means nothing.
func TestReadHeaderTimeoutEndsWithHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startMemory(t, quiet(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			_, _ = w.Write(body)
		}))
		raw := scgitest.Post("/", "body")
		c := l.send(t, raw[:len(raw)-2])
		time.Sleep(time.Hour + time.Minute - 1)
		_, err := c.Write([]byte("dy"))
		require.NoError(t, err)
		assert.Contains(t, c.rest(t), "\r\n\r\nbody")
	})
}

func TestIOTimeout(t *testing.T) {
	for _, row := range []struct {
		name    string
		timeout time.Duration
		want    time.Duration
	}{
		{"default", 0, 60 * time.Second}, {"own", 3 * time.Second, 3 * time.Second}, {"none", -1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := quiet(func(w http.ResponseWriter, r *http.Request) {
					began := time.Now()
					_, err := io.ReadAll(r.Body)
					if row.want > 0 {
						assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
						assert.Equal(t, row.want, time.Since(began))
					}
					_, err = w.Write(make([]byte, 10_000))
					if row.want > 0 {
						assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
						assert.Equal(t, 2*row.want, time.Since(began))
					}
				})
				s.IOTimeout = row.timeout
				l := newMemoryListener()
				l.room = 500
				require.NoError(t, s.Start(l))
				raw := scgitest.Post("/", "body")
				c := l.send(t, raw[:len(raw)-2])
				if row.want == 0 {
					time.Sleep(24 * time.Hour)
					assert.Equal(t, 1, s.Stats().Open)
					require.NoError(t, s.Close())
				}
				<-s.Serving()
				time.Sleep(2*row.want + 1)
				synctest.Wait()
				_ = c.Close() // its answer is cut off
				require.NoError(t, s.Shutdown(t.Context()))
			})
		})
	}
}

// What is left to connections without a complete header when Shutdown begins.
func TestDrainHeaderTimeout(t *testing.T) {
	for _, row := range []struct {
		name         string
		header, rest time.Duration // ReadHeaderTimeout, DrainHeaderTimeout
		after        time.Duration // of the header when Shutdown begins
		want         time.Duration // from then on
	}{
		{"default", 0, 0, 4 * time.Second, time.Second},
		{"own", 0, 3 * time.Second, 4 * time.Second, 3 * time.Second},
		{"negative: what ReadHeaderTimeout has left", 0, -1, 4 * time.Second, 6 * time.Second},
		{"never more than ReadHeaderTimeout has left", 0, 0, 9500 * time.Millisecond, 500 * time.Millisecond},
		{"without ReadHeaderTimeout", -1, 0, time.Hour, time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := quiet(ok)
				s.ReadHeaderTimeout, s.DrainHeaderTimeout = row.header, row.rest
				l := newMemoryListener()
				require.NoError(t, s.Start(l))
				c := l.send(t, []byte("24:CONTENT"))
				time.Sleep(row.after)
				began := time.Now()
				require.NoError(t, s.Shutdown(context.Background()))
				assert.Equal(t, row.want, time.Since(began))
				assert.Empty(t, c.rest(t))
			})
		})
	}
}

// A header that completes in that time is served, with all of its timeouts.
func TestDrainHeaderCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			_, _ = w.Write(body)
		})
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		raw := scgitest.Post("/", "body")
		late, begun := l.send(t, raw[:20]), l.send(t, raw[:len(raw)-2])
		synctest.Wait()
		shut := make(chan error, 1)
		go func() { shut <- s.Shutdown(context.Background()) }()
		synctest.Wait()
		time.Sleep(time.Second - 1)
		_, err := late.Write(raw[20 : len(raw)-2])
		require.NoError(t, err)
		time.Sleep(30 * time.Second)
		for _, c := range []*memoryConn{late, begun} {
			_, err := c.Write(raw[len(raw)-2:])
			require.NoError(t, err)
			assert.Contains(t, c.rest(t), "\r\n\r\nbody")
		}
		assert.NoError(t, <-shut)
	})
}

// Nobody waits for a hijacked connection, and nobody closes it.
func TestShutdownLeavesHijacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := make(chan net.Conn, 1)
		release := make(chan struct{})
		s := quiet(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			taken <- conn
			<-release // the handler may go on; that is the taker's
		})
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		c := l.send(t, scgitest.Get("/"))
		conn := <-taken
		require.NoError(t, s.Shutdown(context.Background()))
		require.NoError(t, s.Close())
		assertState(t, s, true, true, scgi.ErrServerClosed)
		close(release)
		synctest.Wait()
		_, err := conn.Write([]byte("still here"))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		assert.Equal(t, "still here", c.rest(t))
	})
}

// What a front end still sends behind an early answer is drained, but not for
// ever.
func TestDrainIsBounded(t *testing.T) {
	for _, row := range []struct {
		name  string
		pause time.Duration // between bytes that the front end goes on sending; 0: none are
		want  time.Duration
	}{
		{"silent", 0, 5 * time.Second}, {"slow", 4 * time.Second, 30 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := quiet(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
				l := newMemoryListener()
				require.NoError(t, s.Start(l))
				raw := scgitest.Request("", "CONTENT_LENGTH", "1000000", "SCGI", "1", "REQUEST_METHOD", "POST", "REQUEST_URI", "/")
				began := time.Now()
				c := l.send(t, raw)
				assert.Contains(t, c.rest(t), "Status: 413 ")
				assert.Zero(t, time.Since(began), "the answer does not wait")
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					for row.pause > 0 {
						time.Sleep(row.pause)
						if _, err := c.Write([]byte("x")); err != nil {
							return
						}
					}
				}()
				awaitClosed(t, c)
				assert.Equal(t, row.want, time.Since(began))
				<-stopped
				require.NoError(t, s.Shutdown(t.Context()))
			})
		})
	}
}

// A peer that trickles on after its answer does not make a stop a forced one.
func TestShutdownWhileTrickling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(ok)
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		c := l.send(t, []byte("GET / HTTP/1.1\r\n\r\n"))
		assert.Contains(t, c.rest(t), "Status: 400 ")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
		}()
		began := time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.Equal(t, 5*time.Second, time.Since(began))
		<-ended
	})
}

// A refusal that is being drained is not a header any more: Shutdown leaves it
// the time that it has.
func TestShutdownWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(ok)
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		c := l.send(t, []byte("GET / HTTP/1.1\r\n\r\n"))
		assert.Contains(t, c.rest(t), "Status: 400 ")
		began := time.Now()
		require.NoError(t, s.Shutdown(context.Background()))
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

// A context from BaseContext that ends cancels requests, not the server.
func TestBaseContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, cancel := context.WithCancelCause(context.Background())
		s := quiet(func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, r.Context().Err())
			<-r.Context().Done()
			assert.Equal(t, errBroken, context.Cause(r.Context()))
		})
		s.BaseContext = func(net.Listener) context.Context { return base }
		l := newMemoryListener()
		require.NoError(t, s.Start(l))
		c := l.send(t, scgitest.Get("/"))
		synctest.Wait()
		cancel(errBroken)
		assert.Contains(t, c.rest(t), "200")
		assertState(t, s, true, false, nil)
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestBaseContextNil(t *testing.T) {
	s := quiet(ok)
	s.BaseContext = func(net.Listener) context.Context { return nil }
	assert.Panics(t, func() { _ = s.Serve(newMemoryListener()) })
}

// lateAccept accepts a connection just when the server has begun to end.
type lateAccept struct {
	*memoryListener
	last *memoryConn
}

func (l *lateAccept) Accept() (net.Conn, error) {
	if c, err := l.memoryListener.Accept(); err == nil || l.last == nil {
		return c, err
	}
	c := l.last
	l.last = nil
	return c, nil
}

// Shutdown serves it, Close does not.
func TestAcceptedLate(t *testing.T) {
	for _, how := range []string{"Shutdown", "Shutdown, silent", "Close"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := quiet(ok)
				client, server := memoryPipe(1000)
				served := serve(s, &lateAccept{newMemoryListener(), server})
				synctest.Wait()
				began := time.Now()
				switch how {
				case "Close":
					require.NoError(t, s.Close())
					assert.Empty(t, client.rest(t))
				case "Shutdown, silent":
					require.NoError(t, s.Shutdown(context.Background()))
					assert.Empty(t, client.rest(t))
					began = began.Add(time.Second)
				default:
					shut := make(chan error, 1)
					go func() { shut <- s.Shutdown(context.Background()) }()
					time.Sleep(time.Second - 1)
					_, err := client.Write(scgitest.Get("/"))
					require.NoError(t, err)
					assert.Contains(t, client.rest(t), "200")
					require.NoError(t, <-shut)
					began = began.Add(time.Second - 1)
				}
				assert.Equal(t, scgi.ErrServerClosed, <-served)
				<-s.Done()
				assert.Zero(t, time.Since(began))
			})
		})
	}
}

// The zero Server serves http.DefaultServeMux and logs to slog.Default.
func TestZeroServer(t *testing.T) {
	log, logger, mux := newRecorder(), slog.Default(), http.DefaultServeMux
	defer func() { slog.SetDefault(logger); http.DefaultServeMux = mux }()
	slog.SetDefault(log.logger())
	http.DefaultServeMux = http.NewServeMux()
	http.HandleFunc("/zero", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "default") })
	var s scgi.Server
	l := newMemoryListener()
	require.NoError(t, s.Start(l))
	assert.Contains(t, l.ask(t, scgitest.Get("/zero")), "\r\n\r\ndefault")
	c := l.send(t, []byte("nonsense"))
	assert.Contains(t, c.rest(t), "400")
	require.NoError(t, c.Close())
	require.NoError(t, s.Shutdown(t.Context()))
	assert.Len(t, log.matching("WARN", "malformed"), 1)
}

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		served := make(chan error, 1)
		go func() { served <- scgi.Serve(l, http.HandlerFunc(ok)) }()
		assert.Contains(t, l.ask(t, scgitest.Get("/")), "200")
		l.errs <- errBroken
		assert.Equal(t, errBroken, <-served)
	})
}

// failingClose is a listener that cannot be closed properly.
type failingClose struct{ *memoryListener }

func (l failingClose) Close() error { return errors.Join(l.memoryListener.Close(), errBroken) }

// What goes wrong in closing a listener is Close's to tell; the others say why
// they ended.
func TestListenerCloseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quiet(ok)
		l := failingClose{newMemoryListener()}
		served := serve(s, l)
		synctest.Wait()
		assert.ErrorIs(t, s.Close(), errBroken)
		assert.Equal(t, scgi.ErrServerClosed, <-served)
		assert.NoError(t, s.Close())
		late := failingClose{newMemoryListener()}
		assert.Equal(t, scgi.ErrServerClosed, s.Start(late))
	})
}
