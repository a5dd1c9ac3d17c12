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
	rest io.Reader // what is in the pipe by the end of the group; nil before
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
	if o.rest == nil {
		n, err := o.pipe.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		_ = o.pipe.SetReadDeadline(time.Time{}) // for what does not wait
		o.rest = io.LimitReader(present{o.pipe}, maxPipe)
	}
	return o.rest.Read(p)
}

// present is what is in a pipe at the moment, and ends where it would have to be
// waited for.
type present struct{ pipe *os.File }

// Read implements io.Reader.
func (r present) Read(p []byte) (n int, err error) {
	raw, err := r.pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	_ = raw.Read(func(fd uintptr) bool { // n says it all
		for {
			if n, err = syscall.Read(int(fd), p); err != syscall.EINTR {
				return true
			}
		}
	})
	if n <= 0 {
		return 0, io.EOF
	}
	return n, nil
}
