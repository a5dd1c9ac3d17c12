package scgi

import (
	"syscall"
	"unsafe"
)

// Events of poll(2), which package syscall lacks.
const (
	pollIn    = 0x1
	pollErr   = 0x8
	pollHup   = 0x10
	pollRdHup = 0x2000
)

// poll asks, without waiting, which of the events a descriptor shows.
func poll(fd uintptr, events int16) int16 {
	ask := struct {
		fd      int32
		events  int16
		revents int16
	}{fd: int32(fd), events: events}
	var now syscall.Timespec
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PPOLL,
		uintptr(unsafe.Pointer(&ask)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return ask.revents
}
