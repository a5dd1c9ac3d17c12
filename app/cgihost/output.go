package cgihost

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// output is what a program prints into a pipe. It ends when nobody can write to
// that any more; or, once the program's group is dead, with what is in the pipe
// by then: whoever has left the group may keep it open for years.
type output struct {
	pipe *os.File
	last int // bytes that may still be in the pipe after endsHere; 0 before
}

// maxPipe is the most that a pipe holds (fs.pipe-max-size).
const maxPipe = 1 << 20

// endsHere says that nothing more will be written that counts. A Read that waits
// is woken.
func (o *output) endsHere() {
	_ = o.pipe.SetReadDeadline(time.Unix(1, 0)) // it fails only for a closed one
}

// Read implements io.Reader.
func (o *output) Read(p []byte) (int, error) {
	if o.last == 0 {
		n, err := o.pipe.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		o.last = maxPipe
		_ = o.pipe.SetReadDeadline(time.Time{}) // for what does not wait
	}
	n := o.readWhatIsThere(p[:min(len(p), o.last)])
	if o.last -= n; n == 0 || o.last == 0 {
		o.last = 1 // and not 0, which is before
		return n, io.EOF
	}
	return n, nil
}

// readWhatIsThere reads without waiting.
func (o *output) readWhatIsThere(p []byte) (n int) {
	raw, err := o.pipe.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Read(func(fd uintptr) bool { // n says it all
		for {
			var err error
			if n, err = syscall.Read(int(fd), p); err != syscall.EINTR {
				n = max(n, 0)
				return true
			}
		}
	})
	return n
}
