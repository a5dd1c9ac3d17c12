package web_test

import (
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

func TestStreamHeartbeat(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		begin := time.Now()
		c := b.follow("/messages/stream?callsign=NOBODY")
		synctest.Wait()
		assert.Equal(t, 200, c.status)
		time.Sleep(29 * time.Second)
		b.commit(1) // which is not for it
		time.Sleep(16 * time.Second)
		synctest.Wait()
		assert.Equal(t, strings.Repeat(beat, 4), c.text())
		var due []time.Time
		for n := range 4 { // the first at once
			due = append(due, begin.Add(time.Duration(n)*15*time.Second))
		}
		assert.Equal(t, due, c.times)
	})
}

// One that reads for long without finding anything for it sends heartbeats too.
func TestStreamHeartbeatWhileCatchingUp(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(5000)
		begin := time.Now()
		b.log.Reading = func(app.Query) error { time.Sleep(4 * time.Second); return nil }
		c := b.follow("/messages/stream?after=0&callsign=NOBODY")
		time.Sleep(16 * time.Second)
		synctest.Wait()
		assert.Equal(t, strings.Repeat(beat, 2), c.text())
		assert.Equal(t, []time.Time{begin, begin.Add(16 * time.Second)}, c.times, "the second after the page that was being read")
		time.Sleep(4 * time.Second) // the last page
	})
}

// A client that takes nothing holds nobody up, and when the window has moved
// past it, it is ended, though it does not read: else it would hold its page. It
// can resume.
func TestStreamSlow(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.Tail.MaxEvents = 10
		b.start()
		slow, tardy, prompt := b.follow("/messages/stream"), b.follow("/messages/stream"), b.follow("/messages/stream")
		synctest.Wait()
		slow.block()
		goOn := tardy.block()
		for range 11 { // one that waits is being written, ten stand in the window
			b.commit(1)
		}
		close(goOn)
		synctest.Wait()
		b.commit(1)
		assert.Equal(t, sequence(1, 12), tardy.seqs(), "it was just within the window")
		assert.Equal(t, sequence(1, 12), prompt.seqs())
		assert.True(t, slow.ended())
		assert.False(t, prompt.ended())
		assert.Equal(t, 2, b.Tail.Stats().Subscribers)
		again := b.follow("/messages/stream", "Last-Event-ID", "memory.1")
		synctest.Wait()
		b.commit(1)
		assert.Equal(t, sequence(2, 13), again.seqs())
	})
}

// The window is bounded in bytes too.
func TestStreamSlowBytes(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.Tail.MaxBytes = 1000 // some five events
		b.start()
		slow, prompt := b.follow("/messages/stream"), b.follow("/messages/stream")
		synctest.Wait()
		slow.block()
		for range 20 {
			b.commit(1)
		}
		assert.True(t, slow.ended())
		assert.Equal(t, sequence(1, 20), prompt.seqs())
		b.commit(100) // a page that is larger than the bound still gets to everybody
		assert.Equal(t, sequence(1, 120), prompt.seqs())
	})
}

// Draining ends streams without any time passing, whatever they are at.
func TestStreamDrain(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(10)
		idle, writing := b.follow("/messages/stream"), b.follow("/messages/stream")
		synctest.Wait()
		writing.block()
		b.commit(1)
		gate := make(chan struct{})
		b.log.Reading = func(app.Query) error { <-gate; return nil }
		var behind []*client
		for range 3 {
			behind = append(behind, b.follow("/messages/stream?after=0"))
		}
		synctest.Wait()

		begin := time.Now()
		b.Tail.Drain()
		synctest.Wait()
		assert.True(t, idle.ended())
		assert.True(t, writing.ended())
		assert.Equal(t, 2, b.Tail.Stats().Subscribers, "those who are in the midst of a read")
		close(gate)
		synctest.Wait()
		for _, c := range behind {
			assert.True(t, c.ended())
			assert.Empty(t, c.seqs())
		}
		late := b.follow("/messages/stream")
		synctest.Wait()
		assert.True(t, late.ended())
		assert.Equal(t, 200, late.status, "or a browser would not come again")
		assert.Equal(t, "text/event-stream", late.Header().Get("Content-Type"))
		assert.Equal(t, begin, time.Now())
		b.Tail.Drain() // once more does nothing
	})
}

func TestStreamTooMany(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.Tail.MaxSubscribers = 2
		b.start()
		first := b.follow("/messages/stream")
		b.follow("/messages/stream")
		synctest.Wait()
		third := b.follow("/messages/stream")
		synctest.Wait()
		assert.True(t, third.ended())
		assert.Equal(t, 503, third.status)
		assert.NotEmpty(t, third.Header().Get("Retry-After"))
		first.leave()
		synctest.Wait()
		fourth := b.follow("/messages/stream")
		synctest.Wait()
		assert.Equal(t, 200, fourth.status)
	})
}

// pipes is a listener of in-memory connections.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// A client that takes nothing for the server's IOTimeout is cut off then.
func TestStreamStalled(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.start()
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := &scgi.Server{Handler: scgi.StripMount("", b.Handler)}
		require.NoError(t, server.Start(l))
		ours, theirs := net.Pipe()
		l.conns <- theirs
		_, err := ours.Write(scgitest.Get("/messages/stream"))
		require.NoError(t, err)
		_, err = io.ReadAtLeast(ours, make([]byte, 4096), 1) // the header
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, b.Tail.Stats().Subscribers)

		begin := time.Now()
		b.commit(1)
		<-waitUntil(func() bool { return b.Tail.Stats().Subscribers == 0 })
		assert.Equal(t, 60*time.Second, time.Since(begin))
		require.NoError(t, server.Shutdown(b.t.Context()))
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
	inBubble(t, func(b *bubble) {
		b.start()
		b.commit(1)
		c := &beginning{client: newClient(), drain: b.Tail.Drain}
		b.ServeHTTP(c, httptest.NewRequestWithContext(b.t.Context(), "GET", "/messages/stream?after=0", nil))
		assert.Equal(t, 200, c.status)
		assert.Equal(t, beat, c.text(), "and no event")
		select {
		case <-c.due:
			assert.Fail(t, "the header was cut")
		default:
		}
	})
}

// beginning is a client of a server that begins to drain when it is to send the
// header.
type beginning struct {
	*client
	drain func()
}

func (c *beginning) FlushError() error {
	c.drain()
	return c.client.FlushError()
}
