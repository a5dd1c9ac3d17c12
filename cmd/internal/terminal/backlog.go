package terminal

import (
	"io"
	"sync"
	"sync/atomic"
)

// backlog holds lines for a writer that may be slow, or stuck. Whoever writes to
// it never waits: what does not fit is dropped, and counted.
type backlog struct {
	out     io.Writer
	lines   chan *[]byte
	dropped atomic.Int64
	stop    chan struct{}
	ended   chan struct{}
}

// newBacklog makes a backlog of so many lines. tell is called with how many were
// dropped, once there is room again.
func newBacklog(out io.Writer, size int, tell func(dropped int64)) *backlog {
	b := &backlog{out: out, lines: make(chan *[]byte, size), stop: make(chan struct{}), ended: make(chan struct{})}
	go b.run(tell)
	return b
}

var linePool = sync.Pool{New: func() any { return new([]byte) }}

// Write implements io.Writer, a line each. It never fails.
func (b *backlog) Write(p []byte) (int, error) {
	line := linePool.Get().(*[]byte)
	*line = append((*line)[:0], p...)
	select {
	case b.lines <- line:
	default:
		b.dropped.Add(1)
	}
	return len(p), nil
}

func (b *backlog) run(tell func(dropped int64)) {
	defer close(b.ended)
	for stopping := false; ; {
		select {
		case line := <-b.lines:
			b.write(line)
			if n := b.dropped.Swap(0); n > 0 {
				tell(n)
			}
			continue
		default:
		}
		if stopping {
			return
		}
		select {
		case line := <-b.lines:
			b.write(line)
		case <-b.stop:
			stopping = true // and what is left is written
		}
	}
}

// write writes a line. A log that fails has nobody to be told.
func (b *backlog) write(line *[]byte) {
	_, _ = b.out.Write(*line)
	const usual = 4 << 10
	if cap(*line) <= usual {
		linePool.Put(line)
	}
}

// close writes what is left, and waits for that. It may be called once; what is
// written later is lost.
func (b *backlog) close() {
	close(b.stop)
	<-b.ended
}
