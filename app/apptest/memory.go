package apptest

import (
	"context"
	"math"
	"sync"

	"github.com/windsock-scgi/windsock/app"
)

// MemoryStore is a store in memory that keeps how it was read. It examines 1,000
// messages a Read. Reading and Answering, if set, are called before and after each
// Read but that of feed.Tail.Start; what Reading returns is Read's fate.
type MemoryStore struct {
	Reading   func(app.Query) error
	Answering func()

	mu      sync.Mutex // guards what follows
	entries []app.Entry
	seq     int64
	pruned  int64
	reads   []app.Query // but for that of Start
}

var _ app.Store = (*MemoryStore)(nil)

// Append implements app.Store.
func (l *MemoryStore) Append(batch []app.Message) ([]app.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	receipts := make([]app.Receipt, len(batch))
	for i, m := range batch {
		l.seq++
		l.entries = append(l.entries, app.Entry{Seq: l.seq, Message: m})
		receipts[i] = app.Receipt{Seq: l.seq, ID: m.ID}
	}
	return receipts, nil
}

// Read implements app.Store.
func (l *MemoryStore) Read(ctx context.Context, q app.Query) (app.Page, error) {
	if !q.Last && l.Reading != nil {
		if err := l.Reading(q); err != nil {
			return app.Page{}, err
		}
	}
	if !q.Last && l.Answering != nil {
		defer l.Answering()
	}
	return l.page(ctx, q)
}

func (l *MemoryStore) page(ctx context.Context, q app.Query) (app.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := app.Page{Log: "memory", Oldest: l.pruned + 1, Next: q.After}
	if n := len(l.entries); q.Last {
		if n > 0 {
			page.Next = l.entries[n-1].Seq
		}
		return page, ctx.Err()
	}
	l.reads = append(l.reads, q)
	page.Next = max(q.After, l.pruned)
	for _, e := range l.entries {
		if e.Seq <= q.After || e.Seq > q.After+1000 || len(page.Entries) == q.Limit {
			continue
		}
		page.Next = e.Seq
		if (q.Type == "" || q.Type == e.Type) && (q.Callsign == "" || q.Callsign == e.Callsign) {
			page.Entries = append(page.Entries, e)
		}
	}
	return page, ctx.Err()
}

// PruneAll removes all there is.
func (l *MemoryStore) PruneAll() { l.PruneTo(math.MaxInt64) }

// PruneTo removes the entries up to a seq.
func (l *MemoryStore) PruneTo(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.entries) > 0 && l.entries[0].Seq <= seq {
		l.pruned = l.entries[0].Seq
		l.entries = l.entries[1:]
	}
}

// Taken returns what was read since it was asked last.
func (l *MemoryStore) Taken() []app.Query {
	l.mu.Lock()
	defer l.mu.Unlock()
	reads := l.reads
	l.reads = nil
	return reads
}
