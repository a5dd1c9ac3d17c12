package scgitest

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowdPause is how long a client waits after a request that was not answered: the
// listener is gone, or no port is left. The clients would take all of the CPU.
const crowdPause = 10 * time.Millisecond

// Crowd is clients each of which sends one request after the other, from Start
// until Leave. Its fields must be set before Start.
type Crowd struct {
	Network, Address string // of the server, for net.Dial
	Clients          int
	// Request is what client i sends again and again.
	Request func(i int) []byte
	// Answer is how an answer begins that counts.
	Answer string
	// Answers is how many of them close the channel of Start.
	Answers int64

	answers atomic.Int64
	enough  chan struct{} // closed after Answers
	over    chan struct{} // closed by Leave
	all     sync.WaitGroup
}

// Start starts the clients. The channel is closed after a number of Answers. The
// caller ends the clients by Leave.
func (c *Crowd) Start() <-chan struct{} {
	c.enough, c.over = make(chan struct{}), make(chan struct{})
	for i := range c.Clients {
		c.all.Go(func() { c.send(c.Request(i)) })
	}
	return c.enough
}

// Leave ends the clients and returns when they have ended.
func (c *Crowd) Leave() {
	close(c.over)
	c.all.Wait()
}

func (c *Crowd) send(request []byte) {
	for !c.isOver(0) {
		if !c.ask(request) {
			c.isOver(crowdPause)
		} else if c.answers.Add(1) == c.Answers {
			close(c.enough)
		}
	}
}

// isOver waits for Leave for a time, and reports whether it was called.
func (c *Crowd) isOver(d time.Duration) bool {
	select {
	case <-c.over:
		return true
	case <-time.After(d):
		return false
	}
}

// ask reports whether a request was answered as it should be.
func (c *Crowd) ask(request []byte) bool {
	conn, err := net.Dial(c.Network, c.Address)
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return false
	}
	answer, err := io.ReadAll(conn)
	return err == nil && strings.HasPrefix(string(answer), c.Answer)
}
