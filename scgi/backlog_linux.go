package scgi

import (
	"net"
	"syscall"
)

// queued reports whether a connection waits in the listener's queue.
func queued(l net.Listener) bool {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var events int16
	err = raw.Control(func(fd uintptr) { events = poll(fd, pollIn) })
	return err == nil && events&pollIn != 0
}
