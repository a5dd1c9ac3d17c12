package sqlite

import (
	"context"
	"database/sql"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// This file compares the tables, indexes and triggers of a store with those of a
// new one. Most things work without one of them, so that it would not show: where
// the trigger is missing, no key goes with its message.

// schemaObject is a row of sqlite_schema.
type schemaObject struct{ kind, table, sql string }

// schemaSQL leaves out names that begin with sqlite_, which are SQLite's own:
// what ANALYZE or AUTOINCREMENT has left is no fault.
const schemaSQL = `SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_schema
	WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'`

// schema names what is missing or other, and what was added to windsock's tables.
// A table or view of somebody else's changes nothing, and is none of its business.
func (c *checker) schema(ctx context.Context, tx *sql.Tx) error {
	want, err := newSchema(ctx)
	if err != nil {
		return err
	}
	have, err := readSchema(ctx, tx)
	if err != nil {
		return c.unreadable(err)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch made, found := have[name]; {
		case !found:
			c.fault("schema: the %s %s is missing", want[name].kind, name)
		case made != want[name]:
			c.fault("schema: the %s %s is not as windsock makes it: %.300s", want[name].kind, name, made.sql)
		}
		delete(have, name)
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ours := want[have[name].table]; ours {
			c.fault("schema: the %s %s on the table %s is none of windsock's", have[name].kind, name, have[name].table)
		}
	}
	return nil
}

// newSchema is what a new store has.
func newSchema(ctx context.Context) (map[string]schemaObject, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close() // there is nothing to lose
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback() // or to keep
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return nil, err
	}
	return readSchema(ctx, tx)
}

// readSchema is what there is, by name.
func readSchema(ctx context.Context, tx *sql.Tx) (map[string]schemaObject, error) {
	rows, err := tx.QueryContext(ctx, schemaSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // what it would say, Err has said
	objects := map[string]schemaObject{}
	for rows.Next() {
		var name string
		var o schemaObject
		if err := rows.Scan(&name, &o.kind, &o.table, &o.sql); err != nil {
			return nil, err
		}
		o.sql = normalized(o.sql)
		objects[name] = o
	}
	return objects, rows.Err()
}

var (
	sqlComment = regexp.MustCompile(`--.*`)
	sqlSpace   = regexp.MustCompile(`\s+`)
)

// normalized is a statement without comments and layout, in which another
// windsock of this schema version may differ.
func normalized(statement string) string {
	return strings.TrimSpace(sqlSpace.ReplaceAllString(sqlComment.ReplaceAllString(statement, ""), " "))
}
