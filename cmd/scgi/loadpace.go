package main

import (
	"sync/atomic"
	"time"
)

// pace says when the requests of a load begin. Times are since the load began.
//
// A closed loop (rate 0) begins one as soon as a connection is free. An open loop
// begins them by the clock, and each has its moment whether or not a connection
// is free then: its latency counts from that moment, so a server that stalls is
// charged with all whom it would have kept waiting (no coordinated omission).
type pace struct {
	requests int64         // so many in all; 0 is no bound
	duration time.Duration // none begins after that; 0 is no bound
	rate     float64       // a second; 0 is a closed loop

	taken atomic.Int64
}

// next takes the next request: when it is to begin, and whether there is one.
func (p *pace) next(now time.Duration) (due time.Duration, ok bool) {
	if p.over(now) {
		return 0, false
	}
	n := p.taken.Add(1) - 1
	if p.requests > 0 && n >= p.requests {
		return 0, false
	}
	if p.rate == 0 {
		return now, true
	}
	due = time.Duration(float64(n) / p.rate * float64(time.Second))
	return due, p.duration == 0 || due < p.duration
}

// lateness is how long after the end a request may begin that was due before it:
// this process may not have had a processor at that moment.
const lateness = 100 * time.Millisecond

// over reports whether no further request begins.
func (p *pace) over(now time.Duration) bool {
	end := p.duration
	if p.rate > 0 {
		end += lateness
	}
	return p.duration > 0 && now >= end
}

// intended is how many requests were to begin by the clock, at least.
func (p *pace) intended() int64 {
	if p.duration == 0 {
		return p.requests
	}
	n := int64(p.rate * p.duration.Seconds())
	if p.requests > 0 {
		n = min(n, p.requests)
	}
	return n
}
