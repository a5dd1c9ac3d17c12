package sqlite

import (
	"context"
	"time"

	"github.com/windsock-scgi/windsock/app"
)

const (
	// clockSlack is how far the times at which messages were received may be out
	// of order and still be right.
	clockSlack = time.Hour
	// sizeReserve is the part of a bound in bytes that is kept free, for what
	// comes in until it is looked at again: one over this. A cut makes twice as
	// much free, so that the next message is not in excess again.
	sizeReserve = 64
	// freeShare is the part of the file that may be free, to be used again, before
	// it is given back: one over this.
	freeShare = 4
	// rowOverhead is about what a message takes in the file besides its data.
	rowOverhead = 200
)

// Excess implements app.Pruner. It reads beside the writer and holds nobody up.
//
// Keep.Bytes bounds FILE, a 64th less, which is for what comes in meanwhile.
// Beside it is FILE-wal: at most 160 MB, while no reader holds checkpoints up.
// Without a bound the file shrinks as long as more than a quarter of it is free;
// either becomes visible in its length with the next checkpoint.
func (l *Log) Excess(ctx context.Context, keep app.Keep, now time.Time) (app.Cut, error) {
	r := l.reader
	for _, find := range []func(context.Context, app.Keep, time.Time) (app.Cut, error){
		r.oldMessages, r.tooManyBytes, r.oldAddresses, r.unusedSpace,
	} {
		cut, err := find(ctx, keep, now)
		if err != nil {
			return app.Cut{}, readError("looking for what to prune", ended(ctx, err))
		}
		if cut != (app.Cut{}) {
			cut.Now = now
			return cut, nil
		}
	}
	return app.Cut{}, nil
}

func (r *Reader) oldMessages(ctx context.Context, keep app.Keep, now time.Time) (cut app.Cut, err error) {
	if keep.Age == 0 {
		return cut, nil
	}
	m, err := readMarks(ctx, database{r.db})
	if err != nil {
		return cut, err
	}
	cut.Messages, err = r.outlived(ctx, m.pruned, m.received, keep.Age, now)
	return cut, err
}

func (r *Reader) oldAddresses(ctx context.Context, keep app.Keep, now time.Time) (cut app.Cut, err error) {
	if keep.Addresses == 0 {
		return cut, nil
	}
	m, err := readMarks(ctx, database{r.db})
	if err != nil {
		return cut, err
	}
	cut.Addresses, err = r.outlived(ctx, m.blanked, 0, keep.Addresses, now)
	return cut, err
}

// outlived returns up to where messages after a seq were received longer ago than
// age, 0 when none was.
//
// seq is the order in which they came; where their times say otherwise, the clock
// was wrong. A message that seems to come from the future, or to be older than
// those before it, of which the latest came at floor, goes with the next one
// whose time can be right. So a wrong time throws nothing away early, and keeps
// nothing for ever.
func (r *Reader) outlived(ctx context.Context, after, floor int64, age time.Duration, now time.Time) (through int64, err error) {
	before, latest := now.Add(-age).UnixMicro(), now.UnixMicro()
	slack := clockSlack.Microseconds()
	if floor > latest {
		floor = 0 // it was noted by a clock that was ahead
	}
	err = r.walk(ctx, after, func(seq, received, _ int64) (more bool) {
		switch {
		case received > latest+slack, received < floor-slack:
			return true
		case received >= before:
			return false
		}
		through, floor = seq, max(floor, received)
		return true
	})
	return through, err
}

// tooManyBytes finds the oldest messages that take about what is over the bound,
// a step of them at most: how much that makes free is seen only then.
func (r *Reader) tooManyBytes(ctx context.Context, keep app.Keep, _ time.Time) (cut app.Cut, err error) {
	if keep.Bytes == 0 {
		return cut, nil
	}
	u, err := readUsage(ctx, database{r.db})
	if err != nil {
		return cut, err
	}
	reserve := keep.Bytes / sizeReserve
	used := (u.pages - u.free) * u.pageSize
	over := used - (keep.Bytes - reserve)
	if over <= 0 {
		return cut, nil
	}
	n := 0
	over += reserve
	err = r.walk(ctx, 0, func(seq, _, size int64) (more bool) {
		cut.Messages, cut.Hurry = seq, used > keep.Bytes
		over -= size + rowOverhead
		n++
		return over > 0 && n < pruneRows
	})
	return cut, err
}

func (r *Reader) unusedSpace(ctx context.Context, keep app.Keep, _ time.Time) (cut app.Cut, err error) {
	u, err := readUsage(ctx, database{r.db})
	if err != nil || !u.shrinks {
		return cut, err
	}
	over := u.free - u.pages/freeShare
	if keep.Bytes != 0 {
		over = max(over, u.pages-keep.Bytes/u.pageSize)
	}
	cut.Space = max(0, min(over, u.free)) * u.pageSize
	return cut, nil
}

// walk shows the messages after a seq, until see wants no more. It reads a number
// of them at a time: a long transaction would hold up the checkpoints.
func (r *Reader) walk(ctx context.Context, after int64, see func(seq, received, size int64) (more bool)) error {
	for more := true; more; {
		n := 0
		rows, err := r.db.QueryContext(ctx, `SELECT seq, received, octet_length(data)
			FROM messages WHERE seq > ? ORDER BY seq LIMIT ?`, after, maxExamined)
		if err != nil {
			return err
		}
		for more && rows.Next() {
			var received, size int64
			if err := rows.Scan(&after, &received, &size); err != nil {
				rows.Close()
				return err
			}
			more = see(after, received, size)
			n++
		}
		rows.Close() // what it would say, Err says
		if err := rows.Err(); err != nil {
			return err
		}
		more = more && n == maxExamined
	}
	return nil
}
