package web_test

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

// bubble is the application over a MemoryStore in a bubble of fake time.
type bubble struct {
	*web.Handler
	t    *testing.T
	log  *apptest.MemoryStore
	sent int
}

// inBubble runs a test in a bubble, with a tail that is not started yet.
func inBubble(t *testing.T, test func(*bubble)) {
	synctest.Test(t, func(t *testing.T) {
		log := &apptest.MemoryStore{}
		tail := &feed.Tail{Log: log}
		b := &bubble{t: t, log: log, Handler: &web.Handler{Log: log, Tail: tail,
			Committer: &commit.Committer{Log: log, Committed: tail.Committed}}}
		test(b)
		b.Tail.Close()
		synctest.Wait()
		assert.Zero(t, b.Tail.Stats().Subscribers, "whoever was ended has left")
	})
}

func (b *bubble) start() { require.NoError(b.t, b.Tail.Start(b.t.Context())) }

// commit stores so many messages as one batch and waits until all is quiet.
func (b *bubble) commit(n int) {
	b.t.Helper()
	batch := make([]app.Message, n)
	for i := range batch {
		b.sent++
		batch[i] = apptest.Numbered(b.sent)
	}
	receipts, err := b.log.Append(batch)
	require.NoError(b.t, err)
	b.Tail.Committed(receipts[n-1].Seq)
	synctest.Wait()
}

func sequence(first, last int64) (seqs []int64) {
	for seq := first; seq <= last; seq++ {
		seqs = append(seqs, seq)
	}
	return slices.Clip(seqs)
}
