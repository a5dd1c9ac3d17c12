package scgi

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection and with it one request: SCGI has no second one. All
// that a request needs hangs on it, and it is never used again.
type conn struct {
	srv *Server
	rwc net.Conn
	br  *bufio.Reader // pooled, but for a hijacked connection

	vars  Vars
	ctx   requestContext
	body  body
	resp  response
	parts requestParts

	ended    bool // the context; owned by serve's goroutine, as closed
	closed   bool
	headerBy time.Time // the header's deadline; guarded by srv.mu, as what follows
	links    connLinks

	hijacked atomic.Bool // set under mu

	mu       sync.Mutex // guards what follows
	past     bool       // past the header: the read deadline is the body's
	readBy   time.Time  // the handler's own deadlines; zero means none
	writeBy  time.Time
	lingerBy time.Time // the end of a drain; zero before it
}

// readers are the connections' read buffers. Most requests fit one whole; and with
// more a slow client would cost more than 10 KiB, see BenchmarkSlowClients.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 3<<10) }}

// serve runs the connection from its first byte to its end. It is the only
// one to close it in peace; Server.Close may break it at any time.
func (c *conn) serve() {
	defer c.srv.forget(c)
	defer c.settle()
	c.br = readers.Get().(*bufio.Reader)
	c.br.Reset(c.rwc)
	if c.srv.ConnContext != nil {
		c.ctx.Context = c.srv.ConnContext(c.ctx.Context, c.rwc)
	}

	r, err := c.readRequest()
	if err != nil {
		c.refuse(err)
		return
	}
	c.srv.stats.requests.Add(1)
	c.setState(http.StateActive)
	whole := c.handle(r)
	c.endContext() // and not only after what may be drained
	if c.isHijacked() {
		return
	}
	if !whole || c.resp.finish() != nil {
		c.breakOff()
		return
	}
	c.finish()
}

// readRequest reads the header and makes the request of it.
func (c *conn) readRequest() (*http.Request, error) {
	vars, err := ReadHeader(c.br, c.srv.MaxHeaderBytes)
	if err != nil {
		return nil, err
	}
	c.pastHeader()
	c.vars = vars
	r, err := newRequest(&c.ctx, vars, &c.parts)
	if err != nil {
		return nil, err
	}
	if r.ContentLength > 0 {
		c.body.c, c.body.remaining = c, r.ContentLength
		r.Body = &c.body
	}
	c.resp.start(c, r)
	return r, nil
}

// handle calls the handler and reports whether its answer may be finished. A
// panic ends the request, never the process: an answer that has not begun
// becomes a 500, one that has is broken off as visibly as can be.
func (c *conn) handle(r *http.Request) (whole bool) {
	defer c.removeUploads(r)
	returned := false
	defer func() {
		if returned {
			return
		}
		cause := recover() // nil after runtime.Goexit
		if cause == http.ErrAbortHandler {
			return
		}
		c.srv.stats.panics.Add(1)
		c.srv.logger().Error("scgi: a handler panicked", "panic", fmt.Sprint(cause),
			"method", r.Method, "uri", r.RequestURI, "stack", stack())
		whole = cause != nil && !c.isHijacked() && c.resp.replace(http.StatusInternalServerError)
	}()
	c.srv.handler().ServeHTTP(&c.resp, r)
	returned = true
	return true
}

// removeUploads removes the temporary files of a multipart form, as net/http does.
// Here they also go after a panic. A handler that hijacks keeps them.
func (c *conn) removeUploads(r *http.Request) {
	if r.MultipartForm == nil || c.isHijacked() {
		return
	}
	if err := r.MultipartForm.RemoveAll(); err != nil {
		c.srv.logger().Warn("scgi: a temporary file of an upload remains", "error", err)
	}
}

func stack() string {
	buf := make([]byte, 16<<10)
	return string(buf[:runtime.Stack(buf, false)])
}

