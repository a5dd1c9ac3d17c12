// Package cgihost is the server's side of CGI, RFC 3875: it runs a program for
// each request that an scgi.Server serves, and makes an answer of what it prints.
//
// No program waits for a client. The body of a request is received whole before
// its program starts, and the output is kept while the client takes it: both in
// memory up to 64 KiB, and in an unlinked temporary file (in TMPDIR, or /tmp)
// when they are larger. So a slow client holds no place that others wait for, and
// nginx, which sends nothing more of a body once the answer has begun, has sent
// all of it by then. What a program prints can be read by its client at once.
//
// A program gets the environment of the SCGI request (see environ.go for what of
// it), the request's body as its standard input, and its own folder as the
// working directory; never arguments. It leads a process group of its own, and
// nothing of that group outlives the request: SIGTERM ends it when the client goes
// away, the time is over, or anything else ends the answer, SIGKILL two seconds
// later. What a program leaves behind may still print, for two seconds at most,
// and is killed then. What must live on leaves the group with setsid(1).
//
// When this process is killed, Linux kills the programs with it, but not the
// processes that those have started.
//
// Programs run with the rights of this process: they can read and write whatever
// it can, its store included.
package cgihost

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/scgi"
)

// Host runs CGI programs. Its fields must be set before it serves and not be
// changed after.
type Host struct {
	// Programs says which path stands for what.
	Programs []Mount
	// Mount is the one that scgi.StripMount was given; paths are below it.
	Mount string
	// Gate says how many programs run at a time and how many requests wait for
	// one, with their bodies here.
	Gate admission.Gate
	// Timeout is how long a program may run; zero means one minute. How long its
	// client takes to send a body or to read an answer does not count.
	Timeout time.Duration
	// MaxBody is how many bytes the body of a request may have; zero means 1 GiB.
	MaxBody int64
	// MaxOutput is how many bytes a program may print; zero means 100 MiB.
	MaxOutput int64
	// Budget bounds the memory that bodies and outputs take; nil means no bound.
	// Bytes beyond that bound go to a temporary file.
	Budget *admission.Budget
	// Disk bounds the temporary files of all requests together; nil means no
	// bound. A request that finds no room there is refused, or broken off if its
	// answer has begun.
	Disk *admission.Budget
	// Env are further variables for all programs, "NAME=VALUE". CheckEnv says
	// which names there may be.
	Env []string
	// Software is SERVER_SOFTWARE, such as "windsock/1.0".
	Software string
	// Logger gets what programs print as errors, and how they ended if that was
	// not well. The zero Logger is silent.
	Logger zerolog.Logger

	inherited sync.Once // closes to programs what this process was started with

	mu      sync.Mutex // guards what follows
	closed  bool
	starter *starter                             // nil until the first start
	running map[*process]context.CancelCauseFunc // which end their runs
	ended   sync.WaitGroup
}

var _ http.Handler = (*Host)(nil)

const (
	defaultTimeout   = time.Minute
	defaultMaxBody   = 1 << 30
	defaultMaxOutput = 100 << 20
)

func (h *Host) timeout() time.Duration { return cmp.Or(h.Timeout, defaultTimeout) }
func (h *Host) maxBody() int64         { return cmp.Or(h.MaxBody, defaultMaxBody) }
func (h *Host) maxOutput() int64       { return cmp.Or(h.MaxOutput, defaultMaxOutput) }

// Has reports whether there is a program for a request.
func (h *Host) Has(r *http.Request) bool {
	_, ok := h.find(r)
	return ok
}

// ServeHTTP implements http.Handler. A path without a program is 404.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, ok := h.find(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if err := h.serve(w, r, s); err != nil {
		h.fail(w, r, s, err)
	}
}

// serve runs a program once the body is here and there is a place. An error is
// the answer.
func (h *Host) serve(w http.ResponseWriter, r *http.Request, s script) error {
	body, err := h.receive(w, r)
	if err != nil {
		h.logBody(s, err)
		return err
	}
	leave, err := h.Gate.Enter(r.Context())
	if err == nil {
		return h.run(w, r, s, body, leave)
	}
	if body != nil {
		body.close()
	}
	return err
}

// errClosed is why a program is ended by Close, errStopping why none is started.
var (
	errClosed   = errors.New("the server is stopping")
	errStopping = &admission.Refused{Reason: "The server is stopping; ask again later."}
)

// errExhausted is the answer where the system has too little of something that
// others will give back.
var errExhausted = &admission.Refused{Reason: "The server has no descriptors or processes left for this; ask again later."}

// isExhausted reports whether a system call failed for that.
func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM)
}

// startError is why a program could not be started.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// fail answers a request whose answer has not begun.
func (h *Host) fail(w http.ResponseWriter, r *http.Request, s script, err error) {
	if errors.As(err, new(*startError)) {
		h.logger(s).Error().Err(err).Str("file", s.file).Msg("a CGI program could not be started")
		if !errors.As(err, new(*admission.Refused)) {
			http.Error(w, http.StatusText(http.StatusBadGateway), http.StatusBadGateway)
			return
		}
	}
	web.WriteError(w, r, err)
}

func (h *Host) logger(s script) *zerolog.Logger {
	logger := h.Logger.With().Str("program", s.name).Logger()
	return &logger
}

// start starts a program that Close knows of, and how to stop its run.
func (h *Host) start(s script, env []string, stdin *os.File, stop context.CancelCauseFunc) (p *process, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errStopping
	}
	h.inherited.Do(closeInherited)
	if h.starter == nil {
		h.starter = newStarter()
	}
	h.starter.do(func() { p, err = startProcess(s.file, env, stdin) })
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
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starter.close()
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

// localRedirect serves a local redirect: RFC 3875, section 6.2.2. A program for
// the path takes a place of its own: the first one has ended and given its back.
// All else, such as the front end's own files, is for the client to ask for, by
// the path that the first program printed.
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
