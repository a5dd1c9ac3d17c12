package sqlite

import (
	"fmt"
	"os"

	"github.com/windsock-scgi/windsock/app"
)

// Append implements app.Store: one transaction a batch. Once it has returned an
// error that matches app.ErrStoreFailed, it stores nothing more.
func (l *Store) Append(batch []app.Message) ([]app.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("sqlite: appending: %w", os.ErrClosed)
	}
	if l.failed != nil {
		return nil, l.failed
	}
	receipts, err := l.writer.append(batch)
	if err != nil {
		return nil, l.judge(fmt.Errorf("sqlite: %w", err))
	}
	return receipts, nil
}

// judge remembers an error after which nothing may be acknowledged any more.
// l.mu is held.
func (l *Store) judge(err error) error {
	if isFatal(err) {
		l.failed = err
	}
	return err
}

// append stores the batch as a whole or, with an error, not at all, as far as
// that can be known.
func (w *writer) append(batch []app.Message) (receipts []app.Receipt, err error) {
	next, indexed := w.next, 0
	w.index.sort()
	err = w.transact(func() (err error) {
		if receipts, err = w.storeAll(batch); err == nil {
			indexed, err = w.indexSome(len(batch))
		}
		return err
	})
	if err != nil {
		w.next = next
		w.index.forget(next)
		return nil, err
	}
	w.index.wrote(indexed)
	w.grown.add(batch)
	return receipts, nil
}

// transact does something in a transaction of its own, as a whole or, with an
// error, not at all, as far as that can be known.
func (w *writer) transact(do func() error) error {
	if err := w.settle(); err != nil {
		return err
	}
	if err := w.trimWAL(); err != nil {
		return err
	}
	if err := w.begin.run(); err != nil {
		return classify("beginning a transaction", err)
	}
	if err := do(); err != nil {
		return w.undo(err)
	}
	if err := w.commit.run(); err != nil {
		return w.undo(classifyCommit(err))
	}
	return nil
}

// undo ends the transaction that err made useless. SQLite mostly has done so by
// itself, then ROLLBACK finds none; where it has not, as after a busy COMMIT,
// the next batch could not begin.
func (w *writer) undo(err error) error {
	if rollbackErr := w.rollback.run(); rollbackErr != nil && !isMisfit(rollbackErr) {
		return failed("rolling back", rollbackErr)
	}
	return err
}

func (w *writer) storeAll(batch []app.Message) ([]app.Receipt, error) {
	receipts := make([]app.Receipt, len(batch))
	for i := range batch {
		var err error
		if receipts[i], err = w.storeByKey(&batch[i]); err != nil {
			return nil, classify("inserting a message", err)
		}
	}
	return receipts, nil
}

// store inserts a message, or finds it.
func (w *writer) store(m *app.Message) (app.Receipt, error) {
	seq, found, err := w.seqOf(m)
	if found || err != nil {
		return app.Receipt{Seq: seq, ID: m.ID, Duplicate: true}, err
	}
	err = w.insert.run(
		m.ClientCreated, m.ID[:], string(m.Type), m.Callsign, m.ClientUploaded,
		m.TimeCreated, m.TimeUploaded, m.Received.UnixMicro(), address(m), text(m.Data))
	if err != nil {
		return app.Receipt{}, conflict(err)
	}
	if seq := w.conn.inserted(); seq != w.next {
		if err := w.renumber.run(w.next, seq); err != nil {
			return app.Receipt{}, conflict(err)
		}
	}
	w.index.add(storedID{m.ClientCreated, m.ID, w.next})
	w.next++
	return app.Receipt{Seq: w.next - 1, ID: m.ID}, nil
}

// address returns a message's address as it is stored, NULL when it has none.
func address(m *app.Message) any {
	if !m.Address.IsValid() {
		return nil
	}
	return m.Address.String()
}
