package sqlite

import (
	"context"
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
// again when the store is opened, as much as a batch and recentIDs at most.

// recentIDs is how many IDs are kept in memory before they are written. More
// would make less work of it, but the commit that does it longer: a millisecond
// for so many.
const recentIDs = 1_000

const (
	findSQL   = `SELECT seq FROM ids WHERE client_created = ? AND id = ?`
	lookAtSQL = `SELECT seq FROM messages WHERE seq = ?`
	latestSQL = `SELECT max(client_created) FROM ids`

	notInIDs       = ` FROM messages WHERE seq > (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'indexed')`
	indexSQL       = `INSERT INTO ids SELECT client_created, id, seq` + notInIDs + ` ORDER BY client_created, id`
	noteIndexedSQL = `UPDATE meta SET value = ? WHERE key = 'indexed'`
	recentSQL      = `SELECT seq, id` + notInIDs
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

// indexRecent writes the recent IDs to ids when they are many. Once that is
// committed they can go from memory.
func (w *writer) indexRecent() (done bool, err error) {
	if len(w.recent) < recentIDs {
		return false, nil
	}
	if err := w.index.run(); err != nil {
		return false, classify("indexing messages", err)
	}
	if err := w.noteIndexed.run(w.next - 1); err != nil {
		return false, classify("indexing messages", err)
	}
	if err := w.recallLatest(); err != nil {
		return false, classify("indexing messages", err)
	}
	return true, nil
}

// recallLatest reads from when on ids has nothing. Later than that, as most
// messages are, nobody needs to look there.
func (w *writer) recallLatest() error {
	row, _, err := w.findLatest.first()
	w.latest = row[0]
	return err
}

// recallIDs reads the recent IDs. One that is not whole is nobody's.
func (w *writer) recallIDs(ctx context.Context) error {
	if err := w.recallLatest(); err != nil {
		return fmt.Errorf("looking at the ids: %w", err)
	}
	w.recent = make(map[app.ID]int64, 2*recentIDs)
	rows, err := w.conn.QueryContext(ctx, recentSQL)
	if err != nil {
		return fmt.Errorf("reading the newest ids: %w", err)
	}
	defer rows.Close() // what it would say, Err has said
	for rows.Next() {
		var seq int64
		var id []byte
		if err := rows.Scan(&seq, &id); err != nil {
			return fmt.Errorf("reading the newest ids: %w", err)
		}
		if len(id) == len(app.ID{}) {
			w.recent[app.ID(id)] = seq
		}
	}
	return rows.Err()
}
