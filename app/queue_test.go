package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// gate is a handler that tells when it runs and waits to be let go.
type gate struct {
	running, most, runs atomic.Int64
	open                chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := g.running.Add(1)
	defer g.running.Add(-1)
	g.runs.Add(1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	select {
	case <-g.open:
	case <-r.Context().Done():
	}
	_, _ = io.WriteString(w, "done")
}

// visit asks a handler and sends the answer.
func visit(ctx context.Context, h http.Handler, answers chan<- *httptest.ResponseRecorder) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	answers <- rec
}

func assertRefused(t *testing.T, rec *httptest.ResponseRecorder, text string) {
	t.Helper()
	assert.Equal(t, http.StatusServiceUnavailable, rec.Code)
	seconds, err := strconv.Atoi(rec.Header().Get("Retry-After"))
	assert.NoError(t, err)
	assert.Positive(t, seconds)
	assert.Contains(t, rec.Body.String(), text)
}

// So many run, so many wait, and the rest are refused before anything else happens.
func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		q := &app.Queue{Handler: g, Running: 3, Waiting: 5}
		answers := make(chan *httptest.ResponseRecorder, 100)
		for range 100 {
			go visit(t.Context(), q, answers)
		}
		synctest.Wait()
		assert.EqualValues(t, 3, g.running.Load())
		require.Len(t, answers, 92)
		for range 92 {
			assertRefused(t, <-answers, "Too many requests")
		}
		close(g.open)
		for range 8 {
			assert.Equal(t, http.StatusOK, (<-answers).Code)
		}
		assert.EqualValues(t, 3, g.most.Load())
		assert.EqualValues(t, 8, g.runs.Load())
	})
}

func TestQueueIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := make(chan struct{})
		var order []string
		q := &app.Queue{Waiting: 10, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-next
			order = append(order, r.URL.Path)
		})}
		var all sync.WaitGroup
		for n := range 10 {
			all.Go(func() { q.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", fmt.Sprint("/", n), nil)) })
			synctest.Wait()
		}
		for range 10 {
			next <- struct{}{}
		}
		all.Wait()
		assert.Equal(t, []string{"/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"}, order)
	})
}

func TestQueuePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		q := &app.Queue{Handler: g, Waiting: 1, Patience: 7 * time.Second}
		answers := make(chan *httptest.ResponseRecorder, 2)
		go visit(t.Context(), q, answers)
		synctest.Wait()
		began := time.Now()
		go visit(t.Context(), q, answers)
		assertRefused(t, <-answers, "taken too long")
		assert.Equal(t, 7*time.Second, time.Since(began), "by the test's clock")
		close(g.open)
		assert.Equal(t, http.StatusOK, (<-answers).Code)
	})
}

// Whoever leaves the queue makes room in it at once.
func TestQueueIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		q := &app.Queue{Handler: g, Waiting: 1}
		ran, left, came, last := make(chan *httptest.ResponseRecorder, 1), make(chan *httptest.ResponseRecorder, 1),
			make(chan *httptest.ResponseRecorder, 1), make(chan *httptest.ResponseRecorder, 1)
		go visit(t.Context(), q, ran)
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		go visit(ctx, q, left)
		synctest.Wait()
		go visit(t.Context(), q, last)
		assertRefused(t, <-last, "Too many requests")
		leave()
		assert.Equal(t, 499, (<-left).Code, "for the log")
		go visit(t.Context(), q, came)
		synctest.Wait()
		close(g.open)
		assert.Equal(t, http.StatusOK, (<-ran).Code)
		assert.Equal(t, http.StatusOK, (<-came).Code)
		assert.EqualValues(t, 2, g.runs.Load(), "who left was not served")
	})
}

// A stop answers everybody who waits; who runs finishes.
func TestQueueDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		q := &app.Queue{Handler: g, Running: 2, Waiting: 50}
		answers := make(chan *httptest.ResponseRecorder, 52)
		for range 52 {
			go visit(t.Context(), q, answers)
		}
		synctest.Wait()
		require.Empty(t, answers)
		q.Drain()
		q.Drain()
		for range 50 {
			assertRefused(t, <-answers, "stopping")
		}
		close(g.open)
		for range 2 {
			assert.Equal(t, http.StatusOK, (<-answers).Code)
		}
		visit(t.Context(), q, answers)
		assertRefused(t, <-answers, "stopping")
		assert.EqualValues(t, 2, g.runs.Load(), "not even when there is a place")
	})
}

// A panic costs its own request, over a real server: its place is free again.
func TestQueuePanic(t *testing.T) {
	q := &app.Queue{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic("as the test wants it")
		}
		_, _ = io.WriteString(w, "fine")
	})}
	s := scgitest.NewUnstartedServer(q)
	s.Config.Logger = slog.New(slog.DiscardHandler)
	s.Start()
	defer s.Close()
	for range 3 {
		for path, want := range map[string]int{"/panic": 500, "/": 200} {
			resp, err := s.Client().Get("http://example.org" + path)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, want, resp.StatusCode, path)
		}
	}
}

// A front end that goes away while its request waits frees the place in the queue.
func TestQueueIsLeftByAFrontEnd(t *testing.T) {
	g := newGate()
	ended := make(chan struct{}, 3)
	q := &app.Queue{Handler: g, Waiting: 1}
	entering := make(chan struct{}, 3)
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entering <- struct{}{}
		q.ServeHTTP(w, r)
		ended <- struct{}{}
	}))
	defer s.Close()
	ask := func() io.ReadCloser {
		conn, err := s.Dial()
		require.NoError(t, err)
		_, err = conn.Write(scgitest.Get("/"))
		require.NoError(t, err)
		<-entering
		return conn
	}
	first := ask()
	require.Eventually(t, func() bool { return g.running.Load() == 1 }, time.Minute, time.Millisecond)
	second := ask()
	require.NoError(t, second.Close())
	<-ended
	third := ask()
	close(g.open)
	for _, conn := range []io.ReadCloser{first, third} {
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		assert.Contains(t, string(answer), "Status: 200 OK")
		require.NoError(t, conn.Close())
	}
}
