package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/windsock-scgi/windsock/app"
)

// This file reads what is left of a damaged log.

// Salvage returns messages after a seq, so many at most and in order: the next
// ones, as far as they can be read. With an error come those before the damage.
// Unlike Read it does not ask where the log begins and ends, which a damaged log
// may not know.
func (r *Reader) Salvage(ctx context.Context, after int64, limit int) ([]app.Entry, error) {
	found, err := r.raw(ctx, after, limit)
	if len(found) > 0 {
		after = found[len(found)-1].Seq
	}
	if err != nil {
		return found, readError(fmt.Sprintf("reading after %d", after), err)
	}
	return found, nil
}

// raw is Salvage with an error as it comes.
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
