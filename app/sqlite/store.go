// Package sqlite keeps the log of messages in one SQLite database file.
//
// It is the store of a windsock that runs on one machine, and the proof of the
// promise that OK means durable: WAL mode with synchronous=FULL, so that a
// commit returns only once the write-ahead log was synced, one transaction a
// batch, and no acknowledgement after an outcome that is not known.
//
// One process writes, which a lock on FILE.lock makes sure of; any number
// reads meanwhile, from any process, see [OpenReadOnly]. The file must be on a
// local file system, since WAL mode shares memory between processes; beside it
// lie FILE-wal and FILE-shm. As long as FILE-wal is there it is part of the store:
// the one is not to be moved or copied without the other. An older copy is put back
// by [Restore], never by hand: SQLite applies FILE-wal to whatever file it lies
// beside, and nothing tells that the two do not belong together. All three are found
// by FILE's name, so it must have only one; symbolic links to it are followed.
//
// Limits: SQLite's own (281 TB, 2^63 sequence numbers). Operating systems: those
// that have flock.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/windsock-scgi/windsock/app"
)

// Store is a store that is open for writing. It is safe for concurrent use.
type Store struct {
	reader *Reader
	excess finder   // what is to be pruned
	lock   *os.File // what keeps a second writer out, until it is closed

	mu     sync.Mutex // guards what follows; held while a batch is stored
	writer *writer
	failed error // matches app.ErrStoreFailed once nothing more can be vouched for
	closed bool
}

var _ app.Store = (*Store)(nil)

// Name returns the log's name: 16 hex digits, random, made with the store. Only
// a [Backup] that is opened gets another one.
func (l *Store) Name() string { return l.reader.Name() }

// Read implements app.Store, within the bounds of [Reader.Read].
func (l *Store) Read(ctx context.Context, q app.Query) (app.Page, error) {
	return l.reader.Read(ctx, q)
}

// Close waits for an Append under way, folds what is written into the one file
// and lets go of it. Appending and reading fail from then on. Whatever Close
// returns, what Append has returned a receipt for is durable.
//
// A reader elsewhere that still has the store open is no error, but it can keep
// Close from folding all, and keeps FILE-wal from being removed: as long as
// that is there it is part of the store, to be copied with it. The next Open
// and Close fold it.
func (l *Store) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	// First the readers here, who would hold up the checkpoint.
	errs := []error{l.reader.Close(), l.excess.Close()}
	if l.failed == nil { // or it has been said already
		errs = append(errs, l.writer.checkpoint())
	}
	errs = append(errs, l.letGo())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sqlite: closing the store: %w", err)
	}
	return nil
}

// letGo closes what is open of the log. The lock goes last: until then there
// may be something to write. The readers go before the writer, since only a
// writer that is the last to go can remove the files beside the store.
func (l *Store) letGo() error {
	var errs []error
	if l.reader != nil {
		errs = append(errs, l.reader.Close())
	}
	if l.excess.Reader != nil {
		errs = append(errs, l.excess.Close())
	}
	if l.writer != nil {
		errs = append(errs, l.writer.close())
	}
	return errors.Join(append(errs, l.lock.Close())...)
}
