package scgi

import (
	"net"
	"os"
)

// watcher waits for a front end to go away, on a descriptor of its own: so it
// meets neither the reads and writes of the request nor their deadlines.
type watcher struct {
	file *os.File
	done chan struct{} // closed when run has returned
}

// watchPeer calls gone, once, when the peer of rwc goes away. It returns nil for a
// connection that has no descriptor.
func watchPeer(rwc net.Conn, halfClose bool, gone func()) *watcher {
	file := descriptor(rwc)
	if file == nil {
		return nil // then the request runs to its end
	}
	w := &watcher{file: file, done: make(chan struct{})}
	go w.run(signs(rwc, halfClose), gone)
	return w
}

// peerGone asks, once and without waiting, whether the peer of rwc has gone away.
func peerGone(rwc net.Conn, halfClose bool) bool {
	signs := signs(rwc, halfClose)
	if s, ok := rwc.(*socket); ok { // nearly always; it takes no allocation
		var seen int16
		_ = s.control("poll", func(fd int) error { // on an error this end is closed
			seen = poll(uintptr(fd), signs)
			return nil
		})
		return seen&signs != 0
	}
	file := descriptor(rwc)
	if file == nil {
		return false
	}
	defer file.Close() // only a copy
	raw, err := file.SyscallConn()
	if err != nil {
		return false
	}
	var seen int16
	err = raw.Control(func(fd uintptr) { seen = poll(fd, signs) })
	return err == nil && seen&signs != 0
}

// descriptor returns a copy of a connection's descriptor, or nil if it has none or
// the process may not have another one.
func descriptor(rwc net.Conn) *os.File {
	c, ok := rwc.(interface{ File() (*os.File, error) })
	if !ok {
		return nil
	}
	file, err := c.File()
	if err != nil {
		return nil
	}
	return file
}

// signs are the events that show that a peer has gone away. On a unix socket that is
// a hang-up: a peer that closed only its own half is still there. On TCP the two look
// the same, so the end of its half counts unless halfClose.
func signs(rwc net.Conn, halfClose bool) int16 {
	if !isUnix(rwc) && !halfClose {
		return pollHup | pollErr | pollRdHup
	}
	return pollHup | pollErr
}

func isUnix(rwc net.Conn) bool {
	if s, ok := rwc.(*socket); ok {
		return s.unix
	}
	_, ok := rwc.(*net.UnixConn)
	return ok
}

func (w *watcher) run(signs int16, gone func()) {
	defer close(w.done)
	raw, err := w.file.SyscallConn()
	if err != nil {
		return
	}
	err = raw.Read(func(fd uintptr) bool { return poll(fd, signs)&signs != 0 })
	if err == nil {
		gone()
	}
}

func (w *watcher) stop() {
	_ = w.file.Close() // wakes run; there is nothing to lose
	<-w.done
}
