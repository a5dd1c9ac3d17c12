package web_test

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
)

func TestTailReadsOnceForAll(t *testing.T) {
	for _, readers := range []int{1, 1000} {
		t.Run(fmt.Sprint(readers), func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				b.start()
				b.commit(3)
				assert.Empty(t, b.log.Taken(), "while nobody follows nothing is read")
				all := make([]*client, readers)
				for i := range all {
					all[i] = b.follow("/messages/stream")
				}
				synctest.Wait()
				assert.Empty(t, b.log.Taken(), "nor by those who start now")
				for _, n := range []int{1, 2, 499, 3} { // in one page each
					b.commit(n)
					assert.Len(t, b.log.Taken(), 1)
				}
				assert.Equal(t, sequence(4, int64(b.sent)), all[0].seqs())
				want := all[0].text()
				for _, c := range all {
					assert.True(t, want == c.text(), "everybody gets the same")
					c.leave()
				}
				synctest.Wait()
				b.commit(1)
				assert.Empty(t, b.log.Taken(), "when all have left nothing is read again")
			})
		})
	}
}

// Subscribers who start in the past each read what came before the window, by
// pages, and no more.
func TestTailCatchUp(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(1200)
		first := b.follow("/messages/stream?after=100")
		synctest.Wait()
		assert.Len(t, b.log.Taken(), 3)
		b.commit(10)
		assert.Len(t, b.log.Taken(), 1)
		second := b.follow("/messages/stream?after=1205")
		third := b.follow("/messages/stream?after=1195")
		synctest.Wait()
		reads := b.log.Taken()
		require.Len(t, reads, 1, "the window has what the second one wants")
		assert.EqualValues(t, 1195, reads[0].After)
		b.commit(5)
		assert.Equal(t, sequence(101, 1215), first.seqs())
		assert.Equal(t, sequence(1206, 1215), second.seqs())
		assert.Equal(t, sequence(1196, 1215), third.seqs())
	})
}

// The seam, deterministically: at every moment of a catch-up something is
// committed, and at each the tail is made to read before or after.
func TestTailSeam(t *testing.T) {
	for commits := range 6 {
		for after := range 11 {
			t.Run(fmt.Sprintf("%d commits, after %d", commits, after), func(t *testing.T) {
				inBubble(t, func(b *bubble) {
					b.Tail.MaxEvents = 2
					b.start()
					b.commit(10)
					live := b.follow("/messages/stream")
					synctest.Wait()
					left := commits
					b.log.Reading = func(q app.Query) error {
						if left > 0 {
							left--
							b.sent++
							_, _ = b.log.Append([]app.Message{apptest.Numbered(b.sent)})
							b.Tail.Committed(int64(b.sent)) // which the tail reads at the same time
						}
						return nil
					}
					c := b.follow(fmt.Sprintf("/messages/stream?after=%d", after))
					synctest.Wait()
					b.log.Reading = nil
					b.commit(3)
					assert.Equal(t, sequence(int64(after)+1, int64(b.sent)), c.seqs())
					assert.Equal(t, sequence(11, int64(b.sent)), live.seqs())
				})
			})
		}
	}
}

// What the window was made of is not mixed with what it is made of anew.
func TestTailStartsAnewWhileReading(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		c := b.follow("/messages/stream")
		synctest.Wait()
		gate := make(chan struct{})
		b.log.Answering = func() { <-gate }
		b.commit(3) // the tail has read it and does not know yet
		c.leave()
		synctest.Wait()
		b.commit(4)
		late := b.follow("/messages/stream") // after 7
		synctest.Wait()
		close(gate)
		b.commit(2)
		assert.Equal(t, sequence(8, 9), late.seqs())
		var after []int64
		for _, q := range b.log.Taken() {
			after = append(after, q.After)
		}
		assert.Equal(t, []int64{0, 7}, after, "the window did not go back")
	})
}

