package web_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"time"
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

// newClient returns a client whose header and deadline are ready for a handler.
func newClient() *client {
	return &client{header: http.Header{}, due: make(chan struct{})}
}

// follow opens a stream. The handler runs when the test waits.
func (b *bubble) follow(url string, fields ...string) *client {
	r := httptest.NewRequest("GET", url, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	c := newClient()
	c.leave, c.done = cancel, make(chan struct{})
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

// beat is the comment that a stream sends now and then, and first of all.
const beat = ": heartbeat\n\n"
