package sqlite

import (
	"context"
	"database/sql"
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
