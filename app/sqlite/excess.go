package sqlite

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/windsock-scgi/windsock/app/retention"
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

// finder finds what is to be pruned, with a connection of its own: those that
// clients read with may all be busy.
type finder struct {
	*Reader

	mu                  sync.Mutex // guards what follows; held during each look
	messages, addresses skipped
}

// skipped is a run of messages that were received by a wrong clock, and are not to be
// looked at again.
type skipped struct {
	through int64 // up to this seq
	floor   int64 // they were compared with this time, in UNIX microseconds
	soonest int64 // when the first of them that is from the future can be right
}

// Excess implements retention.Pruner. It reads beside the writer and holds nobody up.
//
// Keep.Bytes bounds FILE, a 64th less, which is for what comes in meanwhile.
// Without a bound the file shrinks as long as more than a quarter of it is free;
// either becomes visible in its length with the next checkpoint.
func (l *Store) Excess(ctx context.Context, keep retention.Keep, now time.Time) (retention.Cut, error) {
	f := &l.excess
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, find := range []func(context.Context, retention.Keep, time.Time) (retention.Cut, error){
		f.tooManyBytes, f.oldMessages, f.oldAddresses, f.unusedSpace,
	} {
		cut, err := find(ctx, keep, now)
		if err != nil {
			return retention.Cut{}, readError("looking for what to prune", ended(ctx, err))
		}
		if cut != (retention.Cut{}) {
			cut.Now = now
			return cut, nil
		}
	}
	return retention.Cut{}, nil
}

func (f *finder) oldMessages(ctx context.Context, keep retention.Keep, now time.Time) (cut retention.Cut, err error) {
	if keep.Age == 0 {
		return cut, nil
	}
	m, err := readMarks(ctx, database{f.db})
	if err != nil {
		return cut, err
	}
	cut.Messages, err = f.outlived(ctx, &f.messages, m.pruned, m.received, keep.Age, now)
	return cut, err
}

func (f *finder) oldAddresses(ctx context.Context, keep retention.Keep, now time.Time) (cut retention.Cut, err error) {
	if keep.Addresses == 0 {
		return cut, nil
	}
	m, err := readMarks(ctx, database{f.db})
	if err != nil {
		return cut, err
	}
	cut.Addresses, err = f.outlived(ctx, &f.addresses, m.blanked, 0, keep.Addresses, now)
	return cut, err
}

// outlived returns up to where messages after a seq were received longer ago than
// age, 0 when none was. It looks at 10,000 such messages at most: more are found when
// these are gone.
//
// seq is the order in which they came; where their times say otherwise, the clock
// was wrong. A message that seems to come from the future, or to be older than
// those before it, of which the latest came at floor, goes with the next one
// whose time can be right. So a wrong time throws nothing away early, and keeps
// nothing for ever. Such messages are skipped the next time, until one of them can
// be right.
func (f *finder) outlived(ctx context.Context, skip *skipped, after, floor int64, age time.Duration, now time.Time) (through int64, err error) {
	before, latest := now.Add(-age).UnixMicro(), now.UnixMicro()
	slack := clockSlack.Microseconds()
	if floor > latest {
		floor = 0 // it was noted by a clock that was ahead
	}
	if skip.floor != floor || latest+slack >= skip.soonest {
		*skip = skipped{floor: floor, soonest: math.MaxInt64}
	}
	old := 0
	err = f.walk(ctx, max(after, skip.through), func(seq, received int64) (more bool) {
		switch {
		case received > latest+slack, received < floor-slack:
			if old == 0 {
				skip.through = seq
				if received > latest+slack {
					skip.soonest = min(skip.soonest, received)
				}
			}
			return true
		case received >= before:
			return false
		}
		through, floor = seq, max(floor, received)
		old++
		return old < maxExamined
	})
	return through, err
}

// tooManyBytes finds how much is over the bound. That is deleted from the old end, and
// looked up again after each step: how much a step makes free is seen only then.
func (f *finder) tooManyBytes(ctx context.Context, keep retention.Keep, _ time.Time) (cut retention.Cut, err error) {
	if keep.Bytes == 0 {
		return cut, nil
	}
	u, err := readUsage(ctx, database{f.db})
	if err != nil {
		return cut, err
	}
	reserve := keep.Bytes / sizeReserve
	used := (u.pages - u.free) * u.pageSize
	over := used - (keep.Bytes - reserve)
	if over <= 0 {
		return cut, nil
	}
	err = f.db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM messages").Scan(&cut.Messages)
	if err != nil || cut.Messages == 0 { // there is nothing that could go
		return retention.Cut{}, err
	}
	cut.Bytes, cut.Hurry = over+reserve, used > keep.Bytes
	return cut, nil
}

func (f *finder) unusedSpace(ctx context.Context, keep retention.Keep, _ time.Time) (cut retention.Cut, err error) {
	u, err := readUsage(ctx, database{f.db})
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
func (r *Reader) walk(ctx context.Context, after int64, see func(seq, received int64) (more bool)) error {
	for more := true; more; {
		n := 0
		rows, err := r.db.QueryContext(ctx, `SELECT seq, received
			FROM messages WHERE seq > ? ORDER BY seq LIMIT ?`, after, maxExamined)
		if err != nil {
			return err
		}
		for more && rows.Next() {
			var received int64
			if err := rows.Scan(&after, &received); err != nil {
				rows.Close()
				return err
			}
			more = see(after, received)
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
