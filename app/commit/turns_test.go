package commit_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/commit"
)

// However long the queue is, work has every second turn, and no more.
func TestCommitterDoTakesTurns(t *testing.T) {
	order := make(chan string, 7)
	gate := make(chan struct{})
	log := &apptest.FakeStore{Appending: func([]app.Message) error { order <- "append"; <-gate; return nil }}
	c := commit.Committer{Log: log, MaxBatch: 1}
	var waiting sync.WaitGroup
	for n := range 5 {
		waiting.Go(func() {
			_, err := c.Commit(t.Context(), apptest.Numbered(n))
			assert.NoError(t, err)
		})
		require.Eventually(t, func() bool { return c.Stats().Queued == n+1 }, 10*time.Second, time.Millisecond)
	}
	works := make(chan struct{}, 2)
	for range 2 {
		go func() {
			assert.NoError(t, c.Do(t.Context(), func() error { order <- "work"; return nil }))
			works <- struct{}{}
		}()
	}
	require.Eventually(t, func() bool { return c.Works() == 2 }, 10*time.Second, time.Millisecond)
	close(gate)
	waiting.Wait()
	<-works
	<-works
	require.NoError(t, c.Close(t.Context()))
	for _, want := range []string{"append", "work", "append", "work", "append", "append", "append"} {
		assert.Equal(t, want, <-order)
	}
}

// Do's work is no batch: nobody is told of messages, and what it returns or
// panics with comes back.
func TestCommitterDo(t *testing.T) {
	var told []int64
	c := commit.Committer{Log: &apptest.FakeStore{}, Committed: func(seq int64) { told = append(told, seq) }}
	broken := errors.New("broken")
	require.NoError(t, c.Do(t.Context(), func() error { return nil }))
	require.ErrorIs(t, c.Do(t.Context(), func() error { return broken }), broken)
	_, err := c.Commit(t.Context(), apptest.Numbered(1))
	require.NoError(t, err)
	assert.Equal(t, commit.Stats{Commits: 1, Messages: 1}, c.Stats())
	require.ErrorIs(t, c.Do(t.Context(), func() error { panic("oh") }), app.ErrStoreFailed)
	require.ErrorIs(t, c.Do(t.Context(), func() error { return nil }), app.ErrStoreFailed)
	assert.Equal(t, []int64{1}, told)
}
