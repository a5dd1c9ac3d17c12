package scgi

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// tcpOptions are the options that package net sets on each TCP connection that it
// accepts. On Linux a connection begins with those of its listener, so quickListener
// sets them there once. Their values depend on the net.ListenConfig that made the
// listener, which package net does not show: so it accepts the first connection, and
// the values are read from that.
var tcpOptions = [...]struct{ level, name int }{
	{syscall.IPPROTO_TCP, syscall.TCP_NODELAY},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL},
	{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
	{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
}

// acceptFirst accepts through package net, and takes the options of the connection
// over to the listener.
func (q *quickListener) acceptFirst() (net.Conn, error) {
	c, err := q.inner.Accept()
	if err != nil {
		return nil, err
	}
	fd, err := q.learn(c)
	if err != nil {
		return c, nil // it is as good, and the next one is asked
	}
	_ = c.Close() // fd is a copy
	q.learned = true
	return &socket{fd: fd}, nil
}

// learn sets the options of a connection on the listener, and returns a copy of the
// connection's descriptor.
func (q *quickListener) learn(c net.Conn) (fd int, err error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var values [len(tcpOptions)]int
	err = controlRaw(raw, func(conn int) (err error) {
		for i, option := range tcpOptions {
			if values[i], err = syscall.GetsockoptInt(conn, option.level, option.name); err != nil {
				return os.NewSyscallError("getsockopt", err)
			}
		}
		return nil
	})
	if err != nil {
		return -1, err
	}
	err = controlRaw(q.raw, func(listener int) error {
		for i, option := range tcpOptions {
			if err := syscall.SetsockoptInt(listener, option.level, option.name, values[i]); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
		return nil
	})
	if err != nil {
		return -1, err
	}
	err = controlRaw(raw, func(conn int) (err error) { fd, err = duplicate(conn); return err })
	return fd, err
}

// duplicate copies a descriptor.
func duplicate(fd int) (int, error) {
	copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("fcntl", errno)
	}
	return int(copied), nil
}

// controlRaw calls do with a descriptor, and returns its error.
func controlRaw(raw syscall.RawConn, do func(fd int) error) error {
	var failed error
	err := raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	return errors.Join(err, failed)
}
