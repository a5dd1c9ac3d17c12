package app_test

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/windsock-scgi/windsock/app"
)

// fakeLog keeps what it is given in memory. appending, if set, is called
// before each batch is kept; what it returns or panics with is Append's fate.
type fakeLog struct {
	appending func(batch []app.Message) error

	mu      sync.Mutex // guards what follows
	seqs    map[app.ID]int64
	batches []int // the size of each batch kept
	inside  int   // Appends under way: never more than one
}

func (l *fakeLog) Append(batch []app.Message) ([]app.Receipt, error) {
	l.enter(1)
	defer l.enter(-1)
	if l.appending != nil {
		if err := l.appending(batch); err != nil {
			return nil, err
		}
	}
	return l.keep(batch), nil
}

func (l *fakeLog) enter(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inside += n; l.inside > 1 {
		panic("Append was called by two goroutines at a time")
	}
}

func (l *fakeLog) keep(batch []app.Message) []app.Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seqs == nil {
		l.seqs = map[app.ID]int64{}
	}
	l.batches = append(l.batches, len(batch))
	receipts := make([]app.Receipt, len(batch))
	for i, m := range batch {
		seq, duplicate := l.seqs[m.ID]
		if !duplicate {
			seq = int64(len(l.seqs) + 1)
			l.seqs[m.ID] = seq
		}
		receipts[i] = app.Receipt{Seq: seq, ID: m.ID, Duplicate: duplicate}
	}
	return receipts
}

// Read is only asked where the log ends.
func (l *fakeLog) Read(context.Context, app.Query) (app.Page, error) { return app.Page{}, nil }

// numbered returns a message whose ID is made of n.
func numbered(n int) app.Message {
	m := app.Message{Callsign: "G8XYZ", Type: app.ListenerInfo, Data: []byte(`{}`)}
	binary.BigEndian.PutUint64(m.ID[:], uint64(n))
	return m
}

// blockedLog stores nothing until it is let.
type blockedLog struct {
	app.Log
	began, release chan struct{}
}

func (l blockedLog) Append(batch []app.Message) ([]app.Receipt, error) {
	l.began <- struct{}{}
	<-l.release
	return make([]app.Receipt, len(batch)), nil
}
