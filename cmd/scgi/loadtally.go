package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// tally is what became of the requests of one worker. It belongs to that worker
// until that has ended, but for live.
type tally struct {
	latency  histogram // of those that were answered, whatever the status
	statuses map[int]int64
	failures map[string]*failure
	bytes    int64

	// live is how many requests have ended so far, for everybody to see.
	live atomic.Int64
}

// failure is a kind of error: how often, and the first one.
type failure struct {
	count int64
	first error
}

func newTally() *tally {
	return &tally{statuses: map[int]int64{}, failures: map[string]*failure{}}
}

// answered counts a request that was answered.
func (t *tally) answered(status int, latency time.Duration) {
	t.latency.record(latency)
	t.statuses[status]++
	t.live.Add(1)
}

// ended counts a request of which the answer has ended, by err if that is not
// nil. A server that leaves much of a request unread ends with a reset: that
// counts only where it may have cut the answer short, which on a unix socket it
// cannot.
func (t *tally) ended(j *judge, a *answer, err error, latency time.Duration) {
	t.bytes += a.size()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.failed(err)
		return
	}
	status, whole, judged := j.of(a)
	switch {
	case err != nil && (judged != nil || !whole && !j.unix):
		t.failed(err)
	case judged != nil:
		t.failed(judged)
	default:
		t.answered(status, latency)
	}
}

// failed counts a request that was not.
func (t *tally) failed(err error) {
	kind := kindOf(err)
	if t.failures[kind] == nil {
		t.failures[kind] = &failure{first: err}
	}
	t.failures[kind].count++
	t.live.Add(1)
}

// add counts what another worker has counted.
func (t *tally) add(other *tally) {
	t.latency.add(&other.latency)
	t.bytes += other.bytes
	for status, n := range other.statuses {
		t.statuses[status] += n
	}
	for kind, f := range other.failures {
		if t.failures[kind] == nil {
			t.failures[kind] = &failure{first: f.first}
		}
		t.failures[kind].count += f.count
	}
	t.live.Add(other.live.Load())
}

// errShort is an answer that ended before its Content-Length, or its header.
var errShort = errors.New("the answer ended early")

// dialError is one of making the connection.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// kindOf sorts an error into those that are reported: "dial", "timeout", "reset",
// "short", "malformed" and "other".
func kindOf(err error) string {
	var netErr net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	case errors.As(err, new(dialError)):
		return "dial"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, errShort), errors.Is(err, io.ErrUnexpectedEOF):
		return "short"
	case errors.As(err, new(syscall.Errno)):
		return "other"
	}
	return "malformed"
}
