package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"

	"github.com/windsock-scgi/windsock/app"
)

// This file is about a write-ahead log that is found. SQLite applies to a database
// any well-formed one that lies beside it, so a new store must not be made beside an
// old one's. And what of it SQLite has read need not be on the disk.

// leftover returns the name of what SQLite would apply to a store at path, were
// one made there; empty when there is nothing.
func leftover(path string) (string, error) {
	for _, suffix := range []string{"-wal", "-journal"} {
		info, err := os.Stat(path + suffix)
		if err == nil && info.Size() > 0 {
			return path + suffix, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// refuseLeftover returns an error when there is one.
func refuseLeftover(leftover string) error {
	if leftover == "" {
		return nil
	}
	return fmt.Errorf("there is no store, but %s is left of one, and may hold messages:"+
		" put the store's file back, or move this one away too", leftover)
}

// rewrite writes a write-ahead log once more, as it is and where it is, and
// syncs it. If it was a failed sync that ended the process before, what SQLite
// recovers may be there in memory alone, and no sync brings it to the disk
// unless it is written anew. To copy it into the file would not do: after a
// power cut the part of the log that is on the disk would go over it.
//
// The caller holds the lock, and nothing is being written. No lock of SQLite's
// is on this file.
func rewrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failed("opening the write-ahead log", err)
	}
	defer f.Close() // it is synced
	_, err = io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(f, 0, math.MaxInt64))
	if err == nil {
		err = f.Sync()
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT): // where files are written elsewhere each time
		return fmt.Errorf("writing the write-ahead log anew: %w: %w", app.ErrDiskFull, err)
	case err != nil:
		return failed("writing the write-ahead log anew", err)
	}
	return nil
}
