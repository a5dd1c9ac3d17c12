package sqlite

import (
	"database/sql"
	"time"
)

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

func (l *Store) Readers() *sql.DB { return l.reader.db }
func (l *Store) Finder() *sql.DB  { return l.excess.db }
func (r *Reader) DB() *sql.DB     { return r.db }

// Query reads a row through the connection that writes.
func (l *Store) Query(text string, to ...any) error { return l.writer.row(text, to...) }

// Run runs statements there.
func (l *Store) Run(text string) error { return l.writer.conn.script(text) }

// TrimAt sets at how many pages the write-ahead log is copied back.
func (l *Store) TrimAt(pages int) { l.writer.trimAt = pages }

// WaitForReaders sets how long a restart of the write-ahead log waits for readers.
func (l *Store) WaitForReaders(d time.Duration) { l.writer.patience = d }

// SortAt sets how many IDs are put in order together.
func (l *Store) SortAt(ids int) { l.writer.index.sortAt = ids }

// ForgetAt sets how many IDs are kept in memory before some are forgotten.
func (l *Store) ForgetAt(ids int) { l.writer.index.forgetAt = ids }

// InMemory returns how many IDs are kept in memory.
func (l *Store) InMemory() int { return len(l.writer.index.recent) }
