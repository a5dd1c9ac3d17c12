package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
)

// This file verifies a store: that it is what Append has stored, and nothing
// but that.

// maxFaults is how many faults Check names. More are counted.
const maxFaults = 100

// Findings are what Check found.
type Findings struct {
	Log            string // the log's name; empty when the store could not even be opened
	Backup         string // when this copy of the log was made; empty unless it is one that was not written to yet
	Messages       int64  // how many could be read
	Oldest, Newest int64  // the first and the last of their seqs; zero for none
	Faults         []string
	MoreFaults     int // how many more there are than are named
}

// Check reads all of the store at path and says what is wrong with it. An error
// means that it could not be checked, fs.ErrNotExist that there is none. Damage
// is a fault, also when it keeps the store from being opened.
//
// Each message is held against what Decode makes sure of, its ID is computed
// anew, and seqs must rise. Keys must stand for a message of their callsign.
// Retries must be found by the ids, of which none may stand there twice. Tables,
// indexes and triggers must be those of a new store. The rest is SQLite's
// integrity_check: no page is used twice or by nobody.
//
// It changes nothing and leaves nothing behind, and needs no right to write. A
// store that is being written to meanwhile is read as by [OpenReadOnly], in short
// transactions, but for the integrity check. That is one long transaction: it
// stops no insertion, but FILE-wal grows until it has ended.
//
// progress, which may be nil, is called now and then with what is being done
// and how far it is; a total of zero means that nobody knows.
//
// It must not be called in a process that has the store open: closing the file
// would let go of SQLite's locks.
func Check(ctx context.Context, path string, progress func(doing string, done, total int64)) (Findings, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	c := checker{progress: progress}
	err := c.check(ctx, path)
	if isDamage(err) || isMisfit(err) {
		c.fault("it cannot be opened: %v", err)
		err = nil
	}
	if err != nil {
		return Findings{}, fmt.Errorf("sqlite: checking the store %s: %w", path, err)
	}
	return c.Findings, nil
}

type checker struct {
	Findings
	progress func(string, int64, int64)
	// undisturbed returns an error once the store is no more what it was when
	// the checking began.
	undisturbed func() error
	newest      int64 // the highest seq, as far as it can be read
}

var _ salvager = (*checker)(nil)

// errDisturbed ends the look at a store that is not at rest.
var errDisturbed = errors.New("it was written to meanwhile")

func (c *checker) check(ctx context.Context, path string) error {
	path, err := locate(path)
	if err != nil {
		return err
	}
	made, err := exists(path)
	if err != nil {
		return err
	}
	if !made {
		return fmt.Errorf("no store there: %w", fs.ErrNotExist)
	}
	if err := checkNames(path); err != nil {
		return err
	}
	err = c.checkResting(ctx, path)
	if !errors.Is(err, errDisturbed) {
		return err
	}
	return c.checkLive(ctx, path)
}

// checkResting checks a store on the supposition that nobody writes to it, which
// is errDisturbed when it proves wrong.
func (c *checker) checkResting(ctx context.Context, path string) error {
	before, err := tracesOf(path)
	if err != nil {
		return err
	}
	c.undisturbed = func() error {
		now, err := tracesOf(path)
		if err == nil && !now.equal(before) {
			err = errDisturbed
		}
		return err
	}
	err = c.readResting(ctx, path)
	// What was found while it changed, an error too, may mean nothing.
	if disturbed := c.undisturbed(); disturbed != nil {
		return disturbed
	}
	return err
}

func (c *checker) readResting(ctx context.Context, path string) error {
	r, err := openResting(path)
	if err != nil {
		return err
	}
	return errors.Join(c.read(ctx, r.Reader), r.Close())
}

func (c *checker) checkLive(ctx context.Context, path string) error {
	c.Findings = Findings{}
	c.undisturbed = func() error { return nil }
	r, err := openReader(readerDSN(path), 1)
	if err != nil {
		return err
	}
	return errors.Join(c.read(ctx, r), r.Close())
}

// fault adds one to the findings.
func (c *checker) fault(format string, args ...any) {
	if len(c.Faults) >= maxFaults {
		c.MoreFaults++
		return
	}
	c.Faults = append(c.Faults, fmt.Sprintf(format, args...))
}

func (c *checker) read(ctx context.Context, r *Reader) (err error) {
	c.Log = r.Name()
	if !logName.MatchString(c.Log) {
		c.fault("the log's name %q is not 16 hex digits", c.Log)
	}
	if c.Backup, err = r.backupMark(ctx); isDamage(err) || isMisfit(err) {
		c.fault("its settings cannot be read: %v", err)
	} else if err != nil {
		return err
	}
	if err := r.view(ctx, func(tx *sql.Tx) error { return c.schema(ctx, tx) }); err != nil {
		return err
	}
	if err := c.messages(ctx, r); err != nil {
		return err
	}
	c.progress("checking the structure", 0, 0)
	err = r.view(ctx, func(tx *sql.Tx) error {
		if err := c.keys(ctx, tx); err != nil {
			return err
		}
		if err := c.ids(ctx, tx); err != nil {
			return err
		}
		return c.integrity(ctx, tx)
	})
	return err
}

