package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/retention"
)

// What one step of pruning is at most, so that it takes about as long as storing
// a batch of the committer's: see BenchmarkPruneStep. In a hurry it is more when the
// batches are larger, see growth.
const (
	pruneRows  = 200
	pruneBytes = 256 << 10 // of data; one message may be larger by itself
	prunePages = 64        // given back to the file system
)

// What is written of pruning stands in the table meta, in the same transaction.
const (
	metaPruned   = "pruned"          // the highest seq that was ever pruned
	metaReceived = "pruned_received" // the latest time, in UNIX microseconds, at which one of those was received
	metaBlanked  = "blanked"         // up to this seq addresses are blanked
)

var _ retention.Pruner = (*Store)(nil)

// Prune implements retention.Pruner. Deleting takes room in the write-ahead log first:
// on a full disk there may be none, and it has to be tried again.
func (l *Store) Prune(cut retention.Cut) (retention.Pruned, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return retention.Pruned{}, fmt.Errorf("sqlite: pruning: %w", os.ErrClosed)
	}
	if l.failed != nil {
		return retention.Pruned{}, l.failed
	}
	done, err := l.writer.prune(cut)
	if err != nil {
		return retention.Pruned{}, l.judge(fmt.Errorf("sqlite: pruning: %w", err))
	}
	return done, nil
}

// prune takes a step.
func (w *writer) prune(cut retention.Cut) (done retention.Pruned, err error) {
	step := w.giveBack
	switch {
	case cut.Messages != 0:
		step = w.deleteSome
	case cut.Addresses != 0:
		step = w.blankSome
	}
	err = w.transact(func() (err error) {
		done, err = step(cut)
		return err
	})
	if err == nil && done.Messages > 0 {
		w.index.prune(done.Through)
		w.grown = growth{}
	}
	return done, err
}

// deleteSome deletes the oldest messages of the cut. Their keys and ids go with them, by
// a trigger.
func (w *writer) deleteSome(cut retention.Cut) (done retention.Pruned, err error) {
	now := cut.Now.UnixMicro()
	bounds := stepBounds{most: cmp.Or(cut.Bytes, math.MaxInt64)}
	if cut.Hurry {
		bounds.least = w.grown.pace()
	}
	s, err := w.some(0, cut.Messages, now, bounds)
	if err != nil {
		return done, classify("looking for what to delete", err)
	}
	if s.last == 0 {
		return retention.Pruned{Done: true}, nil
	}
	m, err := readMarks(context.Background(), w.conn)
	if err != nil {
		return done, err
	}
	if done.Messages, err = w.change("DELETE FROM messages WHERE seq <= ?", s.last); err != nil {
		return done, classify("deleting messages", err)
	}
	if err := w.note(metaPruned, s.last); err != nil {
		return done, err
	}
	if m.received > now { // noted by a clock that was ahead
		m.received = 0
	}
	done.Through, done.Done = s.last, s.done || cut.Bytes != 0
	return done, w.note(metaReceived, max(s.received, m.received))
}

// blankSome blanks the oldest addresses of the cut.
func (w *writer) blankSome(cut retention.Cut) (done retention.Pruned, err error) {
	m, err := readMarks(context.Background(), w.conn)
	if err != nil {
		return done, err
	}
	s, err := w.some(m.blanked, cut.Addresses, 0, stepBounds{most: math.MaxInt64})
	if err != nil {
		return done, classify("looking for what to blank", err)
	}
	if s.last == 0 {
		return retention.Pruned{Done: true}, nil
	}
	done.Addresses, err = w.change(
		"UPDATE messages SET address = NULL WHERE seq > ? AND seq <= ? AND address IS NOT NULL", m.blanked, s.last)
	if err != nil {
		return done, classify("blanking addresses", err)
	}
	done.Through, done.Done = s.last, s.done
	return done, w.note(metaBlanked, s.last)
}

