package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/sqlite"
)

// A store is made of what a new one is made of. What is missing or other is a
// fault each, whatever cannot be looked at for want of it.
func TestCheckSchema(t *testing.T) {
	const (
		trigger = "schema: the trigger messages_gone is missing"
		noName  = "it cannot be opened: reading the log's name: "
	)
	for do, want := range map[string][]string{
		"DROP INDEX keys_by_seq":     {"schema: the index keys_by_seq is missing"},
		"DROP TRIGGER messages_gone": {trigger},
		"DROP TABLE ids":             {"schema: the table ids is missing"},
		"DROP TABLE keys":            {"schema: the table keys is missing", "schema: the index keys_by_seq is missing"},
		"DROP TABLE messages":        {"schema: the table messages is missing", trigger},
		"DROP TABLE meta":            {noName},

		"ALTER TABLE messages ADD note TEXT":                            {"schema: the table messages is not as windsock makes it: CREATE TABLE messages ( seq INTEGER PRIMARY KEY, client_created"},
		"ALTER TABLE ids ADD note TEXT":                                 {"schema: the table ids is not as windsock makes it"},
		"ALTER TABLE meta RENAME value TO text":                         {noName},
		"DROP TRIGGER messages_gone; ALTER TABLE messages DROP address": {"schema: the table messages is not", trigger},
		"DROP TRIGGER messages_gone; CREATE TRIGGER messages_gone AFTER DELETE ON messages BEGIN DELETE FROM keys; END":   {"schema: the trigger messages_gone is not"},
		"DROP INDEX keys_by_seq; CREATE UNIQUE INDEX keys_by_seq ON keys (seq)":                                           {"schema: the index keys_by_seq is not"},
		"CREATE TRIGGER mine AFTER INSERT ON messages BEGIN SELECT 1; END":                                                {"schema: the trigger mine on the table messages is none of windsock's"},
		"CREATE UNIQUE INDEX mine ON ids (id)":                                                                            {"schema: the index mine on the table ids is none of windsock's"},
		"CREATE TABLE mine (a UNIQUE); CREATE INDEX i ON mine (a); CREATE VIEW seen AS SELECT seq FROM messages; ANALYZE": nil,
		"PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '-- 16 bytes', ' -- a hash\t\n')":       nil,
	} {
		found, err := sqlite.Check(t.Context(), newStore(t, 40, do), nil)
		require.NoError(t, err, do)
		if assert.Len(t, found.Faults, len(want), "%s: %q", do, found.Faults) {
			for i := range want {
				assert.Contains(t, found.Faults[i], want[i], do)
			}
		}
	}
}

// What is missing keeps a store from being opened, if anything does that; then
// it is said what to do.
func TestOpenOtherSchema(t *testing.T) {
	for _, table := range []string{"ids", "keys", "messages", "meta"} {
		_, err := sqlite.Open(newStore(t, 4, "DROP TABLE "+table))
		assert.ErrorContains(t, err, "the store is damaged (run windsock check)", table)
		assert.ErrorContains(t, err, "no such table: ", table)
	}
}

// A store that was brought up to date is made of the same as a new one.
func TestCheckMigrated(t *testing.T) {
	path := newPath(t)
	makeVersion1(t, path, 0)
	require.NoError(t, open(t, path).Close())
	found, err := sqlite.Check(t.Context(), path, nil)
	require.NoError(t, err)
	assert.Empty(t, found.Faults)
}
