package sqlite

import (
	"fmt"

	"github.com/windsock-scgi/windsock/app"
)

// How a message is found by its ID, so that a retry is stored once.
//
// The table ids has them all but the newest, which are kept in memory, and is
// given those many at a time, in its order. IDs are random: written with each
// message they would be a page of the table a message, nearly, in every commit,
// and after an outage, when messages of all times come in at once, really so.
// Written behind they are some pages now and then.
//
// Nothing depends on memory: a message has its ID in its row, in the same
// commit, and meta says up to which seq ids has them. What is above is read
// again when the store is opened: a batch and indexIDs at most.

const (
	// indexIDs is how many IDs are written together. More would be less work,
	// but longer for the commit that does it: half a millisecond for so many.
	indexIDs = 500
	// recentIDs is how many are kept in memory before those that are written are
	// forgotten. A message that is later than what was forgotten, as most are,
	// is looked for in memory alone.
	recentIDs = 20 * indexIDs
)

const (
	findSQL   = `SELECT seq FROM ids WHERE client_created = ? AND id = ?`
	lookAtSQL = `SELECT seq FROM messages WHERE seq = ?`
	latestSQL = `SELECT max(client_created) FROM ids`

	indexSQL = `INSERT INTO ids SELECT client_created, id, seq FROM messages WHERE seq > ?
		ORDER BY client_created, id`
	noteIndexedSQL = `UPDATE meta SET value = ? WHERE key = 'indexed'`
	indexedSQL     = `SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'indexed'`
	recentSQL      = `SELECT seq, id FROM messages WHERE seq > ?`
)

// seqOf returns the seq of the message that has m's ID, if there is one. One in
// memory may have been pruned.
func (w *writer) seqOf(m *app.Message) (seq int64, found bool, err error) {
	var row [2]int64
	if seq, found = w.recent[m.ID]; found {
		row, found, err = w.lookAt.first(seq)
	} else if m.ClientCreated <= w.latest {
		row, found, err = w.find.first(m.ClientCreated, m.ID[:])
	}
	return row[0], found, err
}

// indexRecent writes the IDs that are not in ids when they are many.
func (w *writer) indexRecent() error {
	if w.next-1-w.indexed < indexIDs {
		return nil
	}
	err := conflict(w.index.run(w.indexed))
	if err == nil {
		err = w.noteIndexed.run(w.next - 1)
	}
	if err == nil && len(w.recent) >= recentIDs {
		err = w.recallLatest()
	}
	if err != nil {
		return classify("indexing messages", err)
	}
	return nil
}

// indexedRecent takes note of what indexRecent did, once that is committed.
func (w *writer) indexedRecent() {
	if w.next-1-w.indexed < indexIDs {
		return
	}
	w.indexed = w.next - 1
	if len(w.recent) >= recentIDs {
		clear(w.recent)
	}
}

// recallLatest reads what the highest client_created in ids is.
func (w *writer) recallLatest() error {
	row, _, err := w.findLatest.first()
	w.latest = row[0]
	return err
}

// recallIDs reads the recent IDs. One that is not whole is nobody's.
func (w *writer) recallIDs() error {
	if err := w.row(indexedSQL, &w.indexed); err != nil {
		return fmt.Errorf("reading up to where messages are indexed: %w", err)
	}
	if err := w.recallLatest(); err != nil {
		return fmt.Errorf("looking at the ids: %w", err)
	}
	w.recent = make(map[app.ID]int64)
	err := w.conn.each(recentSQL, []any{w.indexed}, func(s *statement) bool {
		if id := s.bytes(1); len(id) == len(app.ID{}) {
			w.recent[app.ID(id)] = s.int64(0)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the newest ids: %w", err)
	}
	return nil
}
