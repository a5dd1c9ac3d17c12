package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
)

// This file gives all that the log holds of each message, keys included.

// Exporter is told what Export finds.
type Exporter interface {
	// Record is given each message that can be read, in the order of seq. What
	// cannot have been stored as it stands has Damage.
	Record(r *app.Record) error
	// Fault says what is damaged or cannot be read.
	Fault(text string)
	// Pruned says that messages from one seq to another are not kept any longer,
	// though the export was to begin before or among them.
	Pruned(from, to int64)
}

// Export reads all messages after a seq, in short transactions, and returns the seq
// after which to go on. It passes over what is damaged and says so; an error is to's
// or one for which reading ended. It matches app.ErrOtherLog when this log never gave
// out the seq, as far as damage does not hide that.
func (r *Reader) Export(ctx context.Context, after int64, to Exporter) (next int64, err error) {
	e := exporter{ctx: ctx, r: r, to: to}
	from := after
	if after == 0 {
		from = math.MinInt64 // only damage makes a seq that is not positive
	}
	if x, spanErr := r.extent(ctx); spanErr == nil && after > x.highest {
		err = fmt.Errorf("%w: its highest seq is %d", app.ErrOtherLog, x.highest)
	} else {
		next, err = r.salvage(ctx, from, &e)
	}
	next = max(next, after, e.pruned)
	if err != nil {
		err = readError(fmt.Sprintf("exporting after %d", next), err)
	}
	return next, err
}

// exporter is the salvager of Export.
type exporter struct {
	ctx context.Context
	r   *Reader
	to  Exporter

	pruned int64 // the last seq that to was told of as pruned
}

var _ salvager = (*exporter)(nil)

func (e *exporter) fault(format string, args ...any) { e.to.Fault(fmt.Sprintf(format, args...)) }

// before looks whether messages were pruned before they were read.
func (e *exporter) before(after int64) error {
	if after <= 0 {
		return nil
	}
	after = max(after, e.pruned)
	// A damaged log may not know where it begins.
	if x, err := e.r.extent(e.ctx); err == nil && x.oldest-1 > after {
		e.pruned = x.oldest - 1
		e.to.Pruned(after+1, e.pruned)
	}
	return nil
}

func (e *exporter) page(found []app.Entry) error {
	if len(found) == 0 {
		return nil
	}
	keys, err := e.keys(seqs{found[0].Seq, found[len(found)-1].Seq})
	if err != nil {
		return err
	}
	for i := range found {
		record := app.Record{Entry: found[i], Keys: keys[found[i].Seq], Damage: habitat.Verify(&found[i].Message)}
		if record.Seq < 1 {
			record.Damage = errors.New("its seq is not positive")
		}
		if record.Damage != nil {
			e.fault("message %d: %v", record.Seq, record.Damage)
		}
		if err := e.to.Record(&record); err != nil {
			return err
		}
	}
	return nil
}

// keysSQL gives the keys of a range of messages.
const keysSQL = `SELECT seq, key FROM keys WHERE seq BETWEEN ? AND ? ORDER BY seq, key`

// keys returns the keys of a range of messages by their seq, as far as they can be
// read.
func (e *exporter) keys(s seqs) (map[int64][]string, error) {
	keys := map[int64][]string{}
	err := e.r.view(e.ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(e.ctx, keysSQL, s.oldest, s.newest)
		if err != nil {
			return err
		}
		defer rows.Close() // what it would say, Err has said
		for rows.Next() {
			var seq int64
			var key string
			if err := rows.Scan(&seq, &key); err != nil {
				return err
			}
			keys[seq] = append(keys[seq], key)
		}
		return rows.Err()
	})
	if isDamage(err) || isMisfit(err) {
		e.fault("the Idempotency-Keys of messages %d to %d cannot all be read: %v", s.oldest, s.newest, err)
		err = nil
	}
	return keys, err
}
