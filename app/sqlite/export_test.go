package sqlite

import "database/sql"

// What the tests reach inside for.
var Meaning = meaning

const (
	MaxExamined   = maxExamined
	MaxPageBytes  = maxPageBytes
	SchemaVersion = schemaVersion
	IndexIDs      = indexIDs
	RecentIDs     = recentIDs
	PruneRows     = pruneRows
	PruneBytes    = pruneBytes
)

func (l *Log) Writer() *sql.Conn { return l.writer.conn }
func (l *Log) Readers() *sql.DB  { return l.reader.db }
func (r *Reader) DB() *sql.DB    { return r.db }

// TrimAt sets at how many pages the write-ahead log is copied back.
func (l *Log) TrimAt(pages int) { l.writer.trimAt = pages }
