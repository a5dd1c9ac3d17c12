package feed_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/feed"
	"github.com/windsock-scgi/windsock/app/web/webtest"
)

func TestTailReadsOnceForAll(t *testing.T) {
	for _, readers := range []int{1, 1000} {
		t.Run(fmt.Sprint(readers), func(t *testing.T) {
			webtest.InBubble(t, func(b *webtest.Bubble) {
				b.Start()
				b.Commit(3)
				assert.Empty(t, b.Store.Taken(), "while nobody follows nothing is read")
				all := make([]*webtest.Client, readers)
				for i := range all {
					all[i] = b.Follow("/messages/stream")
				}
				synctest.Wait()
				assert.Empty(t, b.Store.Taken(), "nor by those who start now")
				for _, n := range []int{1, 2, 499, 3} { // in one page each
					b.Commit(n)
					assert.Len(t, b.Store.Taken(), 1)
				}
				assert.Equal(t, webtest.Sequence(4, int64(b.Sent)), all[0].Seqs())
				want := all[0].Text()
				for _, c := range all {
					assert.True(t, want == c.Text(), "everybody gets the same")
					c.Leave()
				}
				synctest.Wait()
				b.Commit(1)
				assert.Empty(t, b.Store.Taken(), "when all have left nothing is read again")
			})
		})
	}
}

// Subscribers who start in the past each read what came before the window, by
// pages, and no more.
func TestTailCatchUp(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(1200)
		first := b.Follow("/messages/stream?after=100")
		synctest.Wait()
		assert.Len(t, b.Store.Taken(), 3)
		b.Commit(10)
		assert.Len(t, b.Store.Taken(), 1)
		second := b.Follow("/messages/stream?after=1205")
		third := b.Follow("/messages/stream?after=1195")
		synctest.Wait()
		reads := b.Store.Taken()
		require.Len(t, reads, 1, "the window has what the second one wants")
		assert.EqualValues(t, 1195, reads[0].After)
		b.Commit(5)
		assert.Equal(t, webtest.Sequence(101, 1215), first.Seqs())
		assert.Equal(t, webtest.Sequence(1206, 1215), second.Seqs())
		assert.Equal(t, webtest.Sequence(1196, 1215), third.Seqs())
	})
}

// The seam, deterministically: at every moment of a catch-up something is
// committed, and at each the tail is made to read before or after.
func TestTailSeam(t *testing.T) {
	for commits := range 6 {
		for after := range 11 {
			t.Run(fmt.Sprintf("%d commits, after %d", commits, after), func(t *testing.T) {
				webtest.InBubble(t, func(b *webtest.Bubble) {
					b.Tail.MaxEvents = 2
					b.Start()
					b.Commit(10)
					live := b.Follow("/messages/stream")
					synctest.Wait()
					left := commits
					b.Store.Reading = func(q app.Query) error {
						if left > 0 {
							left--
							b.Sent++
							_, _ = b.Store.Append([]app.Message{apptest.Numbered(b.Sent)})
							b.Tail.Committed(int64(b.Sent)) // which the tail reads at the same time
						}
						return nil
					}
					c := b.Follow(fmt.Sprintf("/messages/stream?after=%d", after))
					synctest.Wait()
					b.Store.Reading = nil
					b.Commit(3)
					assert.Equal(t, webtest.Sequence(int64(after)+1, int64(b.Sent)), c.Seqs())
					assert.Equal(t, webtest.Sequence(11, int64(b.Sent)), live.Seqs())
				})
			})
		}
	}
}

// What the window was made of is not mixed with what it is made of anew.
func TestTailStartsAnewWhileReading(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		c := b.Follow("/messages/stream")
		synctest.Wait()
		gate := make(chan struct{})
		b.Store.Answering = func() { <-gate }
		b.Commit(3) // the tail has read it and does not know yet
		c.Leave()
		synctest.Wait()
		b.Commit(4)
		late := b.Follow("/messages/stream") // after 7
		synctest.Wait()
		close(gate)
		b.Commit(2)
		assert.Equal(t, webtest.Sequence(8, 9), late.Seqs())
		var after []int64
		for _, q := range b.Store.Taken() {
			after = append(after, q.After)
		}
		assert.Equal(t, []int64{0, 7}, after, "the window did not go back")
	})
}

// What a catch-up has found is sent while it goes on.
func TestTailCatchUpFlushes(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(1200)
		gate := make(chan struct{})
		b.Store.Reading = func(q app.Query) error {
			if q.After > 0 {
				<-gate
			}
			return nil
		}
		c := b.Follow("/messages/stream?after=0")
		synctest.Wait()
		assert.Equal(t, webtest.Sequence(1, 500), c.Seqs())
		close(gate)
		synctest.Wait()
		assert.Equal(t, webtest.Sequence(1, 1200), c.Seqs())
	})
}

