package app_test

import (
	"context"
	"math"
	"sync"

	"github.com/windsock-scgi/windsock/app"
)

// memoryLog is a log in memory that keeps how it was read. It examines 1,000
// messages a Read. reading and answering, if set, are called before and after each
// Read but that of Tail.Start; what reading returns is Read's fate.
type memoryLog struct {
	reading   func(app.Query) error
	answering func()

	mu      sync.Mutex // guards what follows
	entries []app.Entry
	seq     int64
	pruned  int64
	reads   []app.Query // but for that of Start
}

var _ app.Log = (*memoryLog)(nil)

func (l *memoryLog) Append(batch []app.Message) ([]app.Receipt, error) {
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

func (l *memoryLog) Read(ctx context.Context, q app.Query) (app.Page, error) {
	if !q.Last && l.reading != nil {
		if err := l.reading(q); err != nil {
			return app.Page{}, err
		}
	}
	if !q.Last && l.answering != nil {
		defer l.answering()
	}
	return l.page(ctx, q)
}

func (l *memoryLog) page(ctx context.Context, q app.Query) (app.Page, error) {
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

// prune removes all there is.
func (l *memoryLog) prune() { l.pruneTo(math.MaxInt64) }

// pruneTo removes the entries up to a seq.
func (l *memoryLog) pruneTo(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.entries) > 0 && l.entries[0].Seq <= seq {
		l.pruned = l.entries[0].Seq
		l.entries = l.entries[1:]
	}
}

// taken returns what was read since it was asked last.
func (l *memoryLog) taken() []app.Query {
	l.mu.Lock()
	defer l.mu.Unlock()
	reads := l.reads
	l.reads = nil
	return reads
}
