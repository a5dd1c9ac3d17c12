package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/windsock-scgi/windsock/app"
)

// maxExamined is how many sequence numbers one transaction looks at. There is
// no index over types and callsigns, which every insertion would pay for; a
// filter that lets little through gets a short page, and reads on after its
// Next. Last takes as many transactions as it needs, and short ones: a long one
// would hold up the checkpoints.
const maxExamined = 10_000

// maxUnwatched is how many sequence numbers are looked at before the clock is, for
// a query with Until. On a slow disk each of them may be a page to read.
const maxUnwatched = 1_000

// maxPageBytes is how much data, in bytes, a page holds before it ends: with
// the message that reaches it, so that there is always one.
const maxPageBytes = 4 << 20

// maxReaders is how many connections read at the same time.
const maxReaders = 4

// Reader reads a store. It is safe for concurrent use.
type Reader struct {
	db   *sql.DB
	name string
}

// openReader opens the store that the name stands for, and which exists, for
// reading.
func openReader(dsn string, conns int) (*Reader, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	r := &Reader{db: db}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (r *Reader) open() error {
	ctx := context.Background()
	if err := checkVersion(ctx, database{r.db}); err != nil {
		return err
	}
	err := r.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'name'").Scan(&r.name)
	if err != nil {
		return fmt.Errorf("reading the log's name: %w", err)
	}
	return nil
}

// Name returns the log's name.
func (r *Reader) Name() string { return r.name }

// Close closes the store. A Read under way ends first or fails.
func (r *Reader) Close() error { return r.db.Close() }

// Read returns one page, as app.Store says. Besides the query's limit it has two
// more: the message that brings its data to 4 MiB is its last, and it examines
// at most 10,000 messages. Next says how far it came.
//
// With Last only the 4 MiB hold, and the page has the newest that fit: it goes
// back until it has enough of them, through all of the log when few pass the
// filters, or until q.Until, when From says how far back it came. When ctx ends
// first, that is an error.
func (r *Reader) Read(ctx context.Context, q app.Query) (app.Page, error) {
	if q.Limit < 1 {
		return app.Page{}, fmt.Errorf("sqlite: reading: a limit of %d is not positive", q.Limit)
	}
	if q.Log != "" && q.Log != r.name {
		return app.Page{}, fmt.Errorf("sqlite: reading %q: %w: it is %q", q.Log, app.ErrOtherLog, r.name)
	}
	if q.Last {
		page, err := r.last(ctx, q)
		if err != nil {
			return app.Page{}, readError("reading the last", err)
		}
		return page, nil
	}
	page, err := r.after(ctx, q)
	if err != nil {
		return app.Page{}, readError(fmt.Sprintf("reading after %d", q.After), err)
	}
	return page, nil
}

// view does something in one transaction, so that all that it reads is of one
// moment. Once ctx has ended, its error is view's, whatever else went wrong.
func (r *Reader) view(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return ended(ctx, err)
	}
	defer tx.Rollback() // there is nothing to commit
	return ended(ctx, do(tx))
}

// seqs is a range of sequence numbers, both ends included.
type seqs struct{ oldest, newest int64 }

// first returns the part of the range that begins it, of n numbers at most.
func (s seqs) first(n int64) seqs {
	if s.newest-s.oldest >= n {
		s.newest = s.oldest + n - 1
	}
	return s
}

// last returns the part of the range that ends it, of n numbers at most.
func (s seqs) last(n int64) seqs {
	s.oldest = max(s.oldest, s.newest-n+1)
	return s
}

// extent is what a log holds.
type extent struct {
	seqs          // when it holds nothing: what follows all that was pruned; it ends before it begins
	highest int64 // the highest seq that it ever gave out; a message with it may be gone
}

// span returns what the log holds.
func span(ctx context.Context, tx *sql.Tx) (x extent, err error) {
	// Subqueries, since SQLite goes to an end of a table for one min or one max,
	// and through all of it for both at once.
	err = tx.QueryRowContext(ctx, `SELECT
		coalesce((SELECT min(seq) FROM messages), pruned + 1),
		coalesce((SELECT max(seq) FROM messages), pruned),
		max(coalesce((SELECT max(seq) FROM messages), 0), pruned, indexed)
		FROM (SELECT coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?), 0) AS pruned,
			`+indexed+` AS indexed)`,
		metaPruned).Scan(&x.oldest, &x.newest, &x.highest)
	return x, err
}

// after reads the page that follows q.After.
func (r *Reader) after(ctx context.Context, q app.Query) (app.Page, error) {
	page := app.Page{Log: r.name, Next: q.After}
	err := r.view(ctx, func(tx *sql.Tx) error {
		x, err := span(ctx, tx)
		if err != nil {
			return err
		}
		// This transaction sees every commit before it. So a reader that has just
		// been given a seq is never refused.
		if q.After > x.highest {
			return fmt.Errorf("%w: its highest seq is %d", app.ErrOtherLog, x.highest)
		}
		page.Oldest = x.oldest
		if q.After >= x.newest {
			return nil
		}
		found := finding{q: q}
		left, err := found.look(ctx, tx, seqs{max(x.oldest, q.After+1), x.newest}.first(maxExamined))
		page.Entries, page.Next = found.entries, left.oldest-1
		if found.full() {
			page.Next = found.entries[len(found.entries)-1].Seq
		}
		return err
	})
	return page, err
}

// last reads the newest page, in ascending order all the same, going back step
// by step.
func (r *Reader) last(ctx context.Context, q app.Query) (app.Page, error) {
	page := app.Page{Log: r.name}
	found := finding{q: q}
	var left seqs // to look at
	step := func(tx *sql.Tx) (err error) {
		if page.Next == 0 { // the first: the page is of this moment
			x, err := span(ctx, tx)
			if err != nil {
				return err
			}
			left = x.seqs
			page.Oldest, page.Next = left.oldest, left.newest
		}
		part := left.last(maxExamined)
		rest, err := found.look(ctx, tx, part)
		left.newest -= part.newest - rest.newest
		return err
	}
	for {
		if err := r.view(ctx, step); err != nil {
			return app.Page{}, err
		}
		if found.full() || left.newest < left.oldest {
			break
		}
		if over(q) {
			page.From = left.newest + 1
			break
		}
	}
	slices.Reverse(found.entries)
	page.Entries = found.entries
	return page, nil
}

// over reports whether a query is to look no further.
func over(q app.Query) bool { return !q.Until.IsZero() && !time.Now().Before(q.Until) }

const (
	selection = `SELECT seq, id, callsign, type, time_created, time_uploaded,
			client_created, client_uploaded, received, address, data
		FROM messages
		WHERE seq BETWEEN ? AND ? AND ? IN ('', type) AND ? IN ('', callsign)
		ORDER BY seq`
	forward  = selection + ` LIMIT ?`
	backward = selection + ` DESC LIMIT ?`
)

// finding is a page's entries while they are read.
type finding struct {
	q       app.Query
	entries []app.Entry
	bytes   int // of data in entries
}

// full reports whether the page must end here.
func (f *finding) full() bool {
	return len(f.entries) >= f.q.Limit || f.bytes >= maxPageBytes || f.q.MaxBytes > 0 && f.bytes >= f.q.MaxBytes
}

// look adds what passes the filters of a range, in the query's order, until the
// page is full or the query's time is over. It returns what of the range it has
// not looked at.
func (f *finding) look(ctx context.Context, tx *sql.Tx, s seqs) (left seqs, err error) {
	for s.oldest <= s.newest && !f.full() {
		if f.q.Last {
			part := s.last(maxUnwatched)
			err = f.read(ctx, tx, backward, part)
			s.newest = part.oldest - 1
		} else {
			part := s.first(maxUnwatched)
			err = f.read(ctx, tx, forward, part)
			s.oldest = part.newest + 1
		}
		if err != nil || over(f.q) {
			break
		}
	}
	return s, err
}

// read adds what passes the filters of the range, in the query's order, until
// the page is full.
func (f *finding) read(ctx context.Context, tx *sql.Tx, query string, s seqs) error {
	rows, err := tx.QueryContext(ctx, query,
		s.oldest, s.newest, string(f.q.Type), f.q.Callsign, f.q.Limit-len(f.entries))
	if err != nil {
		return err
	}
	defer rows.Close() // what it would say, Err has said
	for !f.full() && rows.Next() {
		e, err := scan(rows)
		if e.Seq < s.oldest || e.Seq > s.newest { // a reader that went on after it would go round in circles
			err = &damagedMessage{e.Seq, "it is out of order"}
		}
		if err != nil { // of a row, unless the rows were closed before it was read
			return cmp.Or(ctx.Err(), rows.Err(), err)
		}
		if f.q.Last {
			s.newest = e.Seq - 1
		} else {
			s.oldest = e.Seq + 1
		}
		f.entries = append(f.entries, e)
		f.bytes += len(e.Data)
	}
	return rows.Err()
}

// scan reads one row, of which the seq is there also with an error. What Append cannot have stored is damage.
func scan(rows *sql.Rows) (e app.Entry, err error) {
	var (
		id       []byte
		received int64
		address  sql.NullString
	)
	err = rows.Scan(&e.Seq, &id, &e.Callsign, &e.Type, &e.TimeCreated, &e.TimeUploaded,
		&e.ClientCreated, &e.ClientUploaded, &received, &address, &e.Data)
	if err != nil {
		return e, &damagedMessage{e.Seq, err.Error()}
	}
	if copy(e.ID[:], id) != len(e.ID) || len(id) != len(e.ID) {
		return e, &damagedMessage{e.Seq, fmt.Sprintf("its id has %d bytes", len(id))}
	}
	e.Received = time.UnixMicro(received).UTC()
	if address.Valid {
		if e.Address, err = netip.ParseAddr(address.String); err != nil || e.Address.String() != address.String {
			return e, &damagedMessage{e.Seq, fmt.Sprintf("its address is %q", address.String)}
		}
	}
	return e, nil
}

// damagedMessage is the error of a row that Append cannot have stored.
type damagedMessage struct {
	seq    int64
	reason string
}

func (e *damagedMessage) Error() string {
	return fmt.Sprintf("%v: message %d: %s", errDamaged, e.seq, e.reason)
}

func (e *damagedMessage) Unwrap() error { return errDamaged }
