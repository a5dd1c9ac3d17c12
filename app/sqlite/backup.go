package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	driver "modernc.org/sqlite"
)

// This file copies a store while it is in use, into one file that is whole or
// not there.
//
// The copy is a prefix of the log, and the log goes on: in the log's place the copy
// would give out seqs that readers have seen as other messages. So it is marked.
// Restore gives the log a new name, and so does the first that opens the copy itself
// for writing: from then on it is another log, and those readers are told. Until
// then it has the old name, which is the truth.

// backupMark is meta's key for it: when the copy was made.
const backupMark = "backup"

// backupPages is how many pages are copied at a time, 4 MiB.
const backupPages = 1024

// Copied is what Backup made.
type Copied struct {
	Log            string // the log's name
	Messages       int64
	Oldest, Newest int64 // seqs; zero when it is empty
	Bytes          int64
}

// Backup copies the store at path to a file, also while another process writes
// to it: the copy holds every message up to its newest, as of the moment when
// the copying began. The file is self-contained, has the store's permissions,
// was read through and is on disk when Backup returns; it is made as
// FILE.unfinished and has its name only then. It takes as little memory for a
// large store as for a small one.
//
// It is one read transaction: insertion goes on, but FILE-wal grows until it
// has ended.
//
// It refuses a file that is there, except that with replace it takes the place
// of an earlier backup that was not written to.
//
// progress, which may be nil, is called now and then with the pages copied and
// those there are.
func Backup(ctx context.Context, path, to string, replace bool, progress func(doing string, done, total int64)) (Copied, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	c, err := backup(ctx, path, to, replace, progress)
	if err != nil {
		return Copied{}, fmt.Errorf("sqlite: copying the store %s to %s: %w", path, to, damage(ended(ctx, err)))
	}
	return c, nil
}

func backup(ctx context.Context, path, to string, replace bool, progress func(string, int64, int64)) (Copied, error) {
	to, err := locate(to)
	if err != nil {
		return Copied{}, err
	}
	if err := vacant(ctx, to, replace); err != nil {
		return Copied{}, err
	}
	store, err := openReadOnly(path)
	if err != nil {
		return Copied{}, err
	}
	defer store.Close() // nothing was written: there is nothing to lose
	info, err := os.Stat(path)
	if err != nil {
		return Copied{}, err
	}
	f, err := stage(to, info)
	if err != nil {
		return Copied{}, err
	}
	b := backupFile{f: f, mode: info.Mode().Perm(), progress: progress}
	c, err := b.fill(ctx, store)
	if err == nil {
		err = vacant(ctx, to, replace) // it took a while
	}
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return Copied{}, errors.Join(err, os.Remove(f.Name()), f.Close())
	}
	return c, errors.Join(f.Close(), syncFolder(filepath.Dir(to)))
}

// vacant says what keeps a backup from getting its name.
func vacant(ctx context.Context, to string, replace bool) error {
	left, err := leftover(to)
	if err != nil {
		return err
	}
	if left != "" {
		return fmt.Errorf("%s is there, and belongs to a store: choose another name", left)
	}
	_, err = os.Lstat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !replace:
		return fmt.Errorf("it is there already: choose another name (%w)", fs.ErrExist)
	}
	// A store that is in use has no mark, and a backup that has one is nobody's.
	r, err := openLocated(to)
	if err != nil {
		return fmt.Errorf("only a backup is replaced: %w", err)
	}
	defer r.Close() // nothing was written: there is nothing to lose
	mark, err := r.backupMark(ctx)
	if err != nil {
		return err
	}
	if mark == "" {
		return errors.New("it is a store, and only a backup that was not written to is replaced: choose another name")
	}
	return nil
}