// What a catch-up has found is sent while it goes on.
func TestTailCatchUpFlushes(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(1200)
		gate := make(chan struct{})
		b.log.Reading = func(q app.Query) error {
			if q.After > 0 {
				<-gate
			}
			return nil
		}
		c := b.follow("/messages/stream?after=0")
		synctest.Wait()
		assert.Equal(t, sequence(1, 500), c.seqs())
		close(gate)
		synctest.Wait()
		assert.Equal(t, sequence(1, 1200), c.seqs())
	})
}

func TestTailTriesAgain(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		c := b.follow("/messages/stream")
		synctest.Wait()
		var tries atomic.Int64
		b.log.Reading = func(app.Query) error {
			if tries.Add(1) <= 3 {
				return errors.New("disk on fire")
			}
			return nil
		}
		b.commit(1)
		b.commit(1)
		assert.EqualValues(t, 1, tries.Load(), "a commit does not make it try sooner")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		assert.EqualValues(t, 4, tries.Load())
		assert.Equal(t, sequence(1, 2), c.seqs())
	})
}

// Reading on where all has been pruned comes to an end.
func TestTailPruned(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(10)
		b.log.PruneAll()
		c := b.follow("/messages/stream?after=3")
		synctest.Wait()
		assert.Len(t, b.log.Taken(), 1)
		b.log.Reading = func(app.Query) error { b.log.PruneAll(); return nil }
		b.commit(1) // pruned before it is read
		b.log.Reading = nil
		b.commit(2)
		assert.Equal(t, sequence(12, 13), c.seqs())
	})
}

// A catch-up that fails ends the stream; the client comes again.
func TestTailCatchUpFails(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(5)
		b.log.Reading = func(app.Query) error { return errors.New("disk on fire") }
		c := b.follow("/messages/stream?after=3")
		synctest.Wait()
		assert.True(t, c.ended())
		assert.Empty(t, c.seqs())
		assert.NotContains(t, c.text(), "fire")
	})
}

// However many are behind, two read for themselves at a time.
func TestTailCatchUpsTakeTurns(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(5)
		gate := make(chan struct{})
		var inside, most int
		var mu sync.Mutex
		b.log.Reading = func(app.Query) error {
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
		var stay, leave []*client
		for range 10 {
			stay = append(stay, b.follow("/messages/stream?after=0"))
			leave = append(leave, b.follow("/messages/stream?after=0"))
		}
		synctest.Wait()
		assert.Equal(t, 2, inside)
		for _, c := range leave {
			c.leave()
		}
		synctest.Wait()
		assert.LessOrEqual(t, b.Tail.Stats().Subscribers, 12, "who leaves does not wait for its turn")
		close(gate)
		synctest.Wait()
		assert.Equal(t, 2, most)
		assert.Equal(t, 10, b.Tail.Stats().Subscribers)
		for _, c := range stay {
			assert.Equal(t, sequence(1, 5), c.seqs())
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
	inBubble(t, func(b *bubble) {
		b.start()
		all, some := b.follow("/messages/stream"), b.follow("/messages/stream?callsign=NOBODY")
		synctest.Wait()
		b.commit(2)
		var once sync.Once
		b.log.Reading = func(app.Query) error { once.Do(func() { b.log.PruneTo(5) }); return nil }
		b.commit(5) // 3 to 7, of which 6 and 7 are left when they are read
		const event = "id: memory.5\nevent: pruned\ndata: {\"oldest\":6}\n\n"
		assert.Equal(t, []int64{1, 2, 6, 7}, all.seqs())
		assert.Equal(t, 1, strings.Count(all.text(), event), all.text())
		assert.Less(t, strings.Index(all.text(), event), strings.Index(all.text(), "memory.6"))
		assert.Equal(t, beat+event, some.text(), "filters or not")
		once = sync.Once{}
		b.log.Reading = func(app.Query) error { once.Do(func() { b.log.PruneTo(9) }); return nil }
		b.commit(2) // nothing is left of them
		assert.Contains(t, all.text(), "id: memory.9\nevent: pruned\ndata: {\"oldest\":10}\n\n")
		b.commit(1)
		assert.Equal(t, []int64{1, 2, 6, 7, 10}, all.seqs())
		assert.Equal(t, 2, strings.Count(all.text(), "event: pruned"))
	})
}
