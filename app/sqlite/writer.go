package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/windsock-scgi/windsock/app"
)

// writer is the one connection that writes, with what it does prepared. It goes
// through database/sql: its statements, kept on one *sql.Conn, cost hardly more
// than the driver's own (7.8 us a message, not 7.5; one statement for 16 messages
// would make it 6.9).
type writer struct {
	path string
	db   *sql.DB
	conn *sql.Conn

	begin, commit, rollback *sql.Stmt
	insert, find            *sql.Stmt
	insertKey, findKey      *sql.Stmt
	walState, copyBack      *sql.Stmt

	trimAt    int  // pages in the write-ahead log from which on it is trimmed
	unsettled bool // what settle does has still to be done
}

const (
	insertSQL = `INSERT INTO messages
		(client_created, id, type, callsign, client_uploaded, time_created, time_uploaded, received, address, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	findSQL = `SELECT seq FROM messages WHERE client_created = ? AND id = ?`

	insertKeySQL = `INSERT INTO keys (callsign, key, seq) VALUES (?, ?, ?)`
	findKeySQL   = `SELECT messages.seq, messages.id FROM keys JOIN messages USING (seq)
		WHERE keys.callsign = ? AND keys.key = ?`
)

// openWriter opens the store, which exists, for writing.
func openWriter(path string) (*writer, error) {
	w, err := connect(writerDSN(path))
	if err != nil {
		return nil, err
	}
	w.path = path
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	// A full disk is no reason to read nothing either: append tries again.
	if err := w.settle(); err != nil && !errors.Is(err, app.ErrDiskFull) {
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
	return &writer{db: db, conn: conn, trimAt: checkpointPages, unsettled: true}, nil
}

func (w *writer) open() error {
	ctx := context.Background()
	if err := checkVersion(ctx, w.conn); err != nil {
		return err
	}
	// Where WAL does not work, as on some network file systems, SQLite goes on
	// with what does and says so only here.
	var mode string
	if err := w.conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("WAL mode is needed and did not work: journal_mode is %q", mode)
	}
	if err := w.prepare(ctx); err != nil {
		return err
	}
	// Where it may not be written to, SQLite opens it all the same, for reading,
	// and says so at the first statement that would write.
	if _, err := w.conn.ExecContext(ctx, "DELETE FROM meta WHERE false"); err != nil {
		return fmt.Errorf("it cannot be written to: %w", err)
	}
	return nil
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
	return nil
}

func (w *writer) prepare(ctx context.Context) error {
	for text, stmt := range w.statements() {
		var err error
		if *stmt, err = w.conn.PrepareContext(ctx, text); err != nil {
			return fmt.Errorf("preparing %q: %w", text, err)
		}
	}
	return nil
}

func (w *writer) statements() map[string]**sql.Stmt {
	return map[string]**sql.Stmt{
		"BEGIN IMMEDIATE":                &w.begin,
		"COMMIT":                         &w.commit,
		"ROLLBACK":                       &w.rollback,
		insertSQL:                        &w.insert,
		findSQL:                          &w.find,
		insertKeySQL:                     &w.insertKey,
		findKeySQL:                       &w.findKey,
		"PRAGMA wal_checkpoint(NOOP)":    &w.walState,
		"PRAGMA wal_checkpoint(PASSIVE)": &w.copyBack,
	}
}

// close closes the connection. The last one of a store to be closed copies the
// write-ahead log back and removes it, but not while a statement is left: those
// of a *sql.Conn database/sql does not close with it.
func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.statements() {
		if *stmt != nil {
			errs = append(errs, (*stmt).Close())
		}
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}