// settle leaves nothing behind, however serve ended: a panic outside the
// handler (in a hook of the server's owner, say) does not end the process, and
// a handler that called runtime.Goexit does not keep its connection.
func (c *conn) settle() {
	if cause := recover(); cause != nil {
		c.srv.stats.panics.Add(1)
		c.srv.logger().Error("scgi: a connection panicked", "panic", fmt.Sprint(cause), "stack", stack())
	}
	if !c.ended {
		c.endContext()
	}
	if !c.closed && !c.isHijacked() {
		c.breakOff()
	}
}

// endContext ends the request's context and the watch on the front end.
func (c *conn) endContext() {
	c.ended = true
	c.ctx.end()
	c.ctx.stopWatching()
}

// refuse ends a connection of which no request could be made.
func (c *conn) refuse(err error) {
	var malformed *ProtocolError
	switch {
	case errors.As(err, &malformed):
		c.pastHeader()
		c.srv.stats.malformed.Add(1)
		status := cmp.Or(malformed.status, http.StatusBadRequest)
		c.srv.logger().Warn("scgi: malformed request", "status", status, "error", malformed, "peer", peer(c.rwc))
		if c.write(plainAnswer(status)) == nil {
			c.drain()
		}
	case errors.Is(err, io.EOF):
		// A probe: lighttpd connects and closes when it starts a program.
		c.srv.logger().Debug("scgi: a peer closed without a request", "peer", peer(c.rwc))
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.srv.stats.malformed.Add(1)
		c.srv.logger().Info("scgi: a header was not complete in time", "peer", peer(c.rwc))
	default:
		c.srv.logger().Debug("scgi: a peer went away within the header", "error", err, "peer", peer(c.rwc))
	}
	c.close()
}

// peer is the other end's address for the log; on unix sockets it has none.
func peer(rwc net.Conn) slog.Value {
	if addr := rwc.RemoteAddr(); addr != nil && addr.String() != "" {
		return slog.StringValue(addr.String())
	}
	return slog.StringValue("@")
}

// finish ends a connection whose answer is complete. Nearly always nothing is
// unread then, and closing is all there is to do.
func (c *conn) finish() {
	if c.body.end() > 0 || c.br.Buffered() > 0 {
		c.drain()
	}
	c.close()
}

// close closes in peace.
func (c *conn) close() {
	c.closed = true
	if err := c.rwc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.srv.logger().Debug("scgi: closing failed", "error", err)
	}
	c.body.end()
	c.br.Reset(nil)
	readers.Put(c.br)
	c.br = nil
	c.setState(http.StateClosed)
}

// breakOff closes so that the front end can see that the answer is not whole:
// with a reset on TCP. On a unix socket there is none, and only an answer with
// a Content-Length shows what it lacks.
func (c *conn) breakOff() {
	if tcp, ok := c.rwc.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // at worst it closes like a whole one
	}
	c.close()
}

// abort breaks the connection from another goroutine: its reads and writes
// fail, its request's context ends, and its own goroutine does the rest.
func (c *conn) abort() {
	c.mu.Lock()
	if !c.isHijacked() {
		_ = c.rwc.Close() // all that matters is that nobody waits on it any more
	}
	c.mu.Unlock()
	c.ctx.end()
	c.ctx.stopWatching() // whose descriptor would keep the connection open
}

// aLongTimeAgo is a deadline that wakes whoever waits.
var aLongTimeAgo = time.Unix(1, 0)

func (c *conn) setState(state http.ConnState) {
	if c.srv.ConnState != nil {
		c.srv.ConnState(c.rwc, state)
	}
}

func (c *conn) isHijacked() bool { return c.hijacked.Load() }

// giveAway ends the server's part in the connection.
func (c *conn) giveAway() {
	c.mu.Lock()
	c.hijacked.Store(true)
	c.mu.Unlock()
	c.body.end()
	c.ctx.stopWatching() // whose descriptor would keep open what the taker closes
	c.srv.forget(c)
	c.setState(http.StateHijacked)
}
