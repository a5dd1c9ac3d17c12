package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/windsock-scgi/windsock/app"
)

// writer is what writes the store, with what every batch does kept prepared.
type writer struct {
	path string
	conn *connection

	begin, commit, rollback          *statement
	insert, renumber                 *statement
	find, lookAt, findLatest         *statement
	indexOne, indexMany, noteIndexed *statement
	insertKey, findKey               *statement

	next      int64 // the seq of the next message
	index     index
	grown     growth
	logged    int           // pages in the write-ahead log, at most
	trimAt    int           // how many of them there may be before it is trimmed
	patience  time.Duration // how long a restart of it waits for readers
	restartAt int           // how many before readers are waited for again, once that was in vain
	unsettled bool          // what settle does has still to be done
}

const (
	// The seq is one more than the highest, which SQLite finds faster than a place
	// for one that it is given. Where messages above were pruned, it is mended.
	insertSQL = `INSERT INTO messages
		(client_created, id, type, callsign, client_uploaded, time_created, time_uploaded, received, address, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	renumberSQL  = `UPDATE messages SET seq = ? WHERE seq = ?`
	insertKeySQL = `INSERT INTO keys (callsign, key, seq) VALUES (?, ?, ?)`
	findKeySQL   = `SELECT messages.seq, messages.id = ? FROM keys JOIN messages USING (seq)
		WHERE keys.callsign = ? AND keys.key = ?`

	// nextSQL gives the seq that comes after all that were ever used, as far as
	// damage does not hide it.
	nextSQL = `SELECT 1 + max(
		(SELECT coalesce(max(seq), 0) FROM messages),
		(SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key IN ('pruned', 'indexed')))`
)

// openWriter opens the store, which exists, for writing, unless ctx ends first.
func openWriter(ctx context.Context, path string) (*writer, error) {
	w, err := newWriter(path, settings)
	if err != nil {
		return nil, err
	}
	release := w.conn.interruptOn(ctx)
	err = w.open()
	release()
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	if err := w.rename(); err != nil {
		return nil, errors.Join(fmt.Errorf("giving a restored backup a name of its own: %w", err), w.close())
	}
	return w, nil
}

// newWriter connects with these settings.
func newWriter(path, settings string) (*writer, error) {
	conn, err := connect(path)
	if err != nil {
		return nil, err
	}
	w := &writer{
		path: path, conn: conn, index: index{sortAt: indexIDs, forgetAt: recentIDs},
		trimAt: checkpointPages, patience: restartPatience, unsettled: true,
	}
	if err := conn.script(settings); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) open() error {
	err := checkVersion(context.Background(), w.conn)
	older := errors.Is(err, errOlder)
	if err != nil && !older {
		return err
	}
	if err := w.checkMode(); err != nil {
		return err
	}
	if older {
		if err := w.migrate(); err != nil {
			return err
		}
	}
	if err := w.prepare(); err != nil {
		return err
	}
	// A full disk is no reason to read nothing either: append tries again.
	if err := w.settle(); err != nil && !errors.Is(err, app.ErrDiskFull) {
		return err
	}
	return w.recall()
}

// checkMode returns an error where the store does not work as it must, of which
// SQLite says nothing.
func (w *writer) checkMode() error {
	// Where WAL does not work, as on some network file systems, SQLite goes on
	// with what does and says so only here.
	var mode string
	if err := w.row("PRAGMA journal_mode", &mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("WAL mode is needed and did not work: journal_mode is %q", mode)
	}
	// Where it may not be written to, SQLite opens it all the same, for reading,
	// and says so at the first statement that would write.
	if err := w.conn.script("DELETE FROM meta WHERE false"); err != nil {
		return fmt.Errorf("it cannot be written to: %w", err)
	}
	return nil
}

// row reads the only row of a query without arguments.
func (w *writer) row(query string, to ...any) error {
	return w.conn.queryRow(context.Background(), query, nil, to...)
}

// recall reads what the writer keeps in mind.
func (w *writer) recall() error {
	if err := w.row(nextSQL, &w.next); err != nil {
		return fmt.Errorf("looking for the last seq: %w", err)
	}
	return w.recallIDs()
}

// settle makes durable what was recovered from a write-ahead log, before
// anything counts on it.
func (w *writer) settle() error {
	if !w.unsettled {
		return nil
	}
	if err := rewrite(w.path + "-wal"); err != nil {
		return err
	}
	w.unsettled = false
	w.logged = w.trimAt // as much as is known: trimWAL looks
	return nil
}

func (w *writer) prepare() (err error) {
	for text, stmt := range w.statements() {
		if *stmt, err = w.conn.prepare(text); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) statements() map[string]**statement {
	return map[string]**statement{
		"BEGIN IMMEDIATE": &w.begin,
		"COMMIT":          &w.commit,
		"ROLLBACK":        &w.rollback,
		insertSQL:         &w.insert,
		renumberSQL:       &w.renumber,
		findSQL:           &w.find,
		lookAtSQL:         &w.lookAt,
		latestSQL:         &w.findLatest,
		indexSQL:          &w.indexOne,
		indexManySQL:      &w.indexMany,
		noteIndexedSQL:    &w.noteIndexed,
		insertKeySQL:      &w.insertKey,
		findKeySQL:        &w.findKey,
	}
}

func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.statements() {
		if *stmt != nil {
			errs = append(errs, (*stmt).close())
		}
	}
	return errors.Join(append(errs, w.conn.close())...)
}
