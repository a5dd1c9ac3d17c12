package admission

import (
	"bytes"
	"io"
	"sync/atomic"
)

// Free is how many bytes each request may hold without a Budget counting them:
// enough for a message or two. So a small request is taken even when the Budget is
// used up.
const Free = 16 << 10

// errBudget is the error of a request for which a Budget has no bytes left.
var errBudget = &Refused{"The server holds as many bytes for others as it may; try again later."}

// Budget bounds the bytes that all requests together hold in memory at a time:
// bodies that are being received and answers that are being sent. It is safe for
// concurrent use and must not be copied. A nil *Budget has no bound.
type Budget struct {
	// Bytes is the bound. Zero means that each request has its Free bytes only.
	Bytes int64

	used atomic.Int64
}

// Used returns how many bytes are held now, without those that are free.
func (b *Budget) Used() int64 { return b.used.Load() }

// Share returns the share of a request that holds nothing yet.
func (b *Budget) Share() *Share { return &Share{budget: b} }

// take counts n more bytes and reports whether they are within the bound. It
// never waits.
func (b *Budget) take(n int64) bool {
	if b == nil {
		return true
	}
	for used := b.used.Load(); n <= b.Bytes-used; used = b.used.Load() {
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
	return false // and it was never counted, which would refuse others
}

func (b *Budget) give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

// Share is what one request holds of a Budget. It is for one goroutine at a time.
type Share struct {
	budget *Budget
	held   int64
}

// Hold makes n the number of bytes that the request holds. When they are more
// than before and the Budget has not got them, it returns a *Refused and the
// Share stays as it was.
func (s *Share) Hold(n int64) error {
	more := max(n, Free) - max(s.held, Free)
	switch {
	case more > 0 && !s.budget.take(more):
		return errBudget
	case more < 0:
		s.budget.give(-more)
	}
	s.held = n
	return nil
}

// Held returns the number of bytes that the request holds.
func (s *Share) Held() int64 { return s.held }

// Release gives everything back. The Share may be used again.
func (s *Share) Release() { _ = s.Hold(0) } // less is never refused

// ReadAll reads r to its end, as io.ReadAll does, and holds what it takes on top
// of what the request holds already. expected is how many bytes are likely to
// come, or less than zero when that is not known. It is a hint: memory is taken
// for what has come, at most twice that, and not for what was announced.
//
// With an error it returns what it read before; nothing when the error is a
// *Refused.
func (s *Share) ReadAll(r io.Reader, expected int64) ([]byte, error) {
	var buf []byte
	for before := s.held; ; {
		if len(buf) == cap(buf) {
			size := roomFor(int64(len(buf)), expected)
			if err := s.Hold(before + size); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, size), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// roomFor returns how much memory to take when n bytes of a body have come: twice as
// much, but not more than is expected. The MinRead bytes are for a last Read, with
// which many readers report the end.
func roomFor(n, expected int64) int64 {
	const first = 8 << 10
	size := max(2*n, first)
	if expected >= n {
		size = min(size, expected+bytes.MinRead)
	}
	return size
}