// giveBack cuts pages that hold nothing off the file, for which others move from
// its end to their place.
func (w *writer) giveBack(cut retention.Cut) (done retention.Pruned, err error) {
	before, err := readUsage(context.Background(), w.conn)
	if err != nil {
		return done, err
	}
	pages := min(prunePages, max(1, cut.Space/before.pageSize))
	if err := w.conn.script(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", pages)); err != nil {
		return done, classify("giving space back", err)
	}
	after, err := readUsage(context.Background(), w.conn)
	done.Bytes = (before.pages - after.pages) * before.pageSize
	done.Done = true // what is still too much is looked up, which costs nothing
	return done, err
}

// someMessages are what one step takes.
type someMessages struct {
	last     int64 // the highest seq of them, 0 for none
	received int64 // the latest time of them that is not later than now
	done     bool  // there are no more
}

// stepBounds are about how many bytes a step takes: at least least, if there are that
// many, and at most most.
type stepBounds struct{ least, most int64 }

// some returns the messages after one seq and up to another that a step takes.
func (w *writer) some(after, through, now int64, bounds stepBounds) (s someMessages, err error) {
	const query = `SELECT seq, received, octet_length(data)
		FROM messages WHERE seq > ? AND seq <= ? ORDER BY seq`
	n, data, enough := int64(0), int64(0), false
	err = w.conn.each(query, []any{after, through}, func(row *statement) bool {
		s.last = row.int64(0)
		if received := row.int64(1); received <= now {
			s.received = max(s.received, received)
		}
		n++
		data += row.int64(2)
		bytes := data + n*rowOverhead
		enough = bytes >= bounds.most || (n >= pruneRows || data >= pruneBytes) && bytes >= bounds.least
		return !enough
	})
	s.done = !enough || s.last == through
	return s, err
}

// growth is what was stored since the last step that deleted messages.
type growth struct {
	batches int64
	bytes   int64 // about, of the file
}

func (g *growth) add(batch []app.Message) {
	g.batches++
	for i := range batch {
		g.bytes += int64(len(batch[i].Data)) + rowOverhead
	}
}

// pace returns how many bytes a step must delete so that the file does not grow: a
// quarter more than was stored, but no more than many batches are, since a post waits
// for the step. Steps and batches take turns, so there is mostly one.
func (g *growth) pace() int64 {
	const many = 8
	bytes := g.bytes
	if g.batches > many {
		bytes = bytes / g.batches * many
	}
	return bytes + bytes/4
}

// change runs a statement and returns how many rows it changed.
func (w *writer) change(text string, args ...any) (int, error) {
	err := w.conn.run(text, args...)
	return w.conn.changed(), err
}

// note writes a number to meta.
func (w *writer) note(key string, n int64) error {
	err := w.conn.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
		key, strconv.FormatInt(n, 10))
	if err != nil {
		return classify("noting what was pruned", err)
	}
	return nil
}

// marks are what meta says of pruning, zeros when there was none.
type marks struct{ pruned, received, blanked int64 }

func readMarks(ctx context.Context, q queryer) (m marks, err error) {
	const value = "coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?), 0)"
	err = q.queryRow(ctx, "SELECT "+value+", "+value+", "+value,
		[]any{metaPruned, metaReceived, metaBlanked}, &m.pruned, &m.received, &m.blanked)
	if err != nil {
		return m, classify("reading what was pruned", err)
	}
	return m, nil
}

// usage is how full the file is.
type usage struct {
	pages, free, pageSize int64
	shrinks               bool // it was made so that it can give space back
}

func readUsage(ctx context.Context, q queryer) (u usage, err error) {
	err = q.queryRow(ctx, `SELECT page_count, freelist_count, page_size, auto_vacuum = 2
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size, pragma_auto_vacuum`,
		nil, &u.pages, &u.free, &u.pageSize, &u.shrinks)
	if err != nil {
		return u, classify("reading how full the file is", err)
	}
	return u, nil
}
