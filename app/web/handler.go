// Package web is windsock's HTTP surface: one table of paths, and a file for each of
// its actions.
//
// A body is received whole before anything that requests share is taken for it, and an
// answer is sent after that was given back. So a slow client holds memory, within a
// budget, and never a place (package admission).
//
// A batch upload is taken apart by a splitter. It finds where an item ends; package
// habitat says whether the item is a message. In an array an item that is not JSON
// ends the batch, because the beginning of the next item would be a guess. An item
// that is JSON and not valid does not end it, nor does any line of NDJSON. A batch is
// committed in chunks of 1,000 messages or 1 MiB, so at most 27 times. Items that came
// whole before a fault are stored; the index of the answer says up to where. Eight
// batches are stored at a time.
//
// A zstd decoder sets aside its window (8 MiB, RFC 9659) for the shortest body, so
// few bodies are decoded at a time. A decoder starts when the whole body is here, and
// ends before anything is committed.
//
// Errors become answers in one function, answerTo.
package web

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/feed"
)

// Handler is windsock's HTTP surface, as it stands under the mount. Its fields
// must be set before it serves and not be changed after.
type Handler struct {
	Log       app.Store
	Committer *commit.Committer
	// Tail feeds the event streams: one of Log, that has been started and is
	// told what the Committer stores.
	Tail *feed.Tail
	// Logger gets one line a request and the cause of every failure. The zero
	// Logger is silent.
	Logger zerolog.Logger
	// Version is shown on the status page.
	Version string
	// Other finds who serves a path that is none of windsock's own; nil, both
	// for Other and as its result, means that nobody does.
	Other func(*http.Request) http.Handler
	// Keep says there how much is kept; empty when nothing is to be said of it.
	Keep string
	// Budget bounds the bytes of bodies that are being received and pages that
	// are being sent; nil means no bound.
	Budget *admission.Budget

	noAddress sync.Once // tells the log that a REMOTE_ADDR is none
	gates     gates
}

// gates bound the work on bodies that have been received.
type gates struct {
	once     sync.Once
	batches  admission.Gate // batches being decoded and stored
	decoders admission.Gate // single messages being decoded
}

// Numbers of places. A batch that is being stored takes up to 16 MiB decoded, and
// 8 MiB for a window of zstd. More at a time would not be faster: they share one
// committer.
const (
	batchPlaces   = 8
	decoderPlaces = 8
	gatePatience  = 10 * time.Second
)

func (g *gates) init() *gates {
	g.once.Do(func() {
		g.batches.Places, g.decoders.Places = batchPlaces, decoderPlaces
		// The connections bound how many wait; the budget bounds what they hold.
		g.batches.Waiting, g.decoders.Waiting = math.MaxInt32, math.MaxInt32
		g.batches.Patience, g.decoders.Patience = gatePatience, gatePatience
	})
	return g
}

// Drain refuses the batches that wait for a place, and those that come later: a stop
// has no time for them. Batches that are being stored are not touched.
func (h *Handler) Drain() { h.batches().Drain() }

func (h *Handler) batches() *admission.Gate  { return &h.gates.init().batches }
func (h *Handler) decoders() *admission.Gate { return &h.gates.init().decoders }

var _ http.Handler = (*Handler)(nil)

// action is what the surface does at one path.
type action struct {
	path   string
	method string // GET stands for HEAD too
	serve  func(*Handler, http.ResponseWriter, *http.Request) error
}

// actions is the whole surface.
var actions = []action{
	{"/", http.MethodGet, (*Handler).info},
	{"/message", http.MethodPost, (*Handler).insert},
	{"/messages", http.MethodGet, (*Handler).read},
	{"/messages", http.MethodPost, (*Handler).insertBatch},
	{"/messages/stream", http.MethodGet, (*Handler).stream},
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Logger.GetLevel() > zerolog.InfoLevel {
		h.serve(w, r)
		return
	}
	logged := &accessLog{ResponseWriter: w, start: time.Now()}
	defer logged.write(&h.Logger, r)
	h.serve(logged, r)
	logged.status = cmp.Or(logged.status, http.StatusOK) // as net/http has it
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	serve, err := h.route(r)
	if err == nil {
		err = serve(h, w, r)
	}
	if err != nil {
		h.fail(w, r, err)
	}
}

// route finds what a request asks for.
func (h *Handler) route(r *http.Request) (func(*Handler, http.ResponseWriter, *http.Request) error, error) {
	var allowed []string
	for _, a := range actions {
		if a.path != r.URL.Path {
			continue
		}
		if a.method == r.Method || a.method == http.MethodGet && r.Method == http.MethodHead {
			return a.serve, nil
		}
		allowed = append(allowed, a.method)
		if a.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if allowed == nil {
		return h.routeOther(r)
	}
	return nil, &statusError{
		status: http.StatusMethodNotAllowed,
		detail: "This path takes " + strings.Join(allowed, " and ") + ".",
		header: http.Header{"Allow": {strings.Join(allowed, ", ")}},
	}
}

// IsOwnPath reports whether a path is one that windsock itself serves.
func IsOwnPath(path string) bool {
	return slices.ContainsFunc(actions, func(a action) bool { return a.path == path })
}

// routeOther finds who else serves a path.
func (h *Handler) routeOther(r *http.Request) (func(*Handler, http.ResponseWriter, *http.Request) error, error) {
	if h.Other != nil {
		if other := h.Other(r); other != nil {
			return func(_ *Handler, w http.ResponseWriter, r *http.Request) error {
				other.ServeHTTP(w, r)
				return nil
			}, nil
		}
	}
	return nil, &statusError{status: http.StatusNotFound, detail: notFound}
}

// notFound is habitat.http's answer, in its words.
var notFound = "Action not found. Try one of these: " + strings.Join(actionNames(), ", ")

func actionNames() []string {
	var names []string
	for _, a := range actions {
		if name := strings.TrimPrefix(a.path, "/"); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
