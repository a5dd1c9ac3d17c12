package web_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
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

// client is one in a bubble, who takes what the handler writes.
type client struct {
	header http.Header
	leave  context.CancelFunc
	done   chan struct{} // closed when the handler has returned

	mu      sync.Mutex // guards what follows
	status  int
	held    bytes.Buffer // written and not flushed
	got     bytes.Buffer
	times   []time.Time   // of each flush that brought something
	blocked chan struct{} // what writing waits for, nil for nothing
	due     chan struct{} // closed when the deadline for writing is over
}

// follow opens a stream. The handler runs when the test waits.
func (b *bubble) follow(url string, fields ...string) *client {
	r := httptest.NewRequest("GET", url, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	c := &client{header: http.Header{}, leave: cancel, done: make(chan struct{}), due: make(chan struct{})}
	go func() {
		defer close(c.done)
		b.ServeHTTP(c, r.WithContext(ctx))
	}()
	return c
}

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(status int) { c.status = status }

func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	blocked := c.blocked
	c.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-c.due:
			return 0, context.DeadlineExceeded
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held.Write(p)
}

func (c *client) FlushError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held.Len() > 0 {
		c.times = append(c.times, time.Now())
	}
	_, err := c.held.WriteTo(&c.got)
	return err
}

// SetWriteDeadline is called once, when it is over.
func (c *client) SetWriteDeadline(time.Time) error { close(c.due); return nil }

func (c *client) block() chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = make(chan struct{})
	return c.blocked
}

func (c *client) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.String()
}

func (c *client) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

var eventID = regexp.MustCompile(`(?m)^id: memory\.(\d+)\nevent: message\ndata: \{"seq":(\d+),.*\}\n$`)

// seqs returns those of the events that the client got.
func (c *client) seqs() (seqs []int64) {
	for _, match := range eventID.FindAllStringSubmatch(c.text(), -1) {
		seq, _ := strconv.ParseInt(match[1], 10, 64)
		if match[1] == match[2] {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

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
		assert.Equal(t, "text/event-stream", late.header.Get("Content-Type"))
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
		assert.NotEmpty(t, third.header.Get("Retry-After"))
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
		c := &beginning{client: client{header: http.Header{}, due: make(chan struct{})}, drain: b.Tail.Drain}
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
	client
	drain func()
}

func (c *beginning) FlushError() error {
	c.drain()
	return c.client.FlushError()
}
