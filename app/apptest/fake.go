// Package apptest has stores in memory that fail, wait or tell how they were used, for
// the tests of several packages.
package apptest

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/windsock-scgi/windsock/app"
)

// FakeStore keeps what it is given in memory. Appending, if set, is called
// before each batch is kept; what it returns or panics with is Append's fate.
type FakeStore struct {
	Appending func(batch []app.Message) error

	mu      sync.Mutex       // guards what follows
	Seqs    map[app.ID]int64 // of the messages kept
	Batches []int            // the size of each batch kept
	inside  int              // Appends under way: never more than one
}

// Append implements app.Store.
func (l *FakeStore) Append(batch []app.Message) ([]app.Receipt, error) {
	l.Enter(1)
	defer l.Enter(-1)
	if l.Appending != nil {
		if err := l.Appending(batch); err != nil {
			return nil, err
		}
	}
	return l.keep(batch), nil
}

// Enter counts the calls under way, 1 at the beginning and -1 at the end of one. It
// panics when there are two.
func (l *FakeStore) Enter(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inside += n; l.inside > 1 {
		panic("Append was called by two goroutines at a time")
	}
}

func (l *FakeStore) keep(batch []app.Message) []app.Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Seqs == nil {
		l.Seqs = map[app.ID]int64{}
	}
	l.Batches = append(l.Batches, len(batch))
	receipts := make([]app.Receipt, len(batch))
	for i, m := range batch {
		seq, duplicate := l.Seqs[m.ID]
		if !duplicate {
			seq = int64(len(l.Seqs) + 1)
			l.Seqs[m.ID] = seq
		}
		receipts[i] = app.Receipt{Seq: seq, ID: m.ID, Duplicate: duplicate}
	}
	return receipts
}

// Read returns the zero Page: it is only asked where the log ends.
func (l *FakeStore) Read(context.Context, app.Query) (app.Page, error) { return app.Page{}, nil }

// Numbered returns a message whose ID is made of n.
func Numbered(n int) app.Message {
	m := app.Message{Callsign: "G8XYZ", Type: app.ListenerInfo, Data: []byte(`{}`)}
	binary.BigEndian.PutUint64(m.ID[:], uint64(n))
	return m
}

// BlockedStore sends to Began at each Append, and stores nothing until Release is closed.
type BlockedStore struct {
	app.Store
	Began, Release chan struct{}
}

// Append implements app.Store.
func (l BlockedStore) Append(batch []app.Message) ([]app.Receipt, error) {
	l.Began <- struct{}{}
	<-l.Release
	return make([]app.Receipt, len(batch)), nil
}
