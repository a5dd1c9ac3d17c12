package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/windsock-scgi/windsock/app"
)

// maxExamined is how many sequence numbers one Read looks at. There is no index
// over types and callsigns, which every insertion would pay for; a filter that
// lets little through gets a short page, and reads on after its Next.
const maxExamined = 10_000

// maxReaders is how many connections read at the same time.
const maxReaders = 4

// Reader reads a store. It is safe for concurrent use.
type Reader struct {
	db   *sql.DB
	name string
}

// openReader opens the store, which exists, for reading.
func openReader(path string) (*Reader, error) {
	db, err := sql.Open("sqlite", readerDSN(path))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxReaders)
	db.SetMaxIdleConns(maxReaders)
	r := &Reader{db: db}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (r *Reader) open() error {
	ctx := context.Background()
	if err := checkVersion(ctx, r.db); err != nil {
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

// Read returns one page, as app.Log says. It examines at most 10,000 messages
// a call: Next says how far it came.
func (r *Reader) Read(ctx context.Context, q app.Query) (app.Page, error) {
	if q.Limit < 1 {
		return app.Page{}, fmt.Errorf("sqlite: reading: a limit of %d is not positive", q.Limit)
	}
	if q.Log != "" && q.Log != r.name {
		return app.Page{}, fmt.Errorf("sqlite: reading %q: %w: it is %q", q.Log, app.ErrOtherLog, r.name)
	}
	page, err := r.page(ctx, q)
	if err != nil {
		return app.Page{}, fmt.Errorf("sqlite: reading after %d: %w", q.After, err)
	}
	return page, nil
}

// page reads in one transaction, so that all of the page is of one moment.
func (r *Reader) page(ctx context.Context, q app.Query) (app.Page, error) {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return app.Page{}, err
	}
	defer tx.Rollback() // there is nothing to commit
	s, err := span(ctx, tx)
	if err != nil {
		return app.Page{}, err
	}
	page := app.Page{Log: r.name, Oldest: s.oldest}
	if q.Last {
		page.Next = s.newest
		page.Entries, err = last(ctx, tx, q, s)
		return page, err
	}
	page.Next, page.Entries, err = after(ctx, tx, q, s)
	return page, err
}

// seqs is a range of sequence numbers, both ends included; zeros for none.
type seqs struct{ oldest, newest int64 }

// span returns what the log holds.
func span(ctx context.Context, tx *sql.Tx) (s seqs, err error) {
	// Two subqueries, since SQLite goes to an end of a table for one min or one
	// max, and through all of it for both at once.
	err = tx.QueryRowContext(ctx, `SELECT
		(SELECT coalesce(min(seq), 0) FROM messages),
		(SELECT coalesce(max(seq), 0) FROM messages)`).Scan(&s.oldest, &s.newest)
	return s, err
}

// after reads the page that follows q.After, and how far it looked.
func after(ctx context.Context, tx *sql.Tx, q app.Query, held seqs) (next int64, _ []app.Entry, err error) {
	if q.After >= held.newest {
		return q.After, nil, nil
	}
	s := held
	s.oldest = max(s.oldest, q.After+1)
	if s.newest-s.oldest >= maxExamined {
		s.newest = s.oldest + maxExamined - 1
	}
	entries, full, err := entries(ctx, tx, forward, q, s)
	if err != nil {
		return 0, nil, err
	}
	if full {
		return entries[len(entries)-1].Seq, entries, nil
	}
	return s.newest, entries, nil
}

// last reads the newest page, in ascending order all the same.
func last(ctx context.Context, tx *sql.Tx, q app.Query, held seqs) ([]app.Entry, error) {
	s := held
	s.oldest = max(s.oldest, s.newest-maxExamined+1)
	entries, _, err := entries(ctx, tx, backward, q, s)
	slices.Reverse(entries)
	return entries, err
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

// entries reads what passes q's filters of the range, in the query's order. full
// says that q allows no more, so that the range may not have been examined to
// its end.
func entries(ctx context.Context, tx *sql.Tx, query string, q app.Query, s seqs) (entries []app.Entry, full bool, err error) {
	rows, err := tx.QueryContext(ctx, query, s.oldest, s.newest, string(q.Type), q.Callsign, q.Limit)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close() // what it would say, Err has said, or nobody needs
	for size := 0; rows.Next(); {
		e, err := scan(rows)
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, e)
		size += len(e.Data)
		if len(entries) == q.Limit || q.MaxBytes > 0 && size >= q.MaxBytes {
			return entries, true, nil
		}
	}
	return entries, false, rows.Err()
}

// scan reads one row. What Append cannot have stored is damage.
func scan(rows *sql.Rows) (e app.Entry, err error) {
	var (
		id       []byte
		received int64
		address  sql.NullString
	)
	err = rows.Scan(&e.Seq, &id, &e.Callsign, &e.Type, &e.TimeCreated, &e.TimeUploaded,
		&e.ClientCreated, &e.ClientUploaded, &received, &address, &e.Data)
	if err != nil {
		return e, err
	}
	if copy(e.ID[:], id) != len(e.ID) || len(id) != len(e.ID) {
		return e, fmt.Errorf("%w: message %d has an id of %d bytes", errDamaged, e.Seq, len(id))
	}
	e.Received = time.UnixMicro(received).UTC()
	if address.Valid {
		if e.Address, err = netip.ParseAddr(address.String); err != nil {
			return e, fmt.Errorf("%w: message %d: %w", errDamaged, e.Seq, err)
		}
	}
	return e, nil
}