var logName = regexp.MustCompile(`^[0-9a-f]{16}$`)

// messages reads them page by page.
func (c *checker) messages(ctx context.Context, r *Reader) error {
	x, _ := r.extent(ctx) // for progress; what is wrong shows below
	c.newest = x.newest
	_, err := r.salvage(ctx, math.MinInt64, c)
	if err != nil {
		return c.unreadable(err)
	}
	return nil
}

// before implements salvager.
func (c *checker) before(after int64) error {
	if c.Messages > 0 {
		c.progress("checking messages", after, c.newest)
	}
	return c.undisturbed()
}

// page implements salvager.
func (c *checker) page(found []app.Entry) error {
	for i := range found {
		c.message(&found[i])
	}
	return nil
}

// message looks at one. Those that are out of order do not come here.
func (c *checker) message(e *app.Entry) {
	if e.Seq < 1 {
		c.fault("message %d: its seq is not positive", e.Seq)
	}
	if c.Messages == 0 {
		c.Oldest = e.Seq
	}
	c.Messages, c.Newest = c.Messages+1, e.Seq
	if err := habitat.Verify(&e.Message); err != nil {
		c.fault("message %d: %v", e.Seq, err)
	}
}

// extent returns what the log holds.
func (r *Reader) extent(ctx context.Context) (x extent, err error) {
	err = r.view(ctx, func(tx *sql.Tx) error {
		x, err = span(ctx, tx)
		return err
	})
	return x, err
}

// strayKeysSQL finds the keys that stand for no message, or one of another
// callsign.
const strayKeysSQL = `SELECT keys.seq, keys.callsign, messages.callsign
	FROM keys LEFT JOIN messages USING (seq)
	WHERE messages.callsign IS NOT keys.callsign`

func (c *checker) keys(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, strayKeysSQL)
	if err != nil {
		return c.unreadable(err)
	}
	defer rows.Close() // what it would say, Err has said
	for rows.Next() {
		var seq int64
		var of string
		var other sql.NullString
		if err := rows.Scan(&seq, &of, &other); err != nil {
			return c.unreadable(err)
		}
		if other.Valid {
			c.fault("message %d: an Idempotency-Key of %q stands for it, and it is %q's", seq, of, other.String)
		} else {
			c.fault("message %d: an Idempotency-Key of %q stands for it, and it is not there", seq, of)
		}
	}
	return c.unreadable(rows.Err())
}

// strayIDs are queries for messages whose retries would not be found, or be found
// to be another message's, and what is wrong with them.
var strayIDs = []struct{ query, fault string }{
	{`SELECT messages.seq FROM messages LEFT JOIN ids USING (client_created, id)
		WHERE messages.seq BETWEEN 1 AND ` + indexed + ` AND ids.seq IS NOT messages.seq`,
		"message %d: its id does not stand for it in the table ids"},
	{`SELECT ids.seq FROM ids LEFT JOIN messages USING (seq, client_created, id) WHERE messages.id IS NULL`,
		"message %d: the table ids has an id that stands for it, and it is not there or has another"},
	{`SELECT messages.seq FROM messages JOIN ids USING (client_created, id)
		WHERE messages.seq > ` + indexed + ` AND ids.seq != messages.seq
		UNION SELECT max(seq) FROM messages WHERE seq > ` + indexed + ` GROUP BY client_created, id HAVING count(*) > 1`,
		"message %d: an earlier one has its id"},
}

const indexed = `coalesce((` + indexedSQL + `), 0)`

func (c *checker) ids(ctx context.Context, tx *sql.Tx) error {
	var noted bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'indexed')").Scan(&noted); err != nil {
		return c.unreadable(err)
	}
	if !noted {
		c.fault("the table meta has no row indexed, without which the store is not opened for writing")
	}
	for _, stray := range strayIDs {
		rows, err := tx.QueryContext(ctx, stray.query)
		if err != nil {
			return c.unreadable(err)
		}
		defer rows.Close() // what it would say, Err has said
		for rows.Next() {
			var seq int64
			if err := rows.Scan(&seq); err != nil {
				return c.unreadable(err)
			}
			c.fault(stray.fault, seq)
		}
		if err := rows.Err(); err != nil {
			return c.unreadable(err)
		}
	}
	return nil
}

// unreadable makes a fault of an error that is one of the store's.
func (c *checker) unreadable(err error) error {
	switch {
	case isDamage(err):
		c.fault("it cannot be read through: %v", err)
		return nil
	case isMisfit(err) && len(c.Faults) > 0:
		return nil // it asks for what schema has missed
	}
	return err
}

// integrity is SQLite's own check of all of the file.
func (c *checker) integrity(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", maxFaults+1))
	if err != nil {
		return c.unreadable(err)
	}
	defer rows.Close() // what it would say, Err has said
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			c.fault("structure: %s", line)
		}
	}
	return c.unreadable(rows.Err())
}
