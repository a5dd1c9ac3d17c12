package sqlite

import "fmt"

// How a store of an older schema becomes one of this. There is one such.

// migration1 turns version 1 into version 2. That one had AUTOINCREMENT, which
// left the highest seq that was ever used in sqlite_sequence, and an index over
// the ids, in whose order ids is filled. Tables are copied row by row, so it
// takes as much disk as there is of the store again, but no memory.
const migration1 = `
DROP TRIGGER messages_keys;
ALTER TABLE messages RENAME TO messages_1;
` + schemaMessages + `
INSERT INTO messages
	SELECT seq, client_created, id, type, callsign, client_uploaded,
		time_created, time_uploaded, received, address, data
	FROM messages_1 ORDER BY seq;
INSERT INTO ids SELECT client_created, id, seq FROM messages_1 ORDER BY client_created, id;
INSERT INTO meta SELECT 'indexed', coalesce(max(seq), 0) FROM messages_1;
INSERT INTO meta SELECT 'pruned', seq FROM sqlite_sequence
	WHERE name = 'messages_1' AND seq > (SELECT coalesce(max(seq), 0) FROM messages_1);
DROP TABLE messages_1;
` + schemaGone + `
PRAGMA user_version = 2;
`

// migrate changes the store in one transaction; with an error the connection is
// to be closed, which ends it. What was recovered from a write-ahead log comes
// before, and is made durable before.
func (w *writer) migrate() error {
	const attempt = "bringing the store from schema version 1 to 2, for which it needs as much disk space again"
	if err := w.settle(); err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	if err := w.conn.script("BEGIN IMMEDIATE;" + migration1 + "COMMIT"); err != nil {
		return classify(attempt, err)
	}
	return nil
}
