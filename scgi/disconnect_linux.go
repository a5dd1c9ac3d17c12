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

// watchPeer calls gone, once, when the peer of rwc goes away. On a unix socket
// that is a hang-up: a peer that closed only its own half is still there. On
// TCP the two look the same, so the end of its half counts unless halfClose.
// It returns nil for a connection that has no descriptor.
func watchPeer(rwc net.Conn, halfClose bool, gone func()) *watcher {
	descriptor, ok := rwc.(interface{ File() (*os.File, error) })
	if !ok {
		return nil
	}
	file, err := descriptor.File()
	if err != nil {
		return nil // no descriptor is left: then the request runs to its end
	}
	signs := int16(pollHup | pollErr)
	if !isUnix(rwc) && !halfClose {
		signs |= pollRdHup
	}
	w := &watcher{file: file, done: make(chan struct{})}
	go w.run(signs, gone)
	return w
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
