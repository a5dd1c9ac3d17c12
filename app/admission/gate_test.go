package admission_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// work is what a Gate admits to: it counts, and lasts until it is let go.
type work struct {
	gate                admission.Gate
	running, most, runs atomic.Int64
	letGo               chan struct{}
}

// visit enters the gate, works, leaves, and sends the error of Enter.
func (w *work) visit(ctx context.Context, errs chan<- error) {
	leave, err := w.gate.Enter(ctx)
	if err == nil {
		now := w.running.Add(1)
		w.runs.Add(1)
		for most := w.most.Load(); now > most && !w.most.CompareAndSwap(most, now); most = w.most.Load() {
		}
		<-w.letGo
		w.running.Add(-1)
		leave()
	}
	errs <- err
}

func assertRefused(t *testing.T, err error, reason string) {
	t.Helper()
	var refused *admission.Refused
	require.ErrorAs(t, err, &refused)
	assert.Contains(t, refused.Reason, reason)
	assert.Contains(t, err.Error(), reason)
}

// Places work, Waiting wait, and the rest are refused before anything else happens.
func TestGateBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{gate: admission.Gate{Places: 3, Waiting: 5}, letGo: make(chan struct{})}
		errs := make(chan error, 100)
		for range 100 {
			go w.visit(t.Context(), errs)
		}
		synctest.Wait()
		assert.EqualValues(t, 3, w.running.Load())
		require.Len(t, errs, 92)
		for range 92 {
			assertRefused(t, <-errs, "Too many requests")
		}
		close(w.letGo)
		for range 8 {
			assert.NoError(t, <-errs)
		}
		assert.EqualValues(t, 3, w.most.Load())
		assert.EqualValues(t, 8, w.runs.Load())
	})
}

// The zero Gate has one place. A request that would have to wait is refused.
func TestZeroGate(t *testing.T) {
	var g admission.Gate
	leave, err := g.Enter(t.Context())
	require.NoError(t, err)
	_, err = g.Enter(t.Context())
	assertRefused(t, err, "Too many requests")
	leave()
	_, err = g.Enter(t.Context())
	assert.NoError(t, err)
}

func TestGateIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &admission.Gate{Waiting: 10}
		leave, err := g.Enter(t.Context())
		require.NoError(t, err)
		var order []int
		var all sync.WaitGroup
		for n := range 10 {
			all.Go(func() {
				leave, err := g.Enter(t.Context())
				assert.NoError(t, err)
				order = append(order, n)
				leave()
			})
			synctest.Wait()
		}
		leave()
		all.Wait()
		assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, order)
	})
}

func TestGatePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &admission.Gate{Waiting: 1, Patience: 7 * time.Second}
		leave, err := g.Enter(t.Context())
		require.NoError(t, err)
		began := time.Now()
		_, err = g.Enter(t.Context())
		assertRefused(t, err, "taken too long")
		assert.Equal(t, 7*time.Second, time.Since(began), "by the test's clock")
		leave()
		_, err = g.Enter(t.Context())
		assert.NoError(t, err)
	})
}

// A request whose context ends makes room for another one that waits, at once.
func TestGateContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{gate: admission.Gate{Waiting: 1}, letGo: make(chan struct{})}
		ran, left, came, last := make(chan error, 1), make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go w.visit(t.Context(), ran)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		go w.visit(ctx, left)
		synctest.Wait()
		w.visit(t.Context(), last)
		assertRefused(t, <-last, "Too many requests")
		cancel()
		assert.ErrorIs(t, <-left, context.Canceled)
		go w.visit(t.Context(), came)
		synctest.Wait()
		close(w.letGo)
		assert.NoError(t, <-ran)
		assert.NoError(t, <-came)
		assert.EqualValues(t, 2, w.runs.Load())
	})
}

// unasked fails when it is asked whether it has ended.
type unasked struct{ context.Context }

func (unasked) Done() <-chan struct{} { panic("asked") }

// A context costs nothing unless there is a wait.
func TestGateAsksNothingOfAContext(t *testing.T) {
	var g admission.Gate
	leave, err := g.Enter(unasked{t.Context()})
	require.NoError(t, err)
	leave()
}

// Drain refuses all that wait; those that work finish.
func TestGateDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &work{gate: admission.Gate{Places: 2, Waiting: 50}, letGo: make(chan struct{})}
		errs := make(chan error, 52)
		for range 52 {
			go w.visit(t.Context(), errs)
		}
		synctest.Wait()
		require.Empty(t, errs)
		w.gate.Drain()
		w.gate.Drain()
		for range 50 {
			assertRefused(t, <-errs, "stopping")
		}
		close(w.letGo)
		for range 2 {
			assert.NoError(t, <-errs)
		}
		w.visit(t.Context(), errs)
		assertRefused(t, <-errs, "stopping")
		assert.EqualValues(t, 2, w.runs.Load(), "not even when there is a place")
	})
}

// A panic costs its own request, over a real server: its place is free again.
func TestGateAfterAPanic(t *testing.T) {
	var g admission.Gate
	s := scgitest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, err := g.Enter(r.Context())
		assert.NoError(t, err)
		defer leave()
		if r.URL.Path == "/panic" {
			panic("as the test wants it")
		}
		_, _ = io.WriteString(w, "fine")
	}))
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

// A front end that goes away while its request waits makes room.
func TestGateAndAFrontEndThatLeaves(t *testing.T) {
	g := admission.Gate{Waiting: 1}
	letGo := make(chan struct{})
	entering, entered, refused := make(chan struct{}, 3), make(chan struct{}, 3), make(chan error, 3)
	s := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entering <- struct{}{}
		leave, err := g.Enter(r.Context())
		if err != nil {
			refused <- err
			return
		}
		defer leave()
		entered <- struct{}{}
		<-letGo
		_, _ = io.WriteString(w, "done")
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
	<-entered
	second := ask()
	require.NoError(t, second.Close())
	assert.ErrorIs(t, <-refused, context.Canceled)
	third := ask()
	close(letGo)
	for _, conn := range []io.ReadCloser{first, third} {
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		assert.Contains(t, string(answer), "Status: 200 OK")
		require.NoError(t, conn.Close())
	}
}
