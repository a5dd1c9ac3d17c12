package sqlite

import "github.com/windsock-scgi/windsock/app"

// storeByKey is store for a message that may have a key. A key is looked up
// first: it decides whether the message is to be stored at all. What an earlier
// message of the same batch recorded is found, too.
func (w *writer) storeByKey(m *app.Message) (app.Receipt, error) {
	if m.Key == "" {
		return w.store(m)
	}
	key := []byte(m.Key)
	row, found, err := w.findKey.first(m.ID[:], m.Callsign, key)
	switch seq, same := row[0], row[1] != 0; {
	case err != nil:
		return app.Receipt{}, err
	case found && same:
		return app.Receipt{Seq: seq, ID: m.ID, Duplicate: true}, nil
	case found:
		return app.Receipt{ID: m.ID, KeyReused: true}, nil
	}
	receipt, err := w.store(m)
	if err != nil {
		return app.Receipt{}, err
	}
	return receipt, w.insertKey.run(m.Callsign, key, receipt.Seq)
}
