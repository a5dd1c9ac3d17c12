package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"github.com/windsock-scgi/windsock/app"
)

// This file reads what is left of a log, whatever of it is damaged. Unlike Read it
// does not ask where the log begins and ends, which a damaged log may not know.

// salvagePage is how many messages are read in one transaction.
const salvagePage = 1000

// salvager is told what salvage finds, in the order of seq.
type salvager interface {
	// before is called before the messages after a seq are read.
	before(after int64) error
	// page is given the next messages, in order; there may be none.
	page(found []app.Entry) error
	// fault says what could not be read.
	fault(format string, args ...any)
}

// salvage reads all messages after a seq that can be read. It returns the seq after
// which there are no more, as far as that can be read.
func (r *Reader) salvage(ctx context.Context, after int64, to salvager) (int64, error) {
	for {
		if err := to.before(after); err != nil {
			return after, err
		}
		if after == math.MaxInt64 { // only damage makes a seq of it
			return after, nil
		}
		found, err := r.raw(ctx, after, salvagePage)
		if err := to.page(found); err != nil {
			return after, err
		}
		if len(found) > 0 {
			after = found[len(found)-1].Seq
		}
		var damaged *damagedMessage
		switch {
		case errors.As(err, &damaged):
			to.fault("message %d: %s", damaged.seq, damaged.reason)
			if len(found) == 0 {
				after++ // or it would go round in circles
			}
			after = max(after, damaged.seq)
		case isDamage(err):
			good, searchErr := r.readableAfter(ctx, max(after, 0))
			switch {
			case searchErr != nil:
				return after, searchErr
			case good == math.MaxInt64:
				to.fault("messages from %d on cannot be read: %v", max(after, 0)+1, err)
				return after, nil
			}
			to.fault("messages from %d to %d cannot be read, if there are any: %v", max(after, 0)+1, good, err)
			after = good
		case err != nil || len(found) == 0:
			return after, err
		}
	}
}

// raw returns the next messages after a seq, limit at most and in order. With an
// error, which is as SQLite gives it, come those before the damage.
func (r *Reader) raw(ctx context.Context, after int64, limit int) ([]app.Entry, error) {
	found := finding{q: app.Query{Limit: limit}}
	err := r.view(ctx, func(tx *sql.Tx) error {
		return found.read(ctx, tx, forward, seqs{after + 1, math.MaxInt64})
	})
	return found.entries, err
}

// readableAfter returns the lowest seq, higher than one, after which something can be
// read, the highest there is when there is none. It tries further and further away,
// then goes back half by half: what cannot be read is whole pages.
func (r *Reader) readableAfter(ctx context.Context, bad int64) (good int64, err error) {
	first := bad
	for step := int64(1); ; step *= 2 {
		if step >= math.MaxInt64/2-first {
			return math.MaxInt64, nil
		}
		good = first + step
		ok, err := r.readable(ctx, good)
		if err != nil {
			return good, err
		}
		if ok {
			break
		}
	}
	for err == nil && good-bad > 1 {
		var ok bool
		middle := bad + (good-bad)/2
		if ok, err = r.readable(ctx, middle); ok {
			good = middle
		} else {
			bad = middle
		}
	}
	return good, err
}

// readable reports whether the message after a seq is on a page that can be read. An
// error says that this is not known.
func (r *Reader) readable(ctx context.Context, after int64) (bool, error) {
	_, err := r.raw(ctx, after, 1)
	var damaged *damagedMessage
	switch {
	case isDamage(err):
		return false, nil
	case errors.As(err, &damaged):
		return true, nil
	}
	return err == nil, err
}
