package sqlite

import (
	"context"
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/windsock-scgi/windsock/app"
)

// damage adds to an error that comes from a damaged file what to do about it.
func damage(err error) error {
	if isDamage(err) && !errors.Is(err, errDamaged) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// ended returns the context's error in place of err once the context has ended.
// database/sql then closes what is being read, so err may be any error, or a row
// that was never read: neither says anything about the store.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// readError wraps an error of reading with what was attempted. It matches
// app.ErrUnavailable when the store could not be read just then, and says what to
// do when SQLite found damage.
func readError(attempt string, err error) error {
	err = damage(err)
	if isPassing(err) {
		err = fmt.Errorf("%w: %w", app.ErrUnavailable, err)
	}
	return fmt.Errorf("sqlite: %s: %w", attempt, err)
}

// isPassing reports whether SQLite could not read for a reason that is not the
// store's: a lock that somebody held for too long, or no memory or descriptor left.
func isPassing(err error) bool {
	switch code(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN:
		return true
	}
	return false
}

// classify wraps an error of SQLite's with what was attempted and, where it is
// one, the application's error that it amounts to.
func classify(attempt string, err error) error {
	err = damage(err)
	if is := meaning(code(err)); is != nil {
		return fmt.Errorf("%s: %w: %w", attempt, is, err)
	}
	return fmt.Errorf("%s: %w", attempt, err)
}

// classifyCommit is classify for COMMIT, where an error that is not known to
// leave nothing behind means that nobody knows what is stored.
func classifyCommit(err error) error {
	const attempt = "committing"
	switch code(err) & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR:
		return classify(attempt, err)
	}
	return failed(attempt, err)
}

// failed wraps an error after which the log stores nothing more.
func failed(attempt string, err error) error {
	return fmt.Errorf("%s: %w: %w", attempt, app.ErrStoreFailed, damage(err))
}

func isFatal(err error) bool { return errors.Is(err, app.ErrStoreFailed) }

// meaning returns the application's error for one of SQLite's codes, nil when
// there is none: then the batch is lost, and the next may well be stored.
func meaning(code int) error {
	switch code {
	case sqlite3.SQLITE_IOERR_SHMSIZE: // growing FILE-shm, which fails for want of space
		return app.ErrDiskFull
	}
	switch code & 0xff {
	case sqlite3.SQLITE_FULL:
		return app.ErrDiskFull
	case sqlite3.SQLITE_IOERR, // a failed sync above all
		sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
		sqlite3.SQLITE_READONLY, // the file system turned read-only, or the file was moved away
		sqlite3.SQLITE_INTERNAL, sqlite3.SQLITE_MISUSE:
		return app.ErrStoreFailed
	}
	return nil
}

// code returns SQLite's extended result code, 0 when err is not one of its.
func code(err error) int {
	var e interface { // the driver's *Error or a *resultError
		error
		Code() int
	}
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// isDamage reports whether SQLite found the file's content to make no sense.
func isDamage(err error) bool {
	switch code(err) & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
}

// conflict says what a constraint that fails is: damage, since what is there is
// looked up before.
func conflict(err error) error {
	if code(err)&0xff == sqlite3.SQLITE_CONSTRAINT {
		return fmt.Errorf("%w: %w: %w", app.ErrStoreFailed, errDamaged, err)
	}
	return err
}

// isNoDatabase reports whether a file is none of SQLite's.
func isNoDatabase(err error) bool { return code(err) == sqlite3.SQLITE_NOTADB }

// isMisfit reports whether a statement did not fit: the moment, as ROLLBACK outside
// a transaction, or the schema, where a table or column is not there.
func isMisfit(err error) bool { return code(err) == sqlite3.SQLITE_ERROR }
