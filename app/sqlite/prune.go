package sqlite

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/windsock-scgi/windsock/app"
)

// What one step of pruning is at most, so that it takes about as long as storing
// a batch of the committer's: see BenchmarkPrune.
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

var _ app.Pruner = (*Log)(nil)

// Prune implements app.Pruner. A full disk is no failure of the log: deleting
// needs room in the write-ahead log, but mostly finds it there.
func (l *Log) Prune(cut app.Cut) (app.Pruned, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return app.Pruned{}, fmt.Errorf("sqlite: pruning: %w", os.ErrClosed)
	}
	if l.failed != nil {
		return app.Pruned{}, l.failed
	}
	done, err := l.writer.prune(cut)
	if err != nil {
		return app.Pruned{}, l.judge(fmt.Errorf("sqlite: pruning: %w", err))
	}
	return done, nil
}

// prune takes a step as a whole or, with an error, not at all.
func (w *writer) prune(cut app.Cut) (done app.Pruned, err error) {
	if err := w.settle(); err != nil {
		return done, err
	}
	if err := w.trimWAL(); err != nil {
		return done, err
	}
	if _, err := w.begin.Exec(); err != nil {
		return done, classify("beginning a transaction", err)
	}
	switch {
	case cut.Messages != 0:
		done, err = w.deleteSome(cut)
	case cut.Addresses != 0:
		done, err = w.blankSome(cut)
	default:
		done, err = w.giveBack(cut)
	}
	if err != nil {
		return app.Pruned{}, w.undo(err)
	}
	if _, err := w.commit.Exec(); err != nil {
		return app.Pruned{}, w.undo(classifyCommit(err))
	}
	return done, nil
}

// deleteSome deletes the oldest messages of the cut. Their keys go with them, by
// a trigger.
func (w *writer) deleteSome(cut app.Cut) (done app.Pruned, err error) {
	s, err := w.some(0, cut.Messages, cut.Now.UnixMicro())
	if err != nil {
		return done, classify("looking for what to delete", err)
	}
	if done.Messages, err = w.change("DELETE FROM messages WHERE seq <= ?", s.last); err != nil {
		return done, classify("deleting messages", err)
	}
	if err := w.note(metaPruned, s.last); err != nil {
		return done, err
	}
	if s.received > 0 {
		if err := w.note(metaReceived, s.received); err != nil {
			return done, err
		}
	}
	done.Through, done.Done = s.last, s.last >= cut.Messages
	return done, nil
}

// blankSome blanks the oldest addresses of the cut.
func (w *writer) blankSome(cut app.Cut) (done app.Pruned, err error) {
	m, err := readMarks(context.Background(), w.conn)
	if err != nil {
		return done, err
	}
	s, err := w.some(max(m.pruned, m.blanked), cut.Addresses, 0)
	if err != nil {
		return done, classify("looking for what to blank", err)
	}
	done.Addresses, err = w.change(
		"UPDATE messages SET address = NULL WHERE seq > ? AND seq <= ? AND address IS NOT NULL", m.blanked, s.last)
	if err != nil {
		return done, classify("blanking addresses", err)
	}
	done.Through, done.Done = s.last, s.last >= cut.Addresses
	return done, w.note(metaBlanked, s.last)
}

// giveBack cuts pages that hold nothing off the file, for which others move from
// its end to their place.
func (w *writer) giveBack(cut app.Cut) (done app.Pruned, err error) {
	before, err := readUsage(context.Background(), w.conn)
	if err != nil {
		return done, err
	}
	pages := min(prunePages, max(1, cut.Space/before.pageSize))
	if _, err := w.change(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", pages)); err != nil {
		return done, classify("giving space back", err)
	}
	after, err := readUsage(context.Background(), w.conn)
	done.Bytes = (before.pages - after.pages) * before.pageSize
	done.Done = true // what is still too much is looked up, which costs nothing
	return done, err
}

// someMessages are what one step takes.
type someMessages struct {
	last     int64
	received int64 // the latest time of them that is not later than now
}

// some returns how far a step goes from after on: to the end of a cut, or as many
// messages as a step may take.
func (w *writer) some(after, through, now int64) (s someMessages, err error) {
	s.last = through
	rows, err := w.conn.QueryContext(context.Background(), `SELECT seq, received, octet_length(data)
		FROM messages WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, after, through, pruneRows)
	if err != nil {
		return s, err
	}
	defer rows.Close() // what it would say, Err has said
	n, bytes := 0, int64(0)
	for rows.Next() {
		var seq, received, size int64
		if err := rows.Scan(&seq, &received, &size); err != nil {
			return s, err
		}
		if received <= now {
			s.received = max(s.received, received)
		}
		n++
		if bytes += size; n == pruneRows || bytes >= pruneBytes {
			s.last = seq
			break
		}
	}
	return s, rows.Err()
}

// change runs a statement that is too rare to be kept prepared, and returns how
// many rows it changed.
func (w *writer) change(text string, args ...any) (int, error) {
	result, err := w.conn.ExecContext(context.Background(), text, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// note writes a number to meta.
func (w *writer) note(key string, n int64) error {
	_, err := w.change("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
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
	err = q.QueryRowContext(ctx, "SELECT "+value+", "+value+", "+value,
		metaPruned, metaReceived, metaBlanked).Scan(&m.pruned, &m.received, &m.blanked)
	if err != nil {
		return m, fmt.Errorf("reading what was pruned: %w", err)
	}
	return m, nil
}

// usage is how full the file is.
type usage struct{ pages, free, pageSize int64 }

func readUsage(ctx context.Context, q queryer) (u usage, err error) {
	err = q.QueryRowContext(ctx, `SELECT page_count, freelist_count, page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&u.pages, &u.free, &u.pageSize)
	if err != nil {
		return u, fmt.Errorf("reading how full the file is: %w", err)
	}
	return u, nil
}
