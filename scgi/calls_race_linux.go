//go:build race

package scgi

import "syscall"

// The calls of calls_linux.go by package syscall, which tells the race detector
// that what was sent comes before what is received. Without that it would find
// races in tests that talk to a server in their own process.

func receive(fd int, p []byte) (int, error) { return uninterrupted(syscall.Read, fd, p) }

func send(fd int, p []byte) (int, error) { return uninterrupted(syscall.Write, fd, p) }

func uninterrupted(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		if n, err := call(fd, p); err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

func closeNow(fd int) error { return syscall.Close(fd) }
