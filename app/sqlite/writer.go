package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/windsock-scgi/windsock/app"
)

// writer is the one connection that writes, with what every batch does prepared
// past the driver, see direct. What is rare goes through conn.
type writer struct {
	path   string
	db     *sql.DB
	conn   *sql.Conn
	direct *direct

	begin, commit, rollback  *statement
	insert                   *statement
	find, lookAt, findLatest *statement
	index, noteIndexed       *statement
	insertKey, findKey       *statement

	next      int64            // the seq of the next message
	recent    map[app.ID]int64 // the seqs of the newest messages, see ids.go
	indexed   int64            // ids has the messages up to this seq
	latest    int64            // all messages with a higher client_created are in recent
	logged    int              // pages in the write-ahead log, at most
	trimAt    int              // how many of them there may be before it is trimmed
	unsettled bool             // what settle does has still to be done
}

const (
	insertSQL = `INSERT INTO messages
		(seq, client_created, id, type, callsign, client_uploaded, time_created, time_uploaded, received, address, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	insertKeySQL = `INSERT INTO keys (callsign, key, seq) VALUES (?, ?, ?)`
	findKeySQL   = `SELECT messages.seq, messages.id = ? FROM keys JOIN messages USING (seq)
		WHERE keys.callsign = ? AND keys.key = ?`

	// nextSQL gives the seq that comes after all that were ever used, as far as
	// damage does not hide it.
	nextSQL = `SELECT 1 + max(
		(SELECT coalesce(max(seq), 0) FROM messages),
		(SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key IN ('pruned', 'indexed')))`
)

// openWriter opens the store, which exists, for writing.
func openWriter(path string) (*writer, error) {
	w, err := connect(writerDSN(path))
	if err != nil {
		return nil, err
	}
	w.path = path
	if err := w.open(context.Background()); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if err := w.rename(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("giving a restored backup a name of its own: %w", err), w.close())
	}
	return w, nil
}

// connect makes the one connection.
func connect(dsn string) (*writer, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w := &writer{db: db, conn: conn, trimAt: checkpointPages, unsettled: true}
	if w.direct, err = directly(conn); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) open(ctx context.Context) error {
	err := checkVersion(ctx, w.conn)
	older := errors.Is(err, errOlder)
	if err != nil && !older {
		return err
	}
	if err := w.checkMode(ctx); err != nil {
		return err
	}
	if older {
		if err := w.migrate(ctx); err != nil {
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
	return w.recall(ctx)
}

// checkMode returns an error where the store does not work as it must, of which
// SQLite says nothing.
func (w *writer) checkMode(ctx context.Context) error {
	// Where WAL does not work, as on some network file systems, SQLite goes on
	// with what does and says so only here.
	var mode string
	if err := w.conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("WAL mode is needed and did not work: journal_mode is %q", mode)
	}
	// Where it may not be written to, SQLite opens it all the same, for reading,
	// and says so at the first statement that would write.
	if _, err := w.conn.ExecContext(ctx, "DELETE FROM meta WHERE false"); err != nil {
		return fmt.Errorf("it cannot be written to: %w", err)
	}
	return nil
}

// recall reads what the writer keeps in mind.
func (w *writer) recall(ctx context.Context) error {
	if err := w.conn.QueryRowContext(ctx, nextSQL).Scan(&w.next); err != nil {
		return fmt.Errorf("looking for the last seq: %w", err)
	}
	return w.recallIDs(ctx)
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
		if *stmt, err = w.direct.prepare(text); err != nil {
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
		findSQL:           &w.find,
		lookAtSQL:         &w.lookAt,
		latestSQL:         &w.findLatest,
		indexSQL:          &w.index,
		noteIndexedSQL:    &w.noteIndexed,
		insertKeySQL:      &w.insertKey,
		findKeySQL:        &w.findKey,
	}
}

// close closes the connection. The last one of a store to be closed copies the
// write-ahead log back and removes it, but not while a statement is left.
func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.statements() {
		if *stmt != nil {
			errs = append(errs, (*stmt).close())
		}
	}
	if w.direct != nil {
		errs = append(errs, w.direct.close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}
