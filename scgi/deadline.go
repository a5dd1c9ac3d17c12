package scgi

import "time"

// Deadlines are about progress. The header has a total; after it each read and
// each write has IOTimeout anew, so that an event stream or a large download
// lives as long as it moves and a silent peer does not. Totals are the
// handler's, set through http.ResponseController: the earlier one counts.

const (
	defaultReadHeaderTimeout  = 10 * time.Second
	defaultIOTimeout          = 60 * time.Second
	defaultDrainHeaderTimeout = time.Second
)

// timeoutOr gives a timeout's meaning: zero is the default, a negative one
// none, which is zero here.
func timeoutOr(timeout, byDefault time.Duration) time.Duration {
	switch {
	case timeout == 0:
		return byDefault
	case timeout < 0:
		return 0
	}
	return timeout
}

// after is the deadline that a timeout means from now on; the zero Time, which
// is none, for no timeout.
func after(timeout time.Duration) time.Time {
	if timeout == 0 {
		return time.Time{}
	}
	return time.Now().Add(timeout)
}

// earlier is the one of two deadlines that counts; zero means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// startHeader gives a new connection the time to send its header.
func (c *conn) startHeader(timeout time.Duration) {
	c.headerBy = after(timeout)
	_ = c.rwc.SetReadDeadline(c.headerBy) // an error shows at the next read
}

// hurryHeader shortens that time, when the server is about to stop.
func (c *conn) hurryHeader(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.past {
		_ = c.rwc.SetReadDeadline(earlier(c.headerBy, after(timeout)))
	}
}

// hurryDrain does so for a connection that is answered and being drained, which
// could make every stop a forced one.
func (c *conn) hurryDrain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.lingerBy.IsZero() {
		c.lingerBy = earlier(c.lingerBy, after(maxDrainPause))
		_ = c.rwc.SetReadDeadline(c.lingerBy)
	}
}

// linger gives a connection that is answered the time to take its answer.
func (c *conn) linger(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lingerBy = after(timeout)
}

// armLinger gives it that much for the next read.
func (c *conn) armLinger(pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.rwc.SetReadDeadline(earlier(c.lingerBy, after(pause)))
}

// pastHeader ends the header's time.
func (c *conn) pastHeader() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past = true
}

// read reads what comes after the header.
func (c *conn) read(p []byte) (int, error) {
	if c.br.Buffered() == 0 {
		c.mu.Lock()
		by := earlier(after(timeoutOr(c.srv.IOTimeout, defaultIOTimeout)), c.readBy)
		_ = c.rwc.SetReadDeadline(by)
		c.mu.Unlock()
	}
	return c.br.Read(p)
}

// maxWrite is how much is written between two looks at the clock: little enough
// for a slow client to take in IOTimeout.
const maxWrite = 64 << 10

// write sends b as it is.
func (c *conn) write(b []byte) error {
	b = b[c.writeNow(b):]
	for len(b) > 0 {
		c.mu.Lock()
		by := earlier(after(timeoutOr(c.srv.IOTimeout, defaultIOTimeout)), c.writeBy)
		_ = c.rwc.SetWriteDeadline(by)
		c.mu.Unlock()
		n, err := c.rwc.Write(b[:min(len(b), maxWrite)])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// writeNow sends what can be sent without waiting, and so without a deadline
// unless the handler has set one; it returns how much that was. Why it was not
// all shows in a write proper.
func (c *conn) writeNow(b []byte) int {
	quick, ok := c.rwc.(quickConn)
	if !ok {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.writeBy.IsZero() {
		return 0
	}
	return quick.sendNow(b[:min(len(b), maxWrite)])
}

// setReadBy sets the handler's deadline for reading the body, a read that is
// going on included.
func (c *conn) setReadBy(by time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = by
	return c.rwc.SetReadDeadline(earlier(after(timeoutOr(c.srv.IOTimeout, defaultIOTimeout)), by))
}

// setWriteBy sets the handler's deadline for writing the answer, likewise.
func (c *conn) setWriteBy(by time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeBy = by
	return c.rwc.SetWriteDeadline(earlier(after(timeoutOr(c.srv.IOTimeout, defaultIOTimeout)), by))
}
