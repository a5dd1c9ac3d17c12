package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// acquire takes the lock that only one writer of a store can hold, in whatever
// process, and returns the file that holds it: closing it lets go. The file
// says who took it last, and is never removed, since somebody may have it open.
//
// It is flock on a file of its own. The kernel lets go of it however the
// process ends. It belongs to the open file, so that a second Open in the same
// process is refused too, where a POSIX lock would be granted; and Go marks
// files close-on-exec, so that no child keeps it.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func lock(f *os.File) error {
	err := flock(f)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("another process is writing to it%s", owner(f))
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return sign(f)
}

// sign writes the pid over the last one's, which takes no space. Where there is
// none for a first one, the lock does without.
func sign(f *os.File) error {
	n, err := f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	if err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return f.Truncate(int64(n))
}

// flock tries until no signal interrupts.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// owner returns ", pid N" for the process that the lock file names, or nothing
// when that one has not come to writing it yet.
func owner(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 20))
	pid, convErr := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil || convErr != nil {
		return ""
	}
	return fmt.Sprintf(", pid %d", pid)
}