func TestTailTriesAgain(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		c := b.Follow("/messages/stream")
		synctest.Wait()
		var tries atomic.Int64
		b.Store.Reading = func(app.Query) error {
			if tries.Add(1) <= 3 {
				return errors.New("disk on fire")
			}
			return nil
		}
		b.Commit(1)
		b.Commit(1)
		assert.EqualValues(t, 1, tries.Load(), "a commit does not make it try sooner")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		assert.EqualValues(t, 4, tries.Load())
		assert.Equal(t, webtest.Sequence(1, 2), c.Seqs())
	})
}

// Reading on where all has been pruned comes to an end.
func TestTailPruned(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(10)
		b.Store.PruneAll()
		c := b.Follow("/messages/stream?after=3")
		synctest.Wait()
		assert.Len(t, b.Store.Taken(), 1)
		b.Store.Reading = func(app.Query) error { b.Store.PruneAll(); return nil }
		b.Commit(1) // pruned before it is read
		b.Store.Reading = nil
		b.Commit(2)
		assert.Equal(t, webtest.Sequence(12, 13), c.Seqs())
	})
}

// A catch-up that fails ends the stream; the client comes again.
func TestTailCatchUpFails(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(5)
		b.Store.Reading = func(app.Query) error { return errors.New("disk on fire") }
		c := b.Follow("/messages/stream?after=3")
		synctest.Wait()
		assert.True(t, c.Ended())
		assert.Empty(t, c.Seqs())
		assert.NotContains(t, c.Text(), "fire")
	})
}

// However many are behind, two read for themselves at a time.
func TestTailCatchUpsTakeTurns(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(5)
		gate := make(chan struct{})
		var inside, most int
		var mu sync.Mutex
		b.Store.Reading = func(app.Query) error {
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			<-gate
			mu.Lock()
			inside--
			mu.Unlock()
			return nil
		}
		var stay, leave []*webtest.Client
		for range 10 {
			stay = append(stay, b.Follow("/messages/stream?after=0"))
			leave = append(leave, b.Follow("/messages/stream?after=0"))
		}
		synctest.Wait()
		assert.Equal(t, 2, inside)
		for _, c := range leave {
			c.Leave()
		}
		synctest.Wait()
		assert.LessOrEqual(t, b.Tail.Stats().Subscribers, 12, "who leaves does not wait for its turn")
		close(gate)
		synctest.Wait()
		assert.Equal(t, 2, most)
		assert.Equal(t, 10, b.Tail.Stats().Subscribers)
		for _, c := range stay {
			assert.Equal(t, webtest.Sequence(1, 5), c.Seqs())
		}
	})
}

func TestTailStartFails(t *testing.T) {
	broken := errors.New("no log")
	tail := &feed.Tail{Log: unreadable{err: broken}}
	require.ErrorIs(t, tail.Start(t.Context()), broken)
}

type unreadable struct {
	app.Store
	err error
}

func (l unreadable) Read(context.Context, app.Query) (app.Page, error) { return app.Page{}, l.err }

// Live readers are told, too, of what is gone before the tail has read it.
func TestTailIsOvertakenByPruning(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		all, some := b.Follow("/messages/stream"), b.Follow("/messages/stream?callsign=NOBODY")
		synctest.Wait()
		b.Commit(2)
		var once sync.Once
		b.Store.Reading = func(app.Query) error { once.Do(func() { b.Store.PruneTo(5) }); return nil }
		b.Commit(5) // 3 to 7, of which 6 and 7 are left when they are read
		const event = "id: memory.5\nevent: pruned\ndata: {\"oldest\":6}\n\n"
		assert.Equal(t, []int64{1, 2, 6, 7}, all.Seqs())
		assert.Equal(t, 1, strings.Count(all.Text(), event), all.Text())
		assert.Less(t, strings.Index(all.Text(), event), strings.Index(all.Text(), "memory.6"))
		assert.Equal(t, webtest.Beat+event, some.Text(), "filters or not")
		once = sync.Once{}
		b.Store.Reading = func(app.Query) error { once.Do(func() { b.Store.PruneTo(9) }); return nil }
		b.Commit(2) // nothing is left of them
		assert.Contains(t, all.Text(), "id: memory.9\nevent: pruned\ndata: {\"oldest\":10}\n\n")
		b.Commit(1)
		assert.Equal(t, []int64{1, 2, 6, 7, 10}, all.Seqs())
		assert.Equal(t, 2, strings.Count(all.Text(), "event: pruned"))
	})
}
