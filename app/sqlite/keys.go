package sqlite

import (
	"bytes"
	"database/sql"
	"errors"

	"github.com/windsock-scgi/windsock/app"
)

// storeByKey is store for a message that may have a key. A key is looked up
// first: it decides whether the message is to be stored at all. What an earlier
// message of the same batch recorded is found, too.
func (w *writer) storeByKey(m *app.Message) (app.Receipt, error) {
	if m.Key == "" {
		return w.store(m)
	}
	key := []byte(m.Key)
	var seq int64
	var id []byte
	err := w.findKey.QueryRow(m.Callsign, key).Scan(&seq, &id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return app.Receipt{}, err
	case bytes.Equal(id, m.ID[:]):
		return app.Receipt{Seq: seq, ID: m.ID, Duplicate: true}, nil
	default:
		return app.Receipt{ID: m.ID, KeyReused: true}, nil
	}
	receipt, err := w.store(m)
	if err != nil {
		return app.Receipt{}, err
	}
	_, err = w.insertKey.Exec(m.Callsign, key, receipt.Seq)
	return receipt, err
}
