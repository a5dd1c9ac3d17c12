package sqlite

import (
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// When the write-ahead log is copied back into the file, a checkpoint. Between
// two of them a commit writes and syncs the log alone, sequentially; a
// checkpoint writes each page that changed, once, however often it did, and
// syncs the file.
//
// At 20,000 pages (80 MB) one commit in some 3,000 waits for a checkpoint. That
// is less than one message in a thousand: with 64 writers the p99.9 of a commit
// was 7 ms, where 4,000 pages made it 15, and the p99 3 ms with both. The price
// is paid by the few, who wait for all of it to be on disk. It is also the time
// to read such a log after a crash, a fraction of a second.
const (
	checkpointPages = 20_000
	// A checkpoint cannot pass a reader's snapshot. What it had to leave is
	// tried again once it is so many pages, and not at every commit: each try
	// syncs the file.
	checkpointRetry = 1_000
)

const (
	// restartPatience is how long restart waits for readers. To read a page takes
	// much less, even on a busy machine. A backup or a check, in another process, may
	// take much longer: then it is tried again once the log is twice as long.
	restartPatience = time.Second
	// restartTry is how long one try waits. SQLite waits for a reader to leave one of
	// the few marks that readers share, and goes on waiting when others have moved that
	// mark on and share it by turns. A new try sees that the mark is not in the way.
	restartTry = 50 * time.Millisecond
)

// trimWAL checkpoints when the write-ahead log has become long. SQLite would do
// so by itself at a commit, but drop the error: a failed sync of the file would
// go unnoticed, and a later one would succeed without having written what the
// first one lost.
//
// A look at the log takes locks. It is left out as long as what was written since
// the last one cannot have made it so long.
func (w *writer) trimWAL() error {
	written, err := w.conn.written()
	if err != nil {
		return classify("looking at what was written", err)
	}
	if w.logged += written; w.logged < w.trimAt {
		return nil
	}
	log, err := w.conn.walCheckpoint(sqlite3.SQLITE_CHECKPOINT_NOOP)
	if err != nil {
		return classify("looking at the write-ahead log", err)
	}
	w.logged = log.pages
	if log.pages < w.trimAt {
		w.restartAt = 0
		return nil
	}
	if log.pages >= max(w.restartAt, w.trimAt+w.trimAt/2) {
		return w.restart()
	}
	if log.pages-log.copied < min(checkpointRetry, w.trimAt) {
		return nil
	}
	return w.checkpoint()
}

// checkpoint copies back what no reader's snapshot holds up, and waits for
// nobody.
func (w *writer) checkpoint() error {
	log, err := w.conn.walCheckpoint(sqlite3.SQLITE_CHECKPOINT_PASSIVE)
	if err != nil {
		return classify("copying the write-ahead log back", err)
	}
	w.logged = log.pages
	return nil
}

// restart copies all of the write-ahead log back and waits until nobody reads from it:
// then the next commit writes at its beginning. By itself SQLite does that only at a
// commit that finds no reader there, and while pages are read all the time there is
// none. Readers that begin meanwhile read from the file, so the wait is only for those
// that were there before.
func (w *writer) restart() error {
	if err := w.conn.setBusyTimeout(restartTry); err != nil {
		return classify("setting how long to wait for readers", err)
	}
	log := checkpointResult{busy: true}
	for began := time.Now(); log.busy && time.Since(began) < w.patience; {
		var err error
		if log, err = w.conn.walCheckpoint(sqlite3.SQLITE_CHECKPOINT_RESTART); err != nil {
			return classify("copying the write-ahead log back", err)
		}
	}
	w.logged, w.restartAt = log.pages, 2*log.pages // which it does not come to, unless somebody still reads
	if err := w.conn.setBusyTimeout(busyTimeout); err != nil {
		return classify("setting how long to wait for a lock", err)
	}
	return nil
}
