package sqlite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// backup copies the file, brings it up to this schema and gives the log a new name.
func (r *restoration) backup(in io.Reader, size int64, mode fs.FileMode) error {
	from, err := locate(r.from)
	if err != nil {
		return err
	}
	left, err := leftover(from)
	if err != nil {
		return err
	}
	if left != "" {
		return fmt.Errorf("%s is there, so it is a store in use or not closed: restore a backup of it", left)
	}
	if _, err := exists(from); err != nil {
		return err
	}
	before, err := tracesOf(from)
	if err != nil {
		return err
	}
	if err := r.copy(in, size, mode); err != nil {
		return err
	}
	after, err := tracesOf(from)
	if err != nil {
		return err
	}
	if !after.equal(before) {
		return errDisturbed
	}
	w, err := openWriter(r.ctx, r.making)
	if err != nil {
		return err
	}
	return errors.Join(w.takeName(), w.checkpoint(), w.close())
}

// copy copies a file, some of it at a time.
func (r *restoration) copy(in io.Reader, size int64, mode fs.FileMode) error {
	f, err := os.OpenFile(r.making, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	for done := int64(0); err == nil; {
		r.to.Progress("copying", done, size)
		var n int64
		if n, err = io.CopyN(f, in, 4<<20); err == nil {
			err = r.ctx.Err()
		}
		done += n
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
