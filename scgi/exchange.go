package scgi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// exchange is one request and its answer on a connection of their own.
type exchange struct {
	r       *http.Request
	conn    net.Conn
	timeout time.Duration // for the answer's header, once the request was sent
	stop    func() bool   // ends the watch on the request's context
	failed  chan error    // why the request was not sent whole; holds one
	to      sink          // where it is written

	mu       sync.Mutex
	answered bool        // guarded by mu: the header is here
	timer    *time.Timer // guarded by mu: of timeout
}

func newExchange(r *http.Request, conn net.Conn, timeout time.Duration) *exchange {
	x := &exchange{r: r, conn: conn, timeout: timeout, failed: make(chan error, 1), to: sink{conn: conn}}
	x.stop = context.AfterFunc(r.Context(), x.breakOff)
	return x
}

// send writes the request, and ends with it or with the connection, or when a
// body that blocks returns. An application that answers early may well have
// stopped reading; so an error counts only when there is no answer.
func (x *exchange) send(mount string) {
	defer closeBody(x.r)
	if err := writeRequest(&x.to, x.r, mount); err != nil {
		x.failed <- err
		if !x.to.failed {
			_ = x.conn.Close() // the request cannot be completed, so no answer will come
			return
		}
	}
	x.startTimer()
}

// sink tells the errors of the connection from those of what is written to it.
type sink struct {
	conn   net.Conn
	failed bool // belongs to who writes

	mu    sync.Mutex // held while it writes
	reset bool       // guarded by mu: the application reads no more
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.conn.Write(p)
	s.failed = s.failed || err != nil
	s.reset = s.reset || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	return n, err
}

// wasReset ends the writing, and reports whether the application had done so: a
// reset is told once, to who writes or to who reads.
func (s *sink) wasReset() bool {
	_ = s.conn.SetWriteDeadline(time.Unix(1, 0))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reset
}

// startTimer bounds the wait for the answer's header from now on.
func (x *exchange) startTimer() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.timeout <= 0 || x.answered {
		return
	}
	x.timer = time.AfterFunc(x.timeout, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if !x.answered {
			_ = x.conn.SetReadDeadline(time.Unix(1, 0)) // a connection without deadlines has no such bound
		}
	})
}

func (x *exchange) stopTimer() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answered = true
	if x.timer != nil {
		x.timer.Stop()
		_ = x.conn.SetReadDeadline(time.Time{}) // it may just have ended
	}
}

// receive reads the answer's header.
func (x *exchange) receive() (*http.Response, error) {
	resp, err := ReadResponse(bufio.NewReader(x.conn), x.r)
	x.stopTimer()
	if err != nil {
		return nil, x.explain(err)
	}
	body := &answerReader{exchange: x, body: resp.Body, length: resp.ContentLength}
	if resp.Body == http.NoBody {
		body.length = 0
	}
	resp.Body = body
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = upgraded{body}
	}
	return resp, nil
}

// explain gives the reason why there is no answer.
func (x *exchange) explain(err error) error {
	if isMalformed(err) {
		return err
	}
	if x.timeout > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return headerTimeout(x.timeout)
	}
	select {
	case failed := <-x.failed:
		return failed // so no answer came
	default:
		return err
	}
}

// headerTimeout is the error of an answer that does not begin.
type headerTimeout time.Duration

var _ net.Error = headerTimeout(0)

// Error implements error.
func (t headerTimeout) Error() string {
	return fmt.Sprintf("scgi: the application did not answer within %v", time.Duration(t))
}

// Timeout implements net.Error.
func (headerTimeout) Timeout() bool { return true }

// Temporary implements net.Error.
func (headerTimeout) Temporary() bool { return true }

// Unwrap makes it what a connection's own deadline gives.
func (headerTimeout) Unwrap() error { return os.ErrDeadlineExceeded }

// why is the reason behind an error.
func (x *exchange) why(err error) error { return orCause(x.r.Context(), err) }

// orCause gives what ended the context, once that has ended, in place of an error
// that came from it.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// Close ends the exchange.
func (x *exchange) Close() error {
	x.stop()
	x.breakOff()
	return nil
}

// breakOff ends both directions, a read of the request's body included.
func (x *exchange) breakOff() {
	_ = x.conn.Close() // the answer has been taken, or is not wanted
	closeBody(x.r)
}

// answerReader is the body of an answer. The exchange ends with it, or with its
// Close.
type answerReader struct {
	*exchange
	body   io.Reader
	length int64 // -1: up to the end
	ended  bool
}

// Read implements io.Reader.
func (b *answerReader) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	n, err := b.body.Read(p)
	if err == nil {
		return n, nil
	}
	if err = b.endedBy(err); err != nil {
		return n, b.why(err)
	}
	b.ended = true
	_ = b.Close()
	return n, io.EOF
}

// endedBy gives nil when the answer is whole. One without a length ends with the
// connection. On TCP a reset may have taken a part of it away; on a unix socket it
// takes nothing, and says only that the application left a part of the request
// unread.
func (b *answerReader) endedBy(err error) error {
	atEnd, reset := errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET)
	switch {
	case !atEnd && !reset:
		return err
	case b.length < 0 && b.onUnix():
		return nil
	case b.length < 0 && atEnd && b.to.wasReset():
		return &net.OpError{Op: "read", Net: "tcp", Addr: b.conn.RemoteAddr(), Err: syscall.ECONNRESET}
	case atEnd:
		return nil
	}
	return err
}

// onUnix reports whether the connection is a unix socket's.
func (x *exchange) onUnix() bool {
	addr := x.conn.RemoteAddr()
	return addr != nil && addr.Network() == "unix" // nil: a connection of DialContext's that has none
}

// upgraded is the body of a 101: a way to talk to the application both ways. The
// end of one way is not that of the other.
type upgraded struct{ *answerReader }

var _ io.ReadWriteCloser = upgraded{}

// Read implements io.Reader.
func (u upgraded) Read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.why(err)
	}
	return n, err
}

// Write implements io.Writer.
func (u upgraded) Write(p []byte) (int, error) { return u.conn.Write(p) }
