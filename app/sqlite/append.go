package sqlite

import (
	"fmt"
	"os"

	"github.com/windsock-scgi/windsock/app"
)

// Append implements app.Log: one transaction a batch. Once it has returned an
// error that matches app.ErrLogFailed, it stores nothing more.
func (l *Log) Append(batch []app.Message) ([]app.Receipt, error) {
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
func (l *Log) judge(err error) error {
	if isFatal(err) {
		l.failed = err
	}
	return err
}

// append stores the batch as a whole or, with an error, not at all, as far as
// that can be known.
func (w *writer) append(batch []app.Message) ([]app.Receipt, error) {
	if err := w.settle(); err != nil {
		return nil, err
	}
	if err := w.trimWAL(); err != nil {
		return nil, err
	}
	if _, err := w.begin.Exec(); err != nil {
		return nil, classify("beginning a transaction", err)
	}
	receipts, err := w.storeAll(batch)
	if err != nil {
		return nil, w.undo(err)
	}
	if _, err := w.commit.Exec(); err != nil {
		return nil, w.undo(classifyCommit(err))
	}
	return receipts, nil
}

// undo ends the transaction that err made useless. SQLite mostly has done so by
// itself, then ROLLBACK finds none; where it has not, as after a busy COMMIT,
// the next batch could not begin.
func (w *writer) undo(err error) error {
	if _, rollbackErr := w.rollback.Exec(); rollbackErr != nil && !isLogic(rollbackErr) {
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

// store inserts a message, or finds it. Nothing is looked up before: the index
// tells when it is there already, and a statement that fails on it uses up no
// seq, as INSERT OR IGNORE would.
func (w *writer) store(m *app.Message) (app.Receipt, error) {
	receipt := app.Receipt{ID: m.ID}
	result, err := w.insert.Exec(
		m.ClientCreated, m.ID[:], string(m.Type), m.Callsign, m.ClientUploaded,
		m.TimeCreated, m.TimeUploaded, m.Received.UnixMicro(), address(m), string(m.Data))
	if isDuplicate(err) {
		receipt.Duplicate = true
		return receipt, w.find.QueryRow(m.ClientCreated, m.ID[:]).Scan(&receipt.Seq)
	}
	if err != nil {
		return receipt, err
	}
	receipt.Seq, err = result.LastInsertId()
	return receipt, err
}

// address returns a message's address as it is stored, NULL when it has none.
func address(m *app.Message) any {
	if !m.Address.IsValid() {
		return nil
	}
	return m.Address.String()
}
