package scgi

import "time"

// Bounds on what is read after an answer that came before the request's end. A
// stop leaves it no more than maxDrainPause.
const (
	maxDrainBytes = 1 << 30
	maxDrainTime  = 30 * time.Second
	maxDrainPause = 5 * time.Second
)

// drain lets a front end take an answer that came before it had sent the whole
// request. Closing with bytes unread would reset the connection, and nginx
// makes a 502 of that, Apache a 503. So: the answer has a Content-Length, our
// half is closed, and what still comes is read and thrown away until the front
// end closes too, within bounds.
func (c *conn) drain() {
	half, ok := c.rwc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	c.linger(maxDrainTime)
	if c.srv.isDraining() {
		c.hurryDrain()
	}
	for taken := 0; taken < maxDrainBytes; {
		c.armLinger(maxDrainPause)
		n, err := c.rwc.Read(buf[:])
		if err != nil {
			return // io.EOF, or a peer that has what it wants
		}
		taken += n
	}
}
