package scgi

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// socket is a connection as the kernel gives it, without what net.Conn adds to
// one at once: two calls of epoll_ctl(2), getsockname(2), and on TCP five of
// setsockopt(2). With a front end the request is there when the connection is,
// and the answer fits the socket's buffer, so nothing ever waits. The first call
// that would have to wait makes an *os.File of the descriptor, which is how the
// runtime's poller comes in, with its deadlines.
//
// Whoever uses the descriptor holds mu or goes through that file, which counts
// its users itself. So it may be closed from any goroutine, and nobody meets
// another connection under a number that was given anew.
type socket struct {
	unix bool

	mu      sync.Mutex // guards what follows, and is held in calls that do not wait
	fd      int        // -1 once it is closed or given away
	file    *os.File   // nil until something had to wait
	given   net.Conn   // what a hijacker got
	readBy  time.Time  // deadlines, which are the file's too once there is one
	writeBy time.Time
}

var _ quickConn = (*socket)(nil)

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	n, waits, err := s.try(p, &s.readBy, receive)
	switch {
	case waits != nil:
		n, err = waits.Read(p)
	case err == nil && n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, s.fault("read", err)
}

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) {
	n, waits, err := s.try(p, &s.writeBy, send)
	if waits != nil {
		var rest int
		rest, err = waits.Write(p[n:])
		n += rest
	}
	return n, s.fault("write", err)
}

// sendNow implements quickConn.
func (s *socket) sendNow(p []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 || s.waiting() != nil {
		return 0
	}
	n, _ := send(s.fd, p) // a Write will say what is wrong
	return n
}

// waiting is what goes on where a socket would have to wait.
type waiting interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// try makes a call that does not wait. Where that is not enough it returns how
// to go on after n bytes.
func (s *socket) try(p []byte, by *time.Time, call func(fd int, p []byte) (int, error)) (n int, waits waiting, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waiting(); w != nil {
		return 0, w, nil
	}
	if s.fd < 0 {
		return 0, nil, net.ErrClosed
	}
	if !by.IsZero() && !time.Now().Before(*by) {
		return 0, nil, os.ErrDeadlineExceeded
	}
	n, err = call(s.fd, p)
	if err == syscall.EAGAIN || err == nil && n < len(p) && by == &s.writeBy {
		waits, err = s.promote()
	}
	return n, waits, err
}

// waiting is nil as long as nothing had to wait. The caller holds mu.
func (s *socket) waiting() waiting {
	switch {
	case s.given != nil:
		return s.given
	case s.file != nil:
		return s.file
	}
	return nil
}

// promote puts the descriptor into the poller. The caller holds mu.
func (s *socket) promote() (*os.File, error) {
	s.file = os.NewFile(uintptr(s.fd), "") // not blocking, as accept4 made it
	return s.file, errors.Join(s.file.SetReadDeadline(s.readBy), s.file.SetWriteDeadline(s.writeBy))
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waiting(); w != nil {
		s.fd = -1
		return s.fault("close", w.Close()) // which wakes whoever waits
	}
	if s.fd < 0 {
		return s.fault("close", net.ErrClosed)
	}
	fd := s.fd
	s.fd = -1
	return s.fault("close", closeNow(fd))
}

// SetReadDeadline implements net.Conn.
func (s *socket) SetReadDeadline(by time.Time) error {
	return s.setBy(&s.readBy, by, waiting.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(by time.Time) error {
	return s.setBy(&s.writeBy, by, waiting.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (s *socket) SetDeadline(by time.Time) error {
	return errors.Join(s.SetReadDeadline(by), s.SetWriteDeadline(by))
}

func (s *socket) setBy(own *time.Time, by time.Time, set func(waiting, time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	*own = by
	if w := s.waiting(); w != nil {
		return s.fault("set", set(w, by))
	}
	return nil
}

// CloseWrite ends this end's half, as that of *net.UnixConn and *net.TCPConn.
func (s *socket) CloseWrite() error {
	return s.control("close", func(fd int) error { return syscall.Shutdown(fd, syscall.SHUT_WR) })
}

// SetLinger is that of *net.TCPConn, for 0 or more.
func (s *socket) SetLinger(sec int) error {
	if s.unix {
		return errors.ErrUnsupported
	}
	return s.control("set", func(fd int) error {
		return syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1, Linger: int32(sec)})
	})
}

// File returns a copy of the descriptor, as those of package net do.
func (s *socket) File() (file *os.File, err error) {
	err = s.control("file", func(fd int) error {
		copied, err := duplicate(fd)
		if err == nil {
			file = os.NewFile(uintptr(copied), "")
		}
		return err
	})
	return file, err
}

// control does something with the descriptor that does not wait.
func (s *socket) control(op string, do func(fd int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return s.fault(op, net.ErrClosed)
	}
	return s.fault(op, do(s.fd))
}

// LocalAddr implements net.Conn. The kernel is asked now, and not for every
// connection.
func (s *socket) LocalAddr() net.Addr { return s.addr(syscall.Getsockname) }

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr { return s.addr(syscall.Getpeername) }

func (s *socket) addr(ask func(int) (syscall.Sockaddr, error)) net.Addr {
	var found syscall.Sockaddr
	_ = s.control("address", func(fd int) (err error) { found, err = ask(fd); return err }) // then it has none
	return netAddr(found, s.unix)
}

// giveAway makes the *net.UnixConn or *net.TCPConn of it that a hijacker expects.
// What is read here from then on is read from that.
func (s *socket) giveAway() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil, s.fault("hijack", net.ErrClosed)
	}
	file := s.file
	if file == nil {
		file = os.NewFile(uintptr(s.fd), "")
		s.file = file
	}
	conn, err := net.FileConn(file) // on a copy of the descriptor
	if err != nil {
		return nil, err
	}
	_ = file.Close() // the copy is as good
	s.fd, s.given = -1, conn
	return conn, nil
}

// fault makes of an error one of those that package net gives.
func (s *socket) fault(op string, err error) error {
	if err == nil || err == io.EOF {
		return err // the usual cases, and no allocation
	}
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = os.ErrDeadlineExceeded
	case errors.As(err, &errno):
		err = os.NewSyscallError(op, errno)
	}
	network := "tcp"
	if s.unix {
		network = "unix"
	}
	return &net.OpError{Op: op, Net: network, Err: err}
}

// netAddr makes a net.Addr of what the kernel says.
func netAddr(addr syscall.Sockaddr, unix bool) net.Addr {
	switch a := addr.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port, Zone: zone(a.ZoneId)}
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Net: "unix", Name: a.Name}
	}
	if unix {
		return &net.UnixAddr{Net: "unix"}
	}
	return &net.TCPAddr{}
}

func zone(id uint32) string {
	if id == 0 {
		return ""
	}
	if device, err := net.InterfaceByIndex(int(id)); err == nil {
		return device.Name
	}
	return ""
}
