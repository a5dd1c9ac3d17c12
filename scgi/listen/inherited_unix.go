//go:build unix

package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// adopt makes a listener of a descriptor. It works on a copy: the descriptor
// may turn out to be something else of this process's, and is never closed.
func adopt(fd int) (socket, error) {
	if err := checkListening(fd); err != nil {
		return nil, err
	}
	file, err := duplicate(fd)
	if err != nil {
		return nil, err
	}
	defer file.Close() // FileListener has made its own copy
	inner, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	switch l := inner.(type) {
	case *net.TCPListener:
		return l, nil
	case *net.UnixListener:
		l.SetUnlinkOnClose(false)
		return l, nil
	}
	_ = inner.Close() // the descriptor stays
	return nil, fmt.Errorf("it is a %s socket; want a unix or TCP one", inner.Addr().Network())
}

func checkListening(fd int) error {
	kind, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_TYPE)
	switch {
	case errors.Is(err, syscall.EBADF):
		return errors.New("it is not open; whoever starts the server must pass it")
	case errors.Is(err, syscall.ENOTSOCK):
		return errors.New("it is no socket; whoever starts the server must pass a listening one")
	case err != nil:
		return os.NewSyscallError("getsockopt", err)
	}
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if kind != syscall.SOCK_STREAM || listening == 0 {
		return errors.New("it is no stream socket that listens; whoever starts the server must pass one")
	}
	return nil
}

// duplicate sets close-on-exec on both descriptors. The lock keeps a program
// that is started at the same time from getting the new one.
func duplicate(fd int) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	syscall.CloseOnExec(fd)
	copied, err := syscall.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(copied)
	return os.NewFile(uintptr(copied), "inherited"), nil
}

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }
