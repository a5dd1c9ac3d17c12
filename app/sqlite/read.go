package sqlite

import (
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

// Read returns one page, as app.Log says. Besides the query's limit it has two
// more: the message that brings its data to 4 MiB is its last, and it examines
// at most 10,000 messages. Next says how far it came.
//
// With Last only the 4 MiB hold, and the page has the newest that fit: it goes
// back until it has enough of them, through all of the log when few pass the
// filters, or the context ends, which is an error.
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
			return app.Page{}, fmt.Errorf("sqlite: reading the last: %w", damage(err))
		}
		return page, nil
	}
	page, err := r.after(ctx, q)
	if err != nil {
		return app.Page{}, fmt.Errorf("sqlite: reading after %d: %w", q.After, damage(err))
	}
	return page, nil
}

// view does something in one transaction, so that all that it reads is of one
// moment.
func (r *Reader) view(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // there is nothing to commit
	return do(tx)
}

// seqs is a range of sequence numbers, both ends included.
type seqs struct{ oldest, newest int64 }

// span returns what the log holds. When that is nothing, it is what follows all
// that was pruned, and ends before it begins.
func span(ctx context.Context, tx *sql.Tx) (s seqs, err error) {
	// Two subqueries, since SQLite goes to an end of a table for one min or one
	// max, and through all of it for both at once.
	err = tx.QueryRowContext(ctx, `SELECT
		coalesce((SELECT min(seq) FROM messages), pruned + 1),
		coalesce((SELECT max(seq) FROM messages), pruned)
		FROM (SELECT coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?), 0) AS pruned)`,
		metaPruned).Scan(&s.oldest, &s.newest)
	return s, err
}

// after reads the page that follows q.After.
func (r *Reader) after(ctx context.Context, q app.Query) (app.Page, error) {
	page := app.Page{Log: r.name, Next: q.After}
	err := r.view(ctx, func(tx *sql.Tx) error {
		s, err := span(ctx, tx)
		page.Oldest = s.oldest
		if err != nil || q.After >= s.newest {
			return err
		}
		s.oldest = max(s.oldest, q.After+1)
		if s.newest-s.oldest >= maxExamined {
			s.newest = s.oldest + maxExamined - 1
		}
		found := finding{q: q}
		if err := found.read(ctx, tx, forward, s); err != nil {
			return err
		}
		page.Entries, page.Next = found.entries, s.newest
		if found.full() {
			page.Next = found.entries[len(found.entries)-1].Seq
		}
		return nil
	})
	return page, err
}

// last reads the newest page, in ascending order all the same, going back step
// by step.
func (r *Reader) last(ctx context.Context, q app.Query) (app.Page, error) {
	page := app.Page{Log: r.name}
	found := finding{q: q}
	var rest seqs // what is left to look at
	step := func(tx *sql.Tx) (err error) {
		if page.Next == 0 { // the first: the page is of this moment
			if rest, err = span(ctx, tx); err != nil {
				return err
			}
			page.Oldest, page.Next = rest.oldest, rest.newest
		}
		s := rest
		s.oldest = max(s.oldest, s.newest-maxExamined+1)
		rest.newest = s.oldest - 1
		return found.read(ctx, tx, backward, s)
	}
	for {
		if err := r.view(ctx, step); err != nil {
			return app.Page{}, err
		}
		if found.full() || rest.newest < rest.oldest {
			break
		}
	}
	slices.Reverse(found.entries)
	page.Entries = found.entries
	return page, nil
}

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
		if e.Seq < s.oldest || e.Seq > s.newest { // whoever goes on after it would go round in circles
			return &damagedMessage{e.Seq, "it is out of order"}
		}
		if err != nil {
			return err
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
