// Package cgihost is the server's side of CGI, RFC 3875: it runs a program for
// each request that an scgi.Server serves, and makes an answer of what it prints.
//
// A program gets the environment of the SCGI request (see environ.go for what of
// it), the request's body as its standard input, and its own folder as the
// working directory; never arguments. Reading and writing go on side by side. It
// leads a process group of its own, and nothing of that group outlives the
// request: SIGTERM ends it when the client goes away, the time is over, or
// anything else ends the answer, SIGKILL two seconds later. What a program leaves
// behind may still print, for two seconds at most, and is killed then. What must
// live on leaves the group with setsid(1).
//
// Programs run with the rights of this process: they can read and write whatever
// it can, its store included.
package cgihost

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/scgi"
)

// Host runs CGI programs. Its fields must be set before it serves and not be
// changed after. How many run at a time is for an app.Queue before it to say.
type Host struct {
	// Programs says which path stands for what.
	Programs []Mount
	// Mount is the one that scgi.StripMount was given; paths are below it.
	Mount string
	// Timeout is how long a program may run; zero means one minute.
	Timeout time.Duration
	// MaxOutput is how many bytes it may print; zero means 100 MiB.
	MaxOutput int64
	// Software is SERVER_SOFTWARE, such as "windsock/1.0".
	Software string
	// Logger gets what programs print as errors, and how they ended if that was
	// not well. The zero Logger is silent.
	Logger zerolog.Logger

	inherited sync.Once // closes to programs what this process was started with

	mu      sync.Mutex // guards what follows
	closed  bool
	running map[*process]context.CancelCauseFunc // which end their runs
	ended   sync.WaitGroup
}

var _ http.Handler = (*Host)(nil)

const (
	defaultTimeout   = time.Minute
	defaultMaxOutput = 100 << 20
)

func (h *Host) timeout() time.Duration { return cmp.Or(h.Timeout, defaultTimeout) }
func (h *Host) maxOutput() int64       { return cmp.Or(h.MaxOutput, defaultMaxOutput) }

// Has reports whether there is a program for a request.
func (h *Host) Has(r *http.Request) bool {
	_, ok := h.find(r)
	return ok
}

// ServeHTTP implements http.Handler. What is no program is 404.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, ok := h.find(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	h.run(w, r, s)
}

// errClosed is why a program is ended, or not started, by Close.
var errClosed = errors.New("the server is stopping")

// start starts a program that Close knows of, and how to stop its run.
func (h *Host) start(s script, env []string, hasBody bool, stop context.CancelCauseFunc) (*process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errClosed
	}
	h.inherited.Do(closeInherited)
	p, err := startProcess(s.file, env, hasBody)
	if err != nil {
		return nil, err
	}
	if h.running == nil {
		h.running = make(map[*process]context.CancelCauseFunc)
	}
	h.running[p] = stop
	h.ended.Add(1)
	return p, nil
}

// forget takes note that nothing is left of a program.
func (h *Host) forget(p *process) {
	h.mu.Lock()
	delete(h.running, p)
	h.mu.Unlock()
	h.ended.Done()
}

// Close ends every program as its time's end would, starts no more, and returns
// when none is left. Requests that are on their way are better let finish before.
func (h *Host) Close() {
	h.stopAll(func(*process) {})
	h.ended.Wait()
}

// Kill ends every program at once and does not wait: it is for a process that is
// about to end.
func (h *Host) Kill() {
	h.stopAll(func(p *process) { p.signal(syscall.SIGKILL) })
}

func (h *Host) stopAll(end func(*process)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for p, stop := range h.running {
		stop(errClosed)
		end(p)
	}
}

// localRedirect serves a local redirect: RFC 3875, section 6.2.2. Where we have
// a program for the path it runs, in the place of the first, which has ended.
// All else, such as the front end's own files, is for the client to ask for.
func (h *Host) localRedirect() http.Handler {
	return scgi.StripMount(h.Mount, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.Has(r) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Location", r.RequestURI)
		w.WriteHeader(http.StatusFound)
	}))
}
