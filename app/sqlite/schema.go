package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// applicationID stands in a store's header, at offset 68: "wsck". It is there
// from the first moment that the file has its name, see create.
const applicationID = 0x7773636b

// schemaVersion is the user_version of the stores that this program writes. A
// store with a higher one is refused, one with a lower one changed, see migrate.
// Whoever raises it adds the migration.
const schemaVersion = 2

// schema makes a store: schemaMeta and all the others.
//
// What filters look at stands in a message before data, which may be long. seq
// is not AUTOINCREMENT, which would read and write a table of its own for each:
// the one writer counts, see nextSQL. messages has no index: ids is one that is
// written behind, see ids.go.
//
// Keys are few and have a table of their own, so that a message without one
// costs nothing for them. Both go with their message by a trigger and not by a
// foreign key, which would hold only for connections that ask for it.
const (
	schema = schemaMeta + schemaMessages + schemaKeys + schemaGone

	schemaMeta = `
CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`
	schemaMessages = `
CREATE TABLE messages (
	seq             INTEGER PRIMARY KEY,
	client_created  INTEGER NOT NULL, -- UNIX seconds, as the client sent it
	id              BLOB    NOT NULL, -- 16 bytes
	type            TEXT    NOT NULL,
	callsign        TEXT    NOT NULL,
	client_uploaded INTEGER NOT NULL, -- UNIX seconds, as the client sent it
	time_created    INTEGER NOT NULL, -- UNIX seconds by the server's clock
	time_uploaded   INTEGER NOT NULL, -- UNIX seconds by the server's clock
	received        INTEGER NOT NULL, -- UNIX microseconds by the server's clock
	address         TEXT,             -- of the client; NULL once it was blanked
	data            TEXT    NOT NULL  -- canonical JSON
) STRICT;

CREATE TABLE ids (
	client_created INTEGER NOT NULL, -- so that those of one time are near each other
	id             BLOB    NOT NULL,
	seq            INTEGER NOT NULL, -- of the message that has it
	PRIMARY KEY (client_created, id)
) STRICT, WITHOUT ROWID;
`
	schemaKeys = `
CREATE TABLE keys (
	callsign TEXT    NOT NULL,
	key      BLOB    NOT NULL, -- Idempotency-Key, as the client sent it
	seq      INTEGER NOT NULL, -- of the message that it stands for
	PRIMARY KEY (callsign, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_by_seq ON keys (seq);
`
	schemaGone = `
CREATE TRIGGER messages_gone AFTER DELETE ON messages BEGIN
	DELETE FROM ids WHERE client_created = OLD.client_created AND id = OLD.id;
	DELETE FROM keys WHERE seq = OLD.seq;
END;
`
)

var (
	errNotAStore = errors.New("not a windsock store")
	errDamaged   = errors.New("the store is damaged (run windsock check)")
	errOlder     = errors.New("the store was made by an older windsock; open it for writing once (windsock serve) to bring it up to date")
)

// exists says whether there is a store at path: false when there is no file or
// an empty one. A file that is something else is an error, and left alone, and
// so is the write-ahead log of a store that is not there.
func exists(path string) (bool, error) {
	// This comes first: whoever makes a store meanwhile has the file before it.
	left, err := leftover(path)
	if err != nil {
		return false, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, refuseLeftover(left)
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%w: not a regular file", errNotAStore)
	case info.Size() == 0:
		return false, refuseLeftover(left)
	}
	const read = 4                                     // R_OK of access(2)
	if err := syscall.Access(path, read); err != nil { // SQLite does not say why
		return false, fmt.Errorf("it cannot be read: %w", err)
	}
	return true, checkHeader(path)
}

// checkHeader returns an error unless the file's header is that of a store, and
// of none that a newer windsock made: what opens it for writing changes it.
func checkHeader(path string) error {
	db, err := sql.Open("sqlite", headerDSN(path))
	if err != nil {
		return err
	}
	defer db.Close() // nothing was written: there is nothing to lose
	var id int
	err = db.QueryRow("PRAGMA application_id").Scan(&id)
	switch {
	case isNoDatabase(err):
		return errNotAStore
	case err != nil:
		return fmt.Errorf("reading its header: %w", err)
	case id != applicationID:
		return fmt.Errorf("%w: an SQLite database with application_id %#x", errNotAStore, id)
	}
	_, err = readVersion(context.Background(), database{db})
	return err
}

// checkVersion returns an error unless the store is one that this program
// knows how to write and read: errOlder for one that it can migrate.
func checkVersion(ctx context.Context, q queryer) error {
	version, err := readVersion(ctx, q)
	switch {
	case err != nil:
		return err
	case version < 1:
		return fmt.Errorf("%w: schema version %d", errDamaged, version)
	case version < schemaVersion:
		return fmt.Errorf("schema version %d: %w", version, errOlder)
	}
	return nil
}

// readVersion returns the schema's version. A newer one than this program's is an
// error.
func readVersion(ctx context.Context, q queryer) (version int, err error) {
	if err := q.queryRow(ctx, "PRAGMA user_version", nil, &version); err != nil {
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	if version > schemaVersion {
		return 0, fmt.Errorf("the store has schema version %d, made by a newer windsock; this one knows %d",
			version, schemaVersion)
	}
	return version, nil
}

// queryer is what the one that writes and those that read have in common here: a
// query of which the first row is copied to where these point.
type queryer interface {
	queryRow(ctx context.Context, query string, args []any, to ...any) error
}

// database is a queryer for those that read.
type database struct{ *sql.DB }

func (d database) queryRow(ctx context.Context, query string, args []any, to ...any) error {
	return d.QueryRowContext(ctx, query, args...).Scan(to...)
}

// unfinished ends the name of a file of ours that is not whole yet. What a kill
// left under such a name is thrown away unseen: so it is one that nobody gives to
// a file of his own, as FILE.new could be.
const unfinished = ".unfinished"

// create makes a store at path, where there is none. It is made under another
// name and renamed, so that it is there as a whole or not at all, whatever
// happens on the way. The caller holds the lock.
func create(path string) error {
	making := path + unfinished
	if err := removeStore(making); err != nil {
		return err
	}
	if err := fill(making, permissions(path)); err != nil {
		return fmt.Errorf("making the store: %w", errors.Join(err, os.Remove(making)))
	}
	return os.Rename(making, path)
}

// removeStore removes the files of an unfinished store, as far as they are there.
func removeStore(making string) error {
	var errs []error
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(making + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// permissions returns those of the empty file at path, else what a new store
// gets: it holds clients' addresses, which are not for everybody.
func permissions(path string) fs.FileMode {
	if info, err := os.Stat(path); err == nil {
		return info.Mode().Perm()
	}
	return 0o640
}

// fill makes the file and writes the schema and the log's name to it.
func fill(path string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	w, err := newWriter(path, makerSettings)
	if err != nil {
		return err
	}
	return errors.Join(w.fill(), w.close())
}

func (w *writer) fill() error {
	head := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, schemaVersion)
	if err := w.conn.script(head + schema); err != nil {
		return err
	}
	if err := w.conn.run("INSERT INTO meta VALUES ('name', ?), ('indexed', '0')", randomName()); err != nil {
		return err
	}
	if err := w.checkMode(); err != nil {
		return err
	}
	return w.checkpoint() // all of it has to be in the file that is to be renamed
}

// randomName returns 16 hex digits. It stands in events' ids before a dot, so
// it must hold none.
func randomName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
