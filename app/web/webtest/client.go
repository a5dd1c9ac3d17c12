package webtest

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

// Client is a client in a bubble. It takes what the handler writes.
type Client struct {
	header http.Header
	Leave  context.CancelFunc
	Done   chan struct{} // closed when the handler has returned

	mu      sync.Mutex // guards what follows
	Status  int
	held    bytes.Buffer // written and not flushed
	got     bytes.Buffer
	Times   []time.Time   // of each flush that brought something
	blocked chan struct{} // what writing waits for, nil for nothing
	Due     chan struct{} // closed when the deadline for writing is over
}

// NewClient returns a client whose header and deadline are ready for a handler.
func NewClient() *Client {
	return &Client{header: http.Header{}, Due: make(chan struct{})}
}

// Follow opens a stream. The handler runs when the test waits.
func (b *Bubble) Follow(url string, fields ...string) *Client {
	r := httptest.NewRequest("GET", url, nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	ctx, cancel := context.WithCancel(b.T.Context())
	c := NewClient()
	c.Leave, c.Done = cancel, make(chan struct{})
	go func() {
		defer close(c.Done)
		b.ServeHTTP(c, r.WithContext(ctx))
	}()
	return c
}

// Header implements http.ResponseWriter.
func (c *Client) Header() http.Header { return c.header }

// WriteHeader implements http.ResponseWriter.
func (c *Client) WriteHeader(status int) { c.Status = status }

// Write keeps p until FlushError. When the client is blocked it waits first.
func (c *Client) Write(p []byte) (int, error) {
	c.mu.Lock()
	blocked := c.blocked
	c.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-c.Due:
			return 0, context.DeadlineExceeded
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held.Write(p)
}

// FlushError is for http.ResponseController.
func (c *Client) FlushError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held.Len() > 0 {
		c.Times = append(c.Times, time.Now())
	}
	_, err := c.held.WriteTo(&c.got)
	return err
}

// SetWriteDeadline is called once, when it is over.
func (c *Client) SetWriteDeadline(time.Time) error { close(c.Due); return nil }

// Block lets every Write wait until the channel is closed.
func (c *Client) Block() chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = make(chan struct{})
	return c.blocked
}

// Text returns what the client got.
func (c *Client) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.String()
}

// Ended reports whether the handler has returned.
func (c *Client) Ended() bool {
	select {
	case <-c.Done:
		return true
	default:
		return false
	}
}

var eventID = regexp.MustCompile(`(?m)^id: memory\.(\d+)\nevent: message\ndata: \{"seq":(\d+),.*\}\n$`)

// Seqs returns the seqs of the events that the client got.
func (c *Client) Seqs() (seqs []int64) {
	for _, match := range eventID.FindAllStringSubmatch(c.Text(), -1) {
		seq, _ := strconv.ParseInt(match[1], 10, 64)
		if match[1] == match[2] {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

// Beat is the comment that a stream sends now and then, and first of all.
const Beat = ": heartbeat\n\n"
