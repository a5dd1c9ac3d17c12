package web_test

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/web/webtest"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

func TestStreamHeartbeat(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		begin := time.Now()
		c := b.Follow("/messages/stream?callsign=NOBODY")
		synctest.Wait()
		assert.Equal(t, 200, c.Status)
		time.Sleep(29 * time.Second)
		b.Commit(1) // which is not for it
		time.Sleep(16 * time.Second)
		synctest.Wait()
		assert.Equal(t, strings.Repeat(webtest.Beat, 4), c.Text())
		var due []time.Time
		for n := range 4 { // the first at once
			due = append(due, begin.Add(time.Duration(n)*15*time.Second))
		}
		assert.Equal(t, due, c.Times)
	})
}

// One that reads for long without finding anything for it sends heartbeats too.
func TestStreamHeartbeatWhileCatchingUp(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(5000)
		begin := time.Now()
		b.Store.Reading = func(app.Query) error { time.Sleep(4 * time.Second); return nil }
		c := b.Follow("/messages/stream?after=0&callsign=NOBODY")
		time.Sleep(16 * time.Second)
		synctest.Wait()
		assert.Equal(t, strings.Repeat(webtest.Beat, 2), c.Text())
		assert.Equal(t, []time.Time{begin, begin.Add(16 * time.Second)}, c.Times, "the second after the page that was being read")
		time.Sleep(4 * time.Second) // the last page
	})
}

// A client that takes nothing holds nobody up, and when the window has moved
// past it, it is ended, though it does not read: else it would hold its page. It
// can resume.
func TestStreamSlow(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Tail.MaxEvents = 10
		b.Start()
		slow, tardy, prompt := b.Follow("/messages/stream"), b.Follow("/messages/stream"), b.Follow("/messages/stream")
		synctest.Wait()
		slow.Block()
		goOn := tardy.Block()
		for range 11 { // one that waits is being written, ten stand in the window
			b.Commit(1)
		}
		close(goOn)
		synctest.Wait()
		b.Commit(1)
		assert.Equal(t, webtest.Sequence(1, 12), tardy.Seqs(), "it was just within the window")
		assert.Equal(t, webtest.Sequence(1, 12), prompt.Seqs())
		assert.True(t, slow.Ended())
		assert.False(t, prompt.Ended())
		assert.Equal(t, 2, b.Tail.Stats().Subscribers)
		again := b.Follow("/messages/stream", "Last-Event-ID", "memory.1")
		synctest.Wait()
		b.Commit(1)
		assert.Equal(t, webtest.Sequence(2, 13), again.Seqs())
	})
}

// The window is bounded in bytes too.
func TestStreamSlowBytes(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Tail.MaxBytes = 1000 // some five events
		b.Start()
		slow, prompt := b.Follow("/messages/stream"), b.Follow("/messages/stream")
		synctest.Wait()
		slow.Block()
		for range 20 {
			b.Commit(1)
		}
		assert.True(t, slow.Ended())
		assert.Equal(t, webtest.Sequence(1, 20), prompt.Seqs())
		b.Commit(100) // a page that is larger than the bound still gets to everybody
		assert.Equal(t, webtest.Sequence(1, 120), prompt.Seqs())
	})
}

// Draining ends streams without any time passing, whatever they are at.
func TestStreamDrain(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(10)
		idle, writing := b.Follow("/messages/stream"), b.Follow("/messages/stream")
		synctest.Wait()
		writing.Block()
		b.Commit(1)
		gate := make(chan struct{})
		b.Store.Reading = func(app.Query) error { <-gate; return nil }
		var behind []*webtest.Client
		for range 3 {
			behind = append(behind, b.Follow("/messages/stream?after=0"))
		}
		synctest.Wait()

		begin := time.Now()
		b.Tail.Drain()
		synctest.Wait()
		assert.True(t, idle.Ended())
		assert.True(t, writing.Ended())
		assert.Equal(t, 2, b.Tail.Stats().Subscribers, "those who are in the midst of a read")
		close(gate)
		synctest.Wait()
		for _, c := range behind {
			assert.True(t, c.Ended())
			assert.Empty(t, c.Seqs())
		}
		late := b.Follow("/messages/stream")
		synctest.Wait()
		assert.True(t, late.Ended())
		assert.Equal(t, 200, late.Status, "or a browser would not come again")
		assert.Equal(t, "text/event-stream", late.Header().Get("Content-Type"))
		assert.Equal(t, begin, time.Now())
		b.Tail.Drain() // once more does nothing
	})
}

func TestStreamTooMany(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Tail.MaxSubscribers = 2
		b.Start()
		first := b.Follow("/messages/stream")
		b.Follow("/messages/stream")
		synctest.Wait()
		third := b.Follow("/messages/stream")
		synctest.Wait()
		assert.True(t, third.Ended())
		assert.Equal(t, 503, third.Status)
		assert.NotEmpty(t, third.Header().Get("Retry-After"))
		first.Leave()
		synctest.Wait()
		fourth := b.Follow("/messages/stream")
		synctest.Wait()
		assert.Equal(t, 200, fourth.Status)
	})
}

// A client that takes nothing for the server's IOTimeout is cut off then.
func TestStreamStalled(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		l := scgitest.NewPipe()
		server := &scgi.Server{Handler: scgi.StripMount("", b.Handler)}
		require.NoError(t, server.Start(l))
		ours, err := l.Dial()
		require.NoError(t, err)
		_, err = ours.Write(scgitest.Get("/messages/stream"))
		require.NoError(t, err)
		_, err = io.ReadAtLeast(ours, make([]byte, 4096), 1) // the header
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, b.Tail.Stats().Subscribers)

		begin := time.Now()
		b.Commit(1)
		<-waitUntil(func() bool { return b.Tail.Stats().Subscribers == 0 })
		assert.Equal(t, 60*time.Second, time.Since(begin))
		require.NoError(t, server.Shutdown(b.T.Context()))
	})
}

// waitUntil returns a channel that is closed in the second in which a condition
// has come true.
func waitUntil(condition func() bool) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for synctest.Wait(); !condition(); synctest.Wait() {
			time.Sleep(time.Second)
		}
	}()
	return done
}

// A drain that comes while a stream begins leaves it its header and first comment.
func TestStreamDrainAtItsBeginning(t *testing.T) {
	webtest.InBubble(t, func(b *webtest.Bubble) {
		b.Start()
		b.Commit(1)
		c := &beginning{Client: webtest.NewClient(), drain: b.Tail.Drain}
		b.ServeHTTP(c, httptest.NewRequestWithContext(b.T.Context(), "GET", "/messages/stream?after=0", nil))
		assert.Equal(t, 200, c.Status)
		assert.Equal(t, webtest.Beat, c.Text(), "and no event")
		select {
		case <-c.Due:
			assert.Fail(t, "the header was cut")
		default:
		}
	})
}

// beginning is a client of a server that begins to drain when it is to send the
// header.
type beginning struct {
	*webtest.Client
	drain func()
}

func (c *beginning) FlushError() error {
	c.drain()
	return c.Client.FlushError()
}
