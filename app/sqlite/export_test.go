package sqlite

import "database/sql"

// What the tests reach inside for.
var (
	Meaning      = meaning
	IsMountPoint = isMountPoint
)

const (
	MaxExamined   = maxExamined
	MaxUnwatched  = maxUnwatched
	MaxPageBytes  = maxPageBytes
	SchemaVersion = schemaVersion
	IndexIDs      = indexIDs
	RecentIDs     = recentIDs
	PruneRows     = pruneRows
	PruneBytes    = pruneBytes
)

func (l *Log) Readers() *sql.DB { return l.reader.db }
func (l *Log) Finder() *sql.DB  { return l.excess.db }
func (r *Reader) DB() *sql.DB   { return r.db }

// Query reads a row through the connection that writes.
func (l *Log) Query(text string, to ...any) error { return l.writer.row(text, to...) }

// Run runs statements there.
func (l *Log) Run(text string) error { return l.writer.conn.script(text) }

// TrimAt sets at how many pages the write-ahead log is copied back.
func (l *Log) TrimAt(pages int) { l.writer.trimAt = pages }

// SortAt sets how many IDs are put in order together.
func (l *Log) SortAt(ids int) { l.writer.index.sortAt = ids }

// ForgetAt sets how many IDs are kept in memory before some are forgotten.
func (l *Log) ForgetAt(ids int) { l.writer.index.forgetAt = ids }

// InMemory returns how many IDs are kept in memory.
func (l *Log) InMemory() int { return len(l.writer.index.recent) }
