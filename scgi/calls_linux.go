//go:build !race

package scgi

import (
	"syscall"
	"unsafe"
)

// The calls that every request makes. None of them waits, so the scheduler is
// not told of them, as package syscall does: on a server with little to do that
// wakes a thread of the runtime each time.

func receive(fd int, p []byte) (int, error) { return transfer(syscall.SYS_RECVFROM, fd, p, 0) }

func send(fd int, p []byte) (int, error) {
	return transfer(syscall.SYS_SENDTO, fd, p, syscall.MSG_NOSIGNAL)
}

func transfer(call uintptr, fd int, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(call, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func closeNow(fd int) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
