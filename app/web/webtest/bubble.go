// Package webtest has a Handler over a store in memory, in a bubble of fake time, and
// a client for its streams.
package webtest

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/feed"
	"github.com/windsock-scgi/windsock/app/web"
)

// Bubble is the application over a MemoryStore in a bubble of fake time.
type Bubble struct {
	*web.Handler
	T     *testing.T
	Store *apptest.MemoryStore
	Sent  int // messages committed by Commit
}

// InBubble runs a test in a bubble, with a tail that is not started yet.
func InBubble(t *testing.T, test func(*Bubble)) {
	synctest.Test(t, func(t *testing.T) {
		log := &apptest.MemoryStore{}
		tail := &feed.Tail{Log: log}
		b := &Bubble{T: t, Store: log, Handler: &web.Handler{Log: log, Tail: tail,
			Committer: &commit.Committer{Log: log, Committed: tail.Committed}}}
		test(b)
		b.Tail.Close()
		synctest.Wait()
		assert.Zero(t, b.Tail.Stats().Subscribers, "whoever was ended has left")
	})
}

// Start starts the tail.
func (b *Bubble) Start() { require.NoError(b.T, b.Tail.Start(b.T.Context())) }

// Commit stores n messages as one batch and waits until all is quiet.
func (b *Bubble) Commit(n int) {
	b.T.Helper()
	batch := make([]app.Message, n)
	for i := range batch {
		b.Sent++
		batch[i] = apptest.Numbered(b.Sent)
	}
	receipts, err := b.Store.Append(batch)
	require.NoError(b.T, err)
	b.Tail.Committed(receipts[n-1].Seq)
	synctest.Wait()
}

// Sequence returns the seqs from first to last.
func Sequence(first, last int64) (seqs []int64) {
	for seq := first; seq <= last; seq++ {
		seqs = append(seqs, seq)
	}
	return slices.Clip(seqs)
}
