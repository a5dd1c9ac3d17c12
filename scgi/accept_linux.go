package scgi

import (
	"errors"
	"net"
	"os"
	"sync"
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
	inner        socketListener  // package net's below it
	given        syscall.RawConn // the Listener's own, to see whether that is closed
	unix         bool
	learned      bool // tcpOptions are set; owned by Accept's goroutine

	accepting func(fd uintptr) bool // made once
	fd        int                   // what it accepted
	errno     syscall.Errno

	mu    sync.Mutex
	timed bool // a deadline was set; guarded by mu
}

// closedCheck is how often a wait in Accept is interrupted to see whether the
// listener that was given is closed: that does not end a wait on the copy of its
// descriptor.
const closedCheck = time.Second

// quick returns a listener that does less for the same, or l itself where that
// cannot be.
func quick(l net.Listener) net.Listener {
	socket, ok := plain(l).(socketListener)
	if !ok {
		return l
	}
	q, err := newQuickListener(l, socket)
	if err != nil {
		return l // whose Accept will say what is wrong with it
	}
	return q
}

// socketListener is a *net.UnixListener or a *net.TCPListener.
type socketListener interface {
	net.Listener
	deadliner
	syscall.Conn
	File() (*os.File, error)
}

func newQuickListener(l net.Listener, socket socketListener) (*quickListener, error) {
	file, err := socket.File()
	if err != nil {
		return nil, err
	}
	q := &quickListener{Listener: l, file: file, inner: socket}
	q.accepting = q.accept4
	_, q.unix = socket.(*net.UnixListener)
	q.learned = q.unix
	q.given, err = socket.SyscallConn()
	if err == nil {
		q.raw, err = file.SyscallConn()
	}
	if err == nil {
		err = file.SetReadDeadline(time.Now().Add(closedCheck))
	}
	if err != nil {
		_ = file.Close() // only a copy
		return nil, err
	}
	return q, nil
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
		l = around.Direct(l)
	}
	switch l.(type) {
	case *net.UnixListener, *net.TCPListener:
		return l
	}
	return nil
}

// Accept implements net.Listener.
func (q *quickListener) Accept() (net.Conn, error) {
	if !q.learned {
		return q.acceptFirst()
	}
	for err := q.raw.Read(q.accepting); err != nil; err = q.raw.Read(q.accepting) {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if err := q.goOn(err); err != nil {
			return nil, err
		}
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

// goOn lets a wait go on that has come to a deadline, unless it was somebody
// else's or the listener is closed.
func (q *quickListener) goOn(deadline error) error {
	if err := q.given.Control(func(uintptr) {}); err != nil {
		return &net.OpError{Op: "accept", Net: q.Addr().Network(), Addr: q.Addr(), Err: net.ErrClosed}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timed {
		return deadline
	}
	return q.file.SetReadDeadline(time.Now().Add(closedCheck))
}

// SetDeadline ends a wait in Accept.
func (q *quickListener) SetDeadline(by time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timed = true
	return errors.Join(q.file.SetReadDeadline(by), q.inner.SetDeadline(by))
}

// SyscallConn implements syscall.Conn.
func (q *quickListener) SyscallConn() (syscall.RawConn, error) { return q.raw, nil }

// Close implements net.Listener.
func (q *quickListener) Close() error { return errors.Join(q.file.Close(), q.Listener.Close()) }
