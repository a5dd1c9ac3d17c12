package sqlite

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/windsock-scgi/windsock/app"
)

// How a message is found by its ID, so that a retry is stored once.
//
// The table ids has them all but the newest, which are kept in memory. IDs are
// random: written with each message they would be a page of the table a message,
// nearly, in every commit, and after an outage, when messages of all times come
// in at once, really so. So many are put in the table's order first, and written
// behind, some with each commit.
//
// Nothing depends on memory: a message has its ID in its row, in the same
// commit, and meta says up to which seq ids has them all. What is above is read
// again when the store is opened, and what of it ids had already is written once
// more.

const (
	// indexIDs is how many IDs are put in order together. More would be less
	// work, but longer for the commit that sorts them.
	indexIDs = 1000
	// indexRows is how many one statement writes, and the least that a commit
	// does while there are some to write. Else it is four times as many as it stores
	// messages, so that they are done before there are as many again.
	indexRows = 32
	// recentIDs is how many are kept in memory before those that are written are
	// forgotten. A message that is later than what was forgotten, as most are,
	// is looked for in memory alone.
	recentIDs = 10_000
)

const (
	// A message that is gone is none, though ids may have it still: whoever
	// deletes the newest by a shell does not know of those that are written behind.
	findSQL = `SELECT messages.seq FROM ids JOIN messages USING (seq)
		WHERE ids.client_created = ? AND ids.id = ?`
	lookAtSQL = `SELECT seq FROM messages WHERE seq = ?`
	latestSQL = `SELECT max(client_created) FROM ids`

	indexSQL       = `REPLACE INTO ids (client_created, id, seq) VALUES (?, ?, ?)`
	noteIndexedSQL = `UPDATE meta SET value = ? WHERE key = 'indexed'`
	indexedSQL     = `SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'indexed'`
	recentSQL      = `SELECT seq, client_created, id FROM messages WHERE seq > ? ORDER BY seq`
)

// indexManySQL is indexSQL for indexRows of them.
var indexManySQL = indexSQL + strings.Repeat(", (?, ?, ?)", indexRows-1)

// storedID is a row of ids.
type storedID struct {
	created int64
	id      app.ID
	seq     int64
}

// compare is the table's order. Of two with one ID, the later message is there.
func (a storedID) compare(b storedID) int {
	return cmp.Or(cmp.Compare(a.created, b.created), bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.seq, b.seq))
}

// index is what the writer knows of the IDs.
type index struct {
	recent   map[app.ID]int64 // the seqs of the newest messages: of all that ids lacks, and more
	from     int64            // no seq there is lower
	forgetAt int              // how many of them there are before those that are written are forgotten
	latest   int64            // all messages with a higher client_created are in recent
	waiting  []storedID       // ids lacks them; in the order of seq
	sortAt   int              // how many of them are put in order
	sorted   []storedID       // these are being written, in the table's order
	written  int              // so many of them are
	through  int64            // when all of them are, ids has the messages up to this seq
}

// seqOf returns the seq of the message that has m's ID, if there is one. One in
// memory may have been deleted by a shell.
func (w *writer) seqOf(m *app.Message) (seq int64, found bool, err error) {
	var row [2]int64
	if seq, found = w.index.recent[m.ID]; found {
		row, found, err = w.lookAt.first(seq)
	} else if m.ClientCreated <= w.index.latest {
		row, found, err = w.find.first(m.ClientCreated, m.ID[:])
	}
	return row[0], found, err
}

// sort puts those that wait in order when there are enough of them.
func (x *index) sort() {
	if x.written < len(x.sorted) || len(x.waiting) < x.sortAt {
		return
	}
	x.sorted, x.written, x.waiting = x.waiting, 0, x.sorted[:0]
	x.through = x.sorted[len(x.sorted)-1].seq
	slices.SortFunc(x.sorted, storedID.compare)
}

// indexSome writes some of the IDs that ids lacks, in a transaction that stores n
// messages, and returns how many.
func (w *writer) indexSome(n int) (some int, err error) {
	left := w.index.sorted[w.index.written:]
	if len(left) == 0 {
		return 0, nil
	}
	some = min(max(4*n, indexRows), len(left))
	for i := 0; i < some && err == nil; {
		stmt, rows := w.indexMany, indexRows
		if some-i < rows {
			stmt, rows = w.indexOne, 1
		}
		err = indexThese(stmt, left[i:i+rows])
		i += rows
	}
	if err == nil && some == len(left) {
		err = w.noteIndexed.run(w.index.through)
		if err == nil && len(w.index.recent) >= w.index.forgetAt { // they are about to be forgotten
			err = w.recallLatest()
		}
	}
	if err != nil {
		return 0, classify("indexing messages", err)
	}
	return some, nil
}

func indexThese(stmt *statement, these []storedID) error {
	b, err := stmt.binder(len(these) * len(app.ID{}))
	if err != nil {
		return err
	}
	for i := range these {
		b.int64(these[i].created)
		b.blob(these[i].id[:])
		b.int64(these[i].seq)
	}
	if err := b.err(); err != nil {
		return err
	}
	return stmt.execute()
}

// add takes note of a message that was stored.
func (x *index) add(id storedID) {
	x.recent[id.id] = id.seq
	x.waiting = append(x.waiting, id)
}

// forget takes back what was added from a seq on.
func (x *index) forget(from int64) {
	for len(x.waiting) > 0 && x.waiting[len(x.waiting)-1].seq >= from {
		delete(x.recent, x.waiting[len(x.waiting)-1].id)
		x.waiting = x.waiting[:len(x.waiting)-1]
	}
}

// prune leaves out what was pruned, up to a seq.
func (x *index) prune(through int64) {
	if through < x.from { // as nearly always
		return
	}
	x.from = through + 1
	maps.DeleteFunc(x.recent, func(_ app.ID, seq int64) bool { return seq <= through })
	pruned := func(id storedID) bool { return id.seq <= through }
	x.waiting = slices.DeleteFunc(x.waiting, pruned)
	x.sorted = x.sorted[:x.written+len(slices.DeleteFunc(x.sorted[x.written:], pruned))]
}

// wrote takes note of what indexSome wrote, once that is committed.
func (x *index) wrote(some int) {
	x.written += some
	if some == 0 || x.written < len(x.sorted) || len(x.recent) < x.forgetAt {
		return
	}
	clear(x.recent)
	x.from = x.through + 1
	for _, id := range x.waiting {
		x.recent[id.id] = id.seq
	}
}

// recallLatest reads what the highest client_created in ids is.
func (w *writer) recallLatest() error {
	row, _, err := w.findLatest.first()
	if err == nil {
		w.index.latest = row[0]
	}
	return err
}

// recallIDs reads the IDs that ids may lack. One that is not whole is nobody's.
func (w *writer) recallIDs() error {
	var through int64
	if err := w.row(indexedSQL, &through); err != nil {
		return fmt.Errorf("reading up to where messages are indexed: %w", err)
	}
	if err := w.recallLatest(); err != nil {
		return fmt.Errorf("looking at the ids: %w", err)
	}
	w.index.recent, w.index.from = make(map[app.ID]int64), through+1
	err := w.conn.each(recentSQL, []any{through}, func(s *statement) bool {
		if id := s.bytes(2); len(id) == len(app.ID{}) {
			w.index.add(storedID{s.int64(1), app.ID(id), s.int64(0)})
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("reading the newest ids: %w", err)
	}
	return nil
}
