//go:build unix && !solaris && !aix

package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lock takes the folder, or says who has it: the lock is held for the moment of
// a start only, so whoever has it is about to serve.
func lock(dir *os.File) error {
	err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("another server is just starting on it; stop it or choose another path (%w)", syscall.EADDRINUSE)
	}
	if err != nil {
		return os.NewSyscallError("flock", err)
	}
	return dir.Chmod(0o700) // it may have been there before
}

func owned(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// writable asks whether this user may make files in a folder.
func writable(folder string) error {
	const writeAndSearch = 3 // W_OK and X_OK of access(2)
	return os.NewSyscallError("access", syscall.Access(folder, writeAndSearch))
}
