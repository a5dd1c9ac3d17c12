package sqlite

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// What SQLite is told of how to work: the connection that writes by statements,
// those that read in the name by which database/sql opens them.

// synchronous is the writer's setting of that name, and FULL it stays: it makes
// each commit sync the write-ahead log before it returns. It is a variable for
// one reason only, that the durability tests can link a binary with
//
//	-ldflags "-X github.com/windsock-scgi/windsock/app/sqlite.synchronous=OFF"
//
// and see themselves fail. Nothing sets it at run time.
var synchronous = "FULL"

// busyTimeout is how long a connection waits for a lock. No
// second writer is let in, so what it meets is a recovery or somebody's shell.
const busyTimeout = 5 * time.Second

// walKept is what a write-ahead log that grew beyond it, as it does while a
// reader keeps one transaction open, is cut back to: twice its usual size.
const walKept = 2 * checkpointPages * 4096

// settings are those of the one that writes. Automatic checkpoints are off since
// SQLite says nothing when one fails; see writer.trimWAL.
var settings = fmt.Sprintf(`
PRAGMA journal_mode = WAL;
PRAGMA synchronous = %s;
PRAGMA wal_autocheckpoint = 0;
PRAGMA journal_size_limit = %d;
PRAGMA secure_delete = ON;  -- what is pruned is overwritten, in free pages too
PRAGMA cache_size = -16000; -- 16 MB: a large batch is not spilled before its commit
`, synchronous, walKept)

// makerSettings are those of the one that makes the store. auto_vacuum is decided
// with the first page: INCREMENTAL lets pruning give space back in small steps.
// (Setting it for every writer would be a transaction each time.)
var makerSettings = "PRAGMA auto_vacuum = INCREMENTAL;" + settings

// The readers' settings stand in the data source name because the driver then
// applies them to every connection, whenever database/sql opens one. SQLite's own
// parameters need a URI, and a path in a URI needs escaping.

// readerDSN names the store for readers. mode=ro never makes the file and never
// writes to it. It is not immutable: what another process appends is seen, for
// which FILE-shm must be there or be makeable.
func readerDSN(path string) string {
	return dsn(path, url.Values{"mode": {"ro"}})
}

// headerDSN names the file for a look at its header alone. immutable takes no
// lock, makes no files beside it and leaves a write-ahead log aside. Whoever was
// killed in a checkpoint has left a header that knows of pages which are in that
// log only; with writable_schema SQLite does not take this for damage.
//
// os.Open would be simpler, but closing what it opened would take away all the
// POSIX locks on the file that SQLite holds in this process.
func headerDSN(path string) string {
	return dsn(path, url.Values{
		"mode":      {"ro"},
		"immutable": {"1"},
		"_pragma":   {"writable_schema(1)"},
	})
}

func dsn(path string, settings url.Values) string {
	settings.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	settings.Set("_error_rc", "1") // errors say what failed, not what failed before
	u := url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}
	return u.String()
}
