package app

import (
	"context"
	"errors"
	"time"
)

// Store is the durable, ordered store of messages. Everything else that is kept
// of them is a view that can be rebuilt from it. A Store is safe for concurrent
// use, except that Append is called by one goroutine at a time.
type Store interface {
	// Append stores a batch and returns one receipt a message, in order. When
	// it returns without an error the whole batch is durable: it survives a
	// power cut from then on. With an error nothing of the batch may be
	// acknowledged, though some of it may turn out to be stored: a retry finds
	// it by its ID. A message whose ID is stored already, or stands earlier in
	// the batch, is not stored again: its receipt is the first one's, marked
	// Duplicate.
	//
	// A message with a Key records it in the same commit, for its callsign and
	// as long as the first message with that ID is kept. One whose Key stands
	// for another ID already is not stored, and its receipt marked KeyReused.
	//
	// Errors match ErrDiskFull when space ran out, from the first Append on (the
	// next one may work again), and ErrStoreFailed when the log can no longer vouch for what it
	// stores (it stays so until the process is started anew).
	Append(batch []Message) ([]Receipt, error)

	// Read returns one page of what is stored, in order of seq. Errors match
	// ErrOtherLog when the query names another log or an After that this log never
	// gave out. A seq is known from the moment that Append returned it.
	Read(context.Context, Query) (Page, error)
}

// Receipt says where a message is stored.
type Receipt struct {
	Seq       int64 `json:"seq"` // rises with every commit and is never reused
	ID        ID    `json:"id"`
	Duplicate bool  `json:"duplicate"` // it was stored before
	// KeyReused says that the message is not stored, and has no Seq, because
	// its Key stands for another one.
	KeyReused bool `json:"-"`
}

// Query says what to read from a Store.
type Query struct {
	After    int64  // only messages with a greater seq
	Limit    int    // at most so many messages; must be positive. A Store bounds a page's bytes too
	MaxBytes int    // the page ends with the message whose data makes it so many bytes; zero means the Store's own bound
	Last     bool   // the newest Limit messages that match, however far back, instead of those after After
	Type     Type   // only this type; empty means every type
	Callsign string // only this callsign, upper-case; empty means all
	Log      string // the log's name as the reader knows it; empty means any
	// Until is when Read stops looking for more and returns what it has found. It
	// always examines some messages first. Zero means that it looks on.
	Until time.Time
}

// Entry is a stored message.
type Entry struct {
	Seq int64
	Message
}

// Page is the answer to a Query.
type Page struct {
	Log     string // the log's name: random, made with it
	Oldest  int64  // the lowest seq still kept, and when nothing is, one more than the highest ever pruned
	Entries []Entry
	// Next is the highest seq examined: reading on After it sees every later
	// message once. It moves on even when the filters let nothing through, and
	// stays where it was at the end of the log. With Last it is the newest seq.
	// A reader whose After is less than Oldest-1 has missed what was pruned.
	Next int64
	// From is set when Until ended a query with Last early: only messages from this
	// seq on were examined, and older ones may match. Otherwise it is zero.
	From int64
}

// Errors that a Store returns.
var (
	// ErrDiskFull is matched by what Append returns when space ran out.
	ErrDiskFull = errors.New("app: no space left for the log")
	// ErrStoreFailed is matched by what Append returns once a sync has failed:
	// what is on disk is unknown from then on, so nothing more is acknowledged.
	ErrStoreFailed = errors.New("app: the log has failed and takes no more messages")
	// ErrOtherLog is matched by what Read returns when the query is about a log
	// other than this one: seq means nothing across logs. It names another log, or
	// an After that is higher than any seq of this log.
	ErrOtherLog = errors.New("app: not this log")
	// ErrUnavailable is matched by what Read returns when the log could not be read
	// at that moment, for want of memory or descriptors, or because somebody held it
	// locked. The next Read may work.
	ErrUnavailable = errors.New("app: the log cannot be read now")
)