// stage makes the file under its first name, or takes over one that was left
// behind, but not what a link there leads to. The lock keeps two backups from making one file; whoever gets it late
// finds that the file has its second name by then.
func stage(to string, store fs.FileInfo) (*os.File, error) {
	f, err := os.OpenFile(to+unfinished, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("another backup is being made there: %w", err), f.Close())
	}
	held, err := f.Stat()
	if err == nil {
		var named fs.FileInfo
		if named, err = os.Stat(f.Name()); err == nil && !os.SameFile(held, named) {
			err = errors.New("another backup was made there just now")
		}
	}
	if err == nil && os.SameFile(held, store) {
		err = fmt.Errorf("%s is the store itself: choose another name", f.Name())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// backupFile is the file that becomes a backup.
type backupFile struct {
	f        *os.File
	mode     fs.FileMode
	progress func(doing string, done, total int64)
}

// fill makes a whole backup of it, and makes sure that it is one.
func (b *backupFile) fill(ctx context.Context, store *Reader) (Copied, error) {
	want, err := b.copy(ctx, store)
	if err != nil {
		return Copied{}, err
	}
	if err := b.seal(ctx); err != nil {
		return Copied{}, fmt.Errorf("finishing the copy: %w", err)
	}
	if err := errors.Join(b.f.Chmod(b.mode), b.f.Sync()); err != nil {
		return Copied{}, err
	}
	b.progress("reading the copy", 0, 0)
	if err := b.verify(ctx, want); err != nil {
		return Copied{}, err
	}
	info, err := b.f.Stat()
	want.Bytes = info.Size()
	return want, err
}

// copy copies the pages in one transaction, and returns what that saw.
func (b *backupFile) copy(ctx context.Context, store *Reader) (Copied, error) {
	conn, err := store.db.Conn(ctx)
	if err != nil {
		return Copied{}, err
	}
	defer conn.Close() // it only read
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Copied{}, err
	}
	defer tx.Rollback() // there is nothing to commit
	c := Copied{Log: store.Name()}
	if err := c.count(ctx, tx); err != nil {
		return Copied{}, err
	}
	return c, conn.Raw(func(driverConn any) error { return b.pages(ctx, driverConn) })
}

// pages lets SQLite copy the pages, of the moment that the connection's
// transaction is of. Without one it would begin anew whenever another process
// has committed, and so never end.
func (b *backupFile) pages(ctx context.Context, from any) error {
	source, ok := from.(interface {
		NewBackup(dsn string) (*driver.Backup, error)
	})
	if !ok {
		return fmt.Errorf("a connection of type %T cannot be copied from", from)
	}
	backup, err := source.NewBackup(copyDSN(b.f.Name()))
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		more, err = backup.Step(backupPages)
		total := int64(backup.PageCount())
		b.progress("copying", total-int64(backup.Remaining()), total)
	}
	return cmp.Or(err, backup.Finish()) // which says once more what Step said
}

// copyDSN names a file that is written from its beginning to its end: nothing of
// it is to be kept if that fails, and it is synced once, afterwards.
func copyDSN(path string) string {
	return dsn(path, url.Values{"mode": {"rw"}, "_journal_mode": {"OFF"}, "_synchronous": {"OFF"}})
}

// seal makes one self-contained file of it, which can be read where nothing can
// be written, and marks it.
func (b *backupFile) seal(ctx context.Context) error {
	db, err := sql.Open("sqlite", dsn(b.f.Name(), url.Values{"mode": {"rw"}, "_synchronous": {"OFF"}}))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	var mode string
	err = db.QueryRowContext(ctx, "PRAGMA journal_mode = DELETE").Scan(&mode)
	if err == nil && mode != "delete" {
		err = fmt.Errorf("journal_mode is %q", mode)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "INSERT OR REPLACE INTO meta VALUES (?, ?)",
			backupMark, time.Now().UTC().Format(time.RFC3339))
	}
	return errors.Join(err, db.Close())
}

// verify reads the copy through and compares it with what was copied.
func (b *backupFile) verify(ctx context.Context, want Copied) error {
	r, err := openReader(readerDSN(b.f.Name()), 1)
	if err != nil {
		return err
	}
	defer r.Close() // nothing was written: there is nothing to lose
	got := Copied{Log: r.Name()}
	return r.view(ctx, func(tx *sql.Tx) error {
		var result string
		if err := tx.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
			return err
		}
		if result != "ok" {
			return fmt.Errorf("%w: %s", errDamaged, result)
		}
		if err := got.count(ctx, tx); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("the copy is not what was copied: %+v, not %+v", got, want)
		}
		return nil
	})
}

func (c *Copied) count(ctx context.Context, tx *sql.Tx) error {
	s, err := span(ctx, tx)
	if err != nil {
		return err
	}
	c.Oldest, c.Newest = s.oldest, s.newest
	return tx.QueryRowContext(ctx, "SELECT count(*) FROM messages").Scan(&c.Messages)
}

// backupMark says when this copy of a log was made; empty when it is no copy, or
// one that was written to.
func (r *Reader) backupMark(ctx context.Context) (made string, err error) {
	err = r.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", backupMark).Scan(&made)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return made, ended(ctx, err)
}

// rename gives a backup that is written to from now on a new name.
func (w *writer) rename() error {
	var marked bool
	err := w.conn.queryRow(context.Background(), "SELECT count(*) FROM meta WHERE key = ?", []any{backupMark}, &marked)
	if err != nil || !marked {
		return err
	}
	return w.takeName()
}

// takeName gives the log a new name. It is no backup any more.
func (w *writer) takeName() error {
	return w.transact(func() error {
		if err := w.conn.run("UPDATE meta SET value = ? WHERE key = 'name'", randomName()); err != nil {
			return err
		}
		return w.conn.run("DELETE FROM meta WHERE key = ?", backupMark)
	})
}
