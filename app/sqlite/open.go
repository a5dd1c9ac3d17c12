package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/windsock-scgi/windsock/app"
)

// Open opens the store at path for writing and reading, and makes it when
// there is none; its folder must exist. It refuses, and leaves alone, a file
// that is not a store, a store that a newer windsock made, one that another
// process is writing to, which it names, and a write-ahead log whose store is
// not there. It refuses a store that has more than one hard link, too, or that is
// mounted by itself.
//
// A full disk does not keep a store from being opened and read: Append returns
// app.ErrDiskFull until there is space. But FILE-shm must be there, as it is
// after a kill, or find its 32 KiB: otherwise it is Open that returns that.
func Open(path string) (*Store, error) { return OpenContext(context.Background(), path) }

// OpenContext is Open, and gives up when ctx ends: its error matches ctx's then, and
// the store is as it was. That interrupts a migration and the reading of what the
// writer keeps in mind. It does not interrupt a call on the disk.
func OpenContext(ctx context.Context, path string) (*Store, error) {
	l, err := open(ctx, path)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("sqlite: opening the store %s: %w: %w", path, ctx.Err(), err)
	case err != nil:
		return nil, notOpened(err, "sqlite: opening the store %s", path)
	}
	return l, nil
}

// notOpened wraps why a store was not opened: of a full disk SQLite says no
// more than that it is an I/O error, and of a table that is missing not that it
// should be there.
func notOpened(err error, format string, path string) error {
	err = damage(err)
	if isMisfit(err) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	if is := meaning(code(err)); errors.Is(is, app.ErrDiskFull) {
		err = fmt.Errorf("%w: %w", is, err)
	}
	return fmt.Errorf(format+": %w", path, err)
}

func open(ctx context.Context, path string) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := locate(path)
	if err != nil {
		return nil, err
	}
	lock, err := lockStore(path)
	if err != nil {
		return nil, err
	}
	l := &Store{lock: lock}
	if err := l.open(ctx, path); err != nil {
		return nil, errors.Join(err, l.letGo())
	}
	return l, nil
}

// lockStore takes the lock of a store, which need not be there yet. A file that is
// not ours, or that has other names, gets no lock beside it.
func lockStore(path string) (*os.File, error) {
	if _, err := exists(path); err != nil {
		return nil, err
	}
	if err := checkNames(path); err != nil {
		return nil, err
	}
	return acquire(path + ".lock")
}

// open is the rest of Open, under the lock.
func (l *Store) open(ctx context.Context, path string) error {
	made, err := exists(path)
	if err != nil {
		return err
	}
	if !made {
		if err := create(path); err != nil {
			return err
		}
	}
	if err := checkRights(path); err != nil {
		return err
	}
	if l.writer, err = openWriter(ctx, path); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if l.reader, err = openReader(readerDSN(path), maxReaders); err != nil {
		return err
	}
	l.excess.Reader, err = openReader(readerDSN(path), 1)
	return err
}

// checkRights returns an error unless this user may write to the file and make
// others beside it. SQLite would open it for reading, and leave files there that
// have the same rights and are in the way once the file's are mended.
func checkRights(path string) error {
	const write, search = 2, 1 // W_OK and X_OK of access(2)
	if err := syscall.Access(path, write); err != nil {
		return fmt.Errorf("it cannot be written to: %w", err)
	}
	folder := filepath.Dir(path)
	if err := syscall.Access(folder, write|search); err != nil {
		return fmt.Errorf("it cannot be written to, since nothing can be made in %s: %w", folder, err)
	}
	return nil
}

// syncFolder makes the names in a folder durable: here that of a new store and
// that of its write-ahead log, which lasts until the store is closed. SQLite
// syncs the folder too, but ignores it when that fails.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// OpenReadOnly opens the store at path for reading, also while another process
// writes to it: what that one appends is seen. It neither makes the file nor
// writes to it.
//
// SQLite needs FILE-shm for that, which a writer keeps as long as it runs. With
// no writer it is made, and stays: then the folder must be writable.
func OpenReadOnly(path string) (*Reader, error) {
	r, err := openReadOnly(path)
	if err != nil {
		return nil, notOpened(err, "sqlite: opening the store %s for reading", path)
	}
	return r, nil
}

func openReadOnly(path string) (*Reader, error) {
	path, err := locate(path)
	if err != nil {
		return nil, err
	}
	if err := checkNames(path); err != nil { // there may be a write-ahead log under another one
		return nil, err
	}
	return openLocated(path)
}

// openLocated is openReadOnly for a file that may have more names, as a backup may.
func openLocated(path string) (*Reader, error) {
	made, err := exists(path)
	if err != nil {
		return nil, err
	}
	if !made {
		return nil, fmt.Errorf("no store there: %w", fs.ErrNotExist)
	}
	return openReader(readerDSN(path), maxReaders)
}

// locate returns the one name by which everybody must know the store, or two
// of its names would have two locks: absolute, with symbolic links followed.
func locate(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("its folder: %w", err)
	}
	path = filepath.Join(folder, filepath.Base(path))
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return filepath.EvalSymlinks(path)
	}
	return path, nil
}
