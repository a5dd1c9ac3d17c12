package scgi

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// quickListener accepts from a listener's descriptor without what net's Accept
// adds, and gives sockets. It has a copy of the descriptor, because net does not
// let others wait on its own.
type quickListener struct {
	net.Listener // the one that was given, for its address and its end
	raw          syscall.RawConn
	file         *os.File
	unix         bool

	accepting func(fd uintptr) bool // made once
	fd        int                   // what it accepted
	errno     syscall.Errno
}

// quick returns a listener that does less for the same, or l itself where that
// cannot be.
func quick(l net.Listener) net.Listener {
	var file *os.File
	var err error
	unix := false
	switch socket := plain(l).(type) {
	case *net.UnixListener:
		unix = true
		file, err = socket.File()
	case *net.TCPListener:
		if file, err = socket.File(); err == nil {
			err = inheritTCP(file)
		}
	default:
		return l
	}
	if err != nil {
		return l // Accept will say what is wrong with it
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close() // only a copy
		return l
	}
	q := &quickListener{Listener: l, raw: raw, file: file, unix: unix}
	q.accepting = q.accept4
	return q
}

// direct is what a listener may implement around one of package net: it returns
// that if Accept does nothing else to its connections, and nil otherwise. It is
// given the listener that is served, which is another one if somebody has put one
// around it by embedding.
type direct interface {
	Direct(served net.Listener) net.Listener
}

// plain finds the listener of package net whose connections need nothing done
// to them; nil when there is none.
func plain(l net.Listener) net.Listener {
	if around, ok := l.(direct); ok {
		return around.Direct(l)
	}
	return l
}

// inheritTCP sets on the listener what net sets on each connection: on Linux
// they begin with the options of their listener.
func inheritTCP(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	const seconds = 15 // and 9 probes, as in package net
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = errors.Join(
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, seconds),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, seconds),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1))
	})
	return errors.Join(err, failed)
}

// Accept implements net.Listener.
func (q *quickListener) Accept() (net.Conn, error) {
	if err := q.raw.Read(q.accepting); err != nil {
		return nil, err
	}
	if q.errno != 0 {
		return nil, &net.OpError{Op: "accept", Net: q.Addr().Network(), Addr: q.Addr(), Err: os.NewSyscallError("accept4", q.errno)}
	}
	return &socket{fd: q.fd, unix: q.unix}, nil
}

// accept4 reports false where there is nothing to accept, and the poller waits.
func (q *quickListener) accept4(listener uintptr) bool {
	for {
		fd, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, listener, 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case syscall.EAGAIN:
			return false
		case syscall.EINTR, syscall.ECONNABORTED:
			continue
		}
		q.fd, q.errno = int(fd), errno
		return true
	}
}

// SetDeadline ends a wait in Accept.
func (q *quickListener) SetDeadline(by time.Time) error { return q.file.SetReadDeadline(by) }

// SyscallConn implements syscall.Conn.
func (q *quickListener) SyscallConn() (syscall.RawConn, error) { return q.raw, nil }

// Close implements net.Listener.
func (q *quickListener) Close() error { return errors.Join(q.file.Close(), q.Listener.Close()) }
