package scgi

import (
	"io"
	"net/http"
	"sync"
)

// body is a request's body: exactly CONTENT_LENGTH bytes, read from the
// connection as the handler asks for them.
type body struct {
	c *conn

	mu        sync.Mutex // guards what follows; a handler may close while it reads
	remaining int64      // bytes that the front end still owes
	err       error      // what the last read ended with, for good
}

var _ io.ReadCloser = (*body)(nil)

// Read gives io.ErrUnexpectedEOF when the front end closes before the end: a
// body cut off is never taken for a whole one.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.remaining == 0 {
		return 0, io.EOF
	}
	n, err := b.c.read(p[:min(int64(len(p)), b.remaining)])
	b.remaining -= int64(n)
	switch {
	case b.remaining == 0:
		err = io.EOF
	case err != nil:
		err = unexpected(err)
	}
	b.err = err
	return n, err
}

// Close makes later reads fail, as net/http does. What was not read is drained
// after the answer, not here.
func (b *body) Close() error {
	b.end()
	return nil
}

// end closes the body and returns how many bytes the front end may still be
// trying to send. A read that the handler left behind is woken first.
func (b *body) end() (unread int64) {
	if b.c == nil {
		return 0 // there is no body
	}
	if !b.mu.TryLock() {
		_ = b.c.setReadBy(aLongTimeAgo) // at worst the read ends by IOTimeout
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.err = http.ErrBodyReadAfterClose
	return b.remaining
}
