package scgi_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file is about what a handler leaves on its goroutine, which may serve another
// client next.

// goroutine is the header of the calling goroutine's trace: its number, its labels
// with GODEBUG=tracebacklabels=1, and whether it is locked to a thread.
func goroutine() string {
	buf := make([]byte, 1<<10)
	header, _, _ := strings.Cut(string(buf[:runtime.Stack(buf, false)]), "\n")
	return header
}

// leavings are what handlers may leave behind.
var leavings = map[string]func(r *http.Request){
	"/labels": func(r *http.Request) {
		pprof.SetGoroutineLabels(pprof.WithLabels(r.Context(), pprof.Labels("user", "anna")))
	},
	"/done":   func(r *http.Request) { pprof.Do(r.Context(), pprof.Labels("user", "anna"), func(context.Context) {}) },
	"/thread": func(*http.Request) { runtime.LockOSThread() },
	"/fault":  func(*http.Request) { debug.SetPanicOnFault(true) },
	"/all": func(r *http.Request) {
		pprof.SetGoroutineLabels(context.Background())
		runtime.LockOSThread()
		debug.SetPanicOnFault(true)
	},
	"/nothing": func(*http.Request) {},
}

// Another request meets none of that, but the labels that Serve was called with, as
// under net/http.
func TestHandlersLeaveNothingOnTheGoroutine(t *testing.T) {
	t.Setenv("GODEBUG", "tracebacklabels=1")
	for _, network := range serverNetworks {
		for path, leave := range leavings {
			t.Run(network+path, func(t *testing.T) {
				s := quiet(func(w http.ResponseWriter, r *http.Request) {
					here := goroutine()
					assert.Contains(t, here, `labels:{"owner": "me"}`)
					assert.NotContains(t, here, "locked to thread")
					assert.False(t, debug.SetPanicOnFault(false))
					leave(r)
					_, _ = io.WriteString(w, "well")
				})
				var server *scgitest.Server
				pprof.Do(t.Context(), pprof.Labels("owner", "me"), func(context.Context) { server = startOn(t, network, s) })
				for range 20 {
					answer, err := server.Send(scgitest.Get(path))
					require.NoError(t, err)
					require.True(t, strings.HasSuffix(string(answer), "well"), "%q", answer)
				}
			})
		}
	}
}

// Goroutines are used again where nothing was left on them, by labels within a
// handler either: a new one for each request would cost 8% of it.
func TestGoroutinesAreUsedAgain(t *testing.T) {
	for _, network := range serverNetworks {
		t.Run(network, func(t *testing.T) {
			seen := make(chan string, 1)
			s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				pprof.Do(r.Context(), pprof.Labels("user", "anna"), func(context.Context) {
					number, _, _ := strings.Cut(goroutine(), "[")
					seen <- number
				})
			})})
			numbers := make(map[string]bool)
			for range 1000 {
				_, err := s.Send(scgitest.Get("/"))
				require.NoError(t, err)
				number := <-seen
				if numbers[number] {
					return
				}
				numbers[number] = true
			}
			assert.Fail(t, "each request had a goroutine of its own")
		})
	}
}
