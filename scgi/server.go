package scgi

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServerClosed is returned by Serve and Start, at once or when they end,
// after a call of Shutdown or Close, and by Err when that is why the server is
// done. It is net/http's, so that code written for that works unchanged.
var ErrServerClosed = http.ErrServerClosed

// Serve accepts connections on l and answers each through h, with the defaults
// of a [Server], until accepting fails. It is fcgi.Serve for SCGI; a program
// that wants to stop it uses a Server of its own.
func Serve(l net.Listener, h http.Handler) error {
	return (&Server{Handler: h}).Serve(l)
}

// Server serves HTTP handlers behind front-end web servers that speak SCGI. Its
// zero value works: it serves http.DefaultServeMux. The exported fields must
// not be changed once the server serves.
//
// A server goes one way: new, serving, draining, closed. See the package's
// description for what its methods do at each of these moments.
type Server struct {
	// Handler answers the requests; nil means http.DefaultServeMux.
	Handler http.Handler

	// Logger gets what goes wrong with connections and handlers; nil means
	// slog.Default().
	Logger *slog.Logger

	// ReadHeaderTimeout bounds the time from accepting a connection to the end
	// of its header. 0 means 10 s, a negative value none. A connection that
	// misses it is closed without an answer.
	ReadHeaderTimeout time.Duration

	// IOTimeout bounds each wait for progress after the header: for more of the
	// body, or for the front end to take more of the answer. 0 means 60 s, a
	// negative value none. Totals are the handler's, see http.ResponseController.
	IOTimeout time.Duration

	// DrainHeaderTimeout is what is left to connections without a complete
	// header when Shutdown begins, unless ReadHeaderTimeout has less left. 0
	// means 1 s, a negative value what ReadHeaderTimeout has left.
	DrainHeaderTimeout time.Duration

	// MaxHeaderBytes bounds the header block; a longer one is answered 431.
	// 0 means 64 KiB, a negative value only what a length of nine digits gives.
	MaxHeaderBytes int

	// MaxConns bounds the connections that are open at once. When they are, none
	// is accepted and the kernel's queue holds new ones back. 0 and a negative
	// value mean no bound.
	MaxConns int

	// AllowHalfClose keeps a request's context alive when a peer on TCP ends its
	// sending half. Without it that counts as gone, since on TCP it cannot be
	// told from a full close. On unix sockets it can, and always is.
	AllowHalfClose bool

	// BaseContext gives the context from which those of all requests of a
	// listener descend; nil means context.Background().
	BaseContext func(net.Listener) context.Context

	// ConnContext may derive a connection's context from it. This hook and the
	// next get connections of package net, which cost more than those without.
	ConnContext func(context.Context, net.Conn) context.Context

	// ConnState is called when a connection is accepted (StateNew), when its
	// header is complete (StateActive), and when it ends or is hijacked. It must
	// not block: StateNew is called on the way to the next connection.
	ConnState func(net.Conn, http.ConnState)

	mu        sync.Mutex // guards what follows, but for stats
	made      bool       // the channels below
	state     serverState
	serving   chan struct{} // closed on leaving stateNew for stateServing
	draining  chan struct{} // closed on reaching stateDraining or stateClosed
	done      chan struct{} // closed when nothing runs any more
	cause     error         // what Err says once done is closed
	listeners map[*listener]struct{}
	conns     connList
	room      sync.Cond // signalled when a connection ends or the state changes
	waiting   []*waiter // Shutdowns

	idle        *worker // the one that was busy last; others follow
	idleWorkers int

	stats        counters
	portable     bool // keep to what package net does; set by tests
	bigHeaderLog sync.Once
}

// serverState only ever rises.
type serverState int

const (
	stateNew serverState = iota
	stateServing
	stateDraining // no new connections but those that were queued already
	stateClosed   // none at all, and those that are left are broken
)

// waiter is a Shutdown that waits for all connections but own, the one whose
// handler called it.
type waiter struct {
	own  *conn
	over chan struct{}
}

type counters struct {
	accepted, requests, malformed, panics, pauses atomic.Uint64
}

// Stats are counts since the server was made.
type Stats struct {
	Open      int    // connections that are open now, without hijacked ones
	Accepted  uint64 // connections
	Requests  uint64 // that were handed to the handler
	Malformed uint64 // connections that sent no proper header, or not in time
	Panics    uint64 // handlers that panicked
	Pauses    uint64 // times that accepting paused because of MaxConns
}

// Stats returns the server's counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := s.conns.n
	s.mu.Unlock()
	return Stats{
		Open:      open,
		Accepted:  s.stats.accepted.Load(),
		Requests:  s.stats.requests.Load(),
		Malformed: s.stats.malformed.Load(),
		Panics:    s.stats.panics.Load(),
		Pauses:    s.stats.pauses.Load(),
	}
}

func (s *Server) handler() http.Handler {
	if s.Handler == nil {
		return http.DefaultServeMux
	}
	return s.Handler
}

func (s *Server) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.Default()
	}
	return s.Logger
}

// nginxHeaderBuffer is the default of nginx's scgi_buffer_size on most machines.
const nginxHeaderBuffer = 4096

// checkHeaderSize says, once a server, that nginx will not take such a header.
func (s *Server) checkHeaderSize(n int) {
	if n > nginxHeaderBuffer {
		s.bigHeaderLog.Do(func() {
			s.logger().Warn("scgi: a handler sent more than 4096 bytes of header, which nginx answers with 502 unless its scgi_buffer_size is raised", "bytes", n)
		})
	}
}
