package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// This file makes a store of a backup or an export, as a whole or not at all.

// Restorer is told what Restore does.
type Restorer interface {
	// Progress is called now and then; a total of zero means that it is not known.
	Progress(doing string, done, total int64)
	// LeftOut says which message of an export is not restored, since it was damaged
	// when it was exported.
	LeftOut(text string)
}

// Restore makes the store at path, whose folder must exist, of a file: of a
// [Backup], or another SQLite file of a store that is closed, or of the lines that
// app.Record.AppendJSON writes. The first bytes tell which it is.
//
// All that the file has of a message is kept, seq, ID, times, address and keys, so
// that a retry is known as one. Every message is verified. The log gets a new name,
// since seqs after the newest one may have been given out before as other messages.
//
// The store must not be there yet, or hold no message. With an error it is as it
// was: the new one is made as FILE.unfinished, and has its name only once it is
// whole and on disk. No other process may write to it meanwhile, see [Open], nor
// have it open.
//
// The Findings are those of [Check], without a fault.
func Restore(ctx context.Context, from, path string, to Restorer) (Findings, error) {
	r := restoration{ctx: ctx, from: from, to: to}
	found, err := r.restore(path)
	if err != nil {
		return Findings{}, fmt.Errorf("sqlite: restoring the store %s from %s: %w", path, from, damage(ended(ctx, err)))
	}
	return found, nil
}

// restoration is one Restore.
type restoration struct {
	ctx    context.Context
	from   string
	to     Restorer
	making string // the store's first name
}

func (r *restoration) restore(path string) (found Findings, err error) {
	if path, err = locate(path); err != nil {
		return found, err
	}
	lock, err := lockStore(path)
	if err != nil {
		return found, err
	}
	defer lock.Close() // nothing was written to it that counts
	if err := makeRoom(r.ctx, path); err != nil {
		return found, err
	}
	r.making = path + unfinished
	if sameFile(r.from, r.making) {
		return found, errors.New("a file of that name is written over: give it another name first")
	}
	found, err = r.make(permissions(path))
	if err == nil {
		err = os.Rename(r.making, path)
	}
	if err != nil {
		return Findings{}, errors.Join(err, removeStore(r.making))
	}
	return found, syncFolder(filepath.Dir(path))
}

// makeRoom returns an error unless there is no store at path or an empty one, which
// is closed then: neither a write-ahead log of its own nor a reader's shared memory
// may lie beside the file that takes its place.
func makeRoom(ctx context.Context, path string) error {
	made, err := exists(path)
	if err != nil || !made {
		return err
	}
	if err := mustBeEmpty(ctx, path); err != nil {
		return err
	}
	w, err := openWriter(ctx, path)
	if err != nil {
		return err
	}
	if err := errors.Join(w.checkpoint(), w.close()); err != nil {
		return err
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("another process is reading it, and keeps %s: end that first", path+suffix), err)
		}
	}
	return nil
}

// mustBeEmpty returns an error if a store holds messages. It leaves no trace.
func mustBeEmpty(ctx context.Context, path string) error {
	r, err := openResting(path)
	if err != nil {
		return err
	}
	defer r.Close() // it was only read
	first, err := r.raw(ctx, math.MinInt64, 1)
	if err == nil && len(first) > 0 {
		err = errors.New("it holds messages: move its files away first, all of them")
	}
	return err
}

// sameFile reports whether two names are of one file.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, otherErr := os.Stat(b)
	return err == nil && otherErr == nil && os.SameFile(one, other)
}

// make makes the new store under its first name, verifies it and syncs it.
func (r *restoration) make(mode fs.FileMode) (Findings, error) {
	if err := removeStore(r.making); err != nil {
		return Findings{}, err
	}
	if err := r.fill(mode); err != nil {
		return Findings{}, err
	}
	found, err := Check(r.ctx, r.making, r.to.Progress)
	if err != nil {
		return Findings{}, err
	}
	if len(found.Faults) > 0 {
		return Findings{}, fmt.Errorf("%w: faults found: %d, the first one: %s",
			errDamaged, len(found.Faults)+found.MoreFaults, found.Faults[0])
	}
	return found, syncFile(r.making)
}

// fill makes it of a backup or an export.
func (r *restoration) fill(mode fs.FileMode) error {
	f, err := os.Open(r.from)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(r.ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) }) // only a pipe waits, and has deadlines
	defer stop()
	in := bufio.NewReaderSize(f, 64<<10)
	const header = "SQLite format 3\x00"
	begin, err := in.Peek(len(header))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch text := strings.TrimLeft(strings.TrimPrefix(string(begin), byteOrderMark), " \t\r\n"); {
	case string(begin) == header:
		return r.backup(in, info.Size(), mode)
	case strings.HasPrefix(text, "{"):
		return r.export(in, info.Size(), mode)
	}
	return errors.New("it begins neither as a backup does nor as an export")
}

// syncFile syncs a file that others have written.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
