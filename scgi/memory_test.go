package scgi_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
)

// This file is a network in memory: connections that behave like those of a unix
// socket (a buffer each way, half-close, deadlines, a reset when something is
// unread) but block only on what synctest knows.

// memoryListener is a net.Listener of such connections. Like net's it stops for
// a deadline; unlike net's it has no queue.
type memoryListener struct {
	room   int // bytes that a connection holds each way
	conns  chan net.Conn
	errs   chan error    // what Accept shall fail with
	closed chan struct{} // by Close
	close  sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{room: 256 << 10, conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

// startMemory starts srv on a listener of its own and shuts it down at the end.
func startMemory(t testing.TB, srv *scgi.Server) *memoryListener {
	t.Helper()
	l := newMemoryListener()
	if srv.Logger == nil {
		srv.Logger = newRecorder().logger()
	}
	require.NoError(t, srv.Start(l))
	t.Cleanup(func() {
		_ = srv.Close()
		<-srv.Done()
	})
	return l
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	err := net.ErrClosed
	l.close.Do(func() { close(l.closed); err = nil })
	return err
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

// dial connects, once Accept takes the connection.
func (l *memoryListener) dial() (*memoryConn, error) {
	client, server := memoryPipe(l.room)
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	}
}

// connect is dial for tests that expect it to work.
func (l *memoryListener) connect(t testing.TB) *memoryConn {
	t.Helper()
	c, err := l.dial()
	require.NoError(t, err)
	return c
}

// send connects and writes.
func (l *memoryListener) send(t testing.TB, raw []byte) *memoryConn {
	t.Helper()
	c := l.connect(t)
	_, err := c.Write(raw)
	require.NoError(t, err)
	return c
}

// ask sends raw and returns all that comes back until the server closes.
func (l *memoryListener) ask(t testing.TB, raw []byte) string {
	t.Helper()
	return l.send(t, raw).rest(t)
}

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }

// memoryConn is one end of a connection.
type memoryConn struct{ in, out *memoryStream }

func memoryPipe(room int) (a, b *memoryConn) {
	x, y := newMemoryStream(room), newMemoryStream(room)
	return &memoryConn{x, y}, &memoryConn{y, x}
}

func (c *memoryConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memoryConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memoryConn) LocalAddr() net.Addr         { return memoryAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr        { return memoryAddr{} }

// CloseWrite ends this end's half.
func (c *memoryConn) CloseWrite() error { return c.out.end(false) }

func (c *memoryConn) Close() error {
	unread, err := c.in.abandon()
	if err != nil {
		return err
	}
	_ = c.out.end(unread) // it may be closed already, by CloseWrite
	return nil
}

func (c *memoryConn) SetReadDeadline(t time.Time) error  { return c.in.reading.set(c.in, t) }
func (c *memoryConn) SetWriteDeadline(t time.Time) error { return c.out.writing.set(c.out, t) }
func (c *memoryConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// rest reads what comes until the server closes, which is no error.
func (c *memoryConn) rest(t testing.TB) string {
	t.Helper()
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(answer)
}

// memoryStream is one direction of a connection.
type memoryStream struct {
	mu        sync.Mutex
	changed   sync.Cond
	buf       []byte
	room      int
	ended     bool // the writer has closed
	reset     bool // it closed with something unread
	abandoned bool // the reader has closed
	reading   memoryDeadline
	writing   memoryDeadline
}

func newMemoryStream(room int) *memoryStream {
	s := &memoryStream{room: room}
	s.changed.L = &s.mu
	return s
}

// memoryDeadline is guarded by its stream's mutex.
type memoryDeadline struct {
	passed bool
	timer  *time.Timer
}

func (d *memoryDeadline) set(s *memoryStream, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	left := time.Until(at)
	d.passed = !at.IsZero() && left <= 0
	if !at.IsZero() && left > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if d.timer == timer {
				d.passed = true
				s.changed.Broadcast()
			}
		})
		d.timer = timer
	}
	s.changed.Broadcast()
	return nil
}

func (s *memoryStream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.abandoned:
			return 0, net.ErrClosed
		case s.reading.passed:
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > 0 || len(p) == 0:
			n := copy(p, s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.reset:
			return 0, syscall.ECONNRESET
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *memoryStream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.ended:
			return n, net.ErrClosed
		case s.abandoned:
			return n, syscall.EPIPE
		case s.writing.passed:
			return n, os.ErrDeadlineExceeded
		}
		m := min(len(p), s.room-len(s.buf))
		s.buf = append(s.buf, p[:m]...)
		n, p = n+m, p[m:]
		s.changed.Broadcast()
		if len(p) == 0 {
			return n, nil
		}
		s.changed.Wait()
	}
}

func (s *memoryStream) end(reset bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended && !reset {
		return net.ErrClosed
	}
	s.ended, s.reset = true, reset
	s.changed.Broadcast()
	return nil
}

func (s *memoryStream) abandon() (unread bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abandoned {
		return false, net.ErrClosed
	}
	s.abandoned = true
	s.changed.Broadcast()
	return len(s.buf) > 0, nil
}

func TestMemoryConn(t *testing.T) {
	a, b := memoryPipe(4)
	go func() {
		_, _ = a.Write([]byte("more than fits")) // the test sees what is missing
		_ = a.CloseWrite()
	}()
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, "more than fits", string(got))
	_, err = b.Write([]byte("back"))
	require.NoError(t, err)
	require.NoError(t, a.SetReadDeadline(time.Unix(1, 0)))
	_, err = a.Read(make([]byte, 4))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, a.SetReadDeadline(time.Time{}))
	require.NoError(t, a.Close(), "with four bytes unread")
	_, err = b.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.EPIPE)
	_, err = b.Read(make([]byte, 1))
	require.True(t, errors.Is(err, syscall.ECONNRESET), "%v", err)
	require.True(t, bytes.Equal(got, []byte("more than fits")))
}
