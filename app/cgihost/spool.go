package cgihost

import (
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/admission"
)

// maxMemory is how many bytes a spool keeps in memory before it uses a file.
const maxMemory = 64 << 10

// spool is a queue of bytes between a program and its client: neither waits for
// the other. It holds up to maxMemory bytes in memory, and all of them in an
// unlinked temporary file once there are more. When everything has been taken it
// begins again in memory, so that a stream whose client keeps up needs no file,
// however long it lasts.
//
// One goroutine writes and calls end; another one reads.
type spool struct {
	memory *admission.Share // what buf takes; the writer's
	disk   *admission.Share // what file takes; the writer's
	block  []byte           // the reader's, for what is in the file

	mu     sync.Mutex // guards what follows; the writer alone changes buf and file
	more   sync.Cond  // signalled when there is more, and at the end
	buf    []byte     // everything since the beginning; nil once it is in the file
	file   *os.File   // nil until it is needed
	onDisk bool
	size   int64 // bytes since the beginning
	taken  int64 // of them
	viewed int   // bytes that the last next returned
	ended  error // why no more comes
}

func (h *Host) newSpool() *spool {
	s := &spool{memory: h.Budget.Share(), disk: h.Disk.Share()}
	s.more.L = &s.mu
	return s
}

// Write implements io.Writer. It takes all of p or fails with a *spoolError, which
// wraps a *Refused when the Host's Disk has no room.
func (s *spool) Write(p []byte) (int, error) {
	s.restart()
	if !s.onDisk && s.keep(p) {
		return len(p), nil
	}
	if err := s.store(p); err != nil {
		return 0, &spoolError{err}
	}
	return len(p), nil
}

// restart begins again in memory when everything has been taken.
func (s *spool) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken < s.size || s.size == 0 {
		return
	}
	if s.onDisk {
		if s.file.Truncate(0) != nil {
			return // then the file goes on
		}
		s.disk.Release()
	}
	s.onDisk, s.buf = false, s.buf[:0]
	s.size, s.taken = 0, 0
}

// keep keeps p in memory, if it may.
func (s *spool) keep(p []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	need := len(s.buf) + len(p)
	if need > maxMemory {
		return false
	}
	if room := cap(s.buf); need > room {
		for room = max(room, 4<<10); room < need; room *= 2 {
		}
		if s.memory.Hold(int64(room)) != nil {
			return false
		}
		s.buf = append(make([]byte, 0, room), s.buf...) // the reader may still look at the old one
	}
	s.buf = append(s.buf, p...)
	s.grow(len(p))
	return true
}

// store puts p into the file, behind what was in memory.
func (s *spool) store(p []byte) error {
	if err := s.disk.Hold(s.size + int64(len(p))); err != nil {
		return err
	}
	if s.file == nil {
		file, err := os.CreateTemp("", "windsock-cgi-")
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.file = file
		s.mu.Unlock()
		if err := os.Remove(file.Name()); err != nil {
			return err
		}
	}
	if err := s.spill(); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(p, s.size); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grow(len(p))
	return nil
}

// spill moves what is in memory to the file.
func (s *spool) spill() error {
	if s.onDisk {
		return nil
	}
	if _, err := s.file.WriteAt(s.buf, 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onDisk, s.buf = true, nil
	s.memory.Release()
	return nil
}

// grow counts n more bytes. s.mu is held.
func (s *spool) grow(n int) {
	s.size += int64(n)
	s.more.Signal()
}

// spoolError is an error of a temporary file. It matches app.ErrDiskFull and
// errExhausted where it is one of these.
type spoolError struct{ cause error }

func (e *spoolError) Error() string { return "a temporary file for CGI: " + e.cause.Error() }

func (e *spoolError) Unwrap() []error {
	kind := e.cause
	switch {
	case errors.Is(e.cause, syscall.ENOSPC), errors.Is(e.cause, syscall.EDQUOT):
		kind = app.ErrDiskFull
	case isExhausted(e.cause):
		kind = errExhausted
	}
	return []error{kind, e.cause}
}

// end says why no more comes; nil means that everything came.
func (s *spool) end(err error) {
	if err == nil {
		err = io.EOF
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
	s.more.Signal()
}

// next waits for bytes and returns some of them, which the spool keeps until the
// next call. At the end it returns end's error, io.EOF for nil.
func (s *spool) next() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken += int64(s.viewed)
	s.viewed = 0
	for s.taken == s.size {
		if s.ended != nil {
			return nil, s.ended
		}
		s.more.Wait()
	}
	view := s.buf
	if !s.onDisk {
		view = view[s.taken:]
	} else {
		var err error
		if view, err = s.fromFile(); err != nil {
			return nil, err
		}
	}
	s.viewed = len(view)
	return view, nil
}

// fromFile reads from the file, in blocks as large as what is free to each
// request. s.mu is held.
func (s *spool) fromFile() ([]byte, error) {
	if s.block == nil {
		s.block = make([]byte, admission.Free)
	}
	n := min(int64(len(s.block)), s.size-s.taken)
	if _, err := s.file.ReadAt(s.block[:n], s.taken); err != nil {
		return nil, &spoolError{err}
	}
	return s.block[:n], nil
}

// open opens the file for a program to read from its beginning. The program
// cannot write to it by that, where /proc is there to open it again.
func (s *spool) open() (*os.File, error) {
	file, err := os.Open("/proc/self/fd/" + strconv.Itoa(int(s.file.Fd())))
	if err == nil || isExhausted(err) {
		return file, err
	}
	_, err = s.file.Seek(0, io.SeekStart)
	file, s.file = s.file, nil
	return file, err
}

// close gives everything back. Neither goroutine may use the spool any more.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // nothing in it is needed any more
	}
	s.file, s.buf, s.block = nil, nil, nil
	s.memory.Release()
	s.disk.Release()
}
