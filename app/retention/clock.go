package retention

import (
	"math"
	"time"
)

// steadyFor is how long the clock must have gone on undisturbed before anything
// is thrown away by it.
var steadyFor = steadyTime()

// steadyText is that as text, and 1h it stays. It is a variable for one reason
// only, that the tests of retention can link a binary with
//
//	-ldflags "-X github.com/windsock-scgi/windsock/app/retention.steadyText=0s"
//
// and need not wait. Nothing sets it at run time.
var steadyText = "1h"

func steadyTime() time.Duration {
	d, err := time.ParseDuration(steadyText)
	if err != nil {
		return math.MaxInt64 // it was linked wrongly: nothing is thrown away
	}
	return d
}

// clockSet is from what difference on the clock was set, and not only corrected.
const clockSet = time.Minute

// steadyClock is a wall clock that is not believed at once. A machine without a
// battery for its clock starts in the wrong year, and a mistyped date is a year
// of messages that have become too old. Both are seen where the clock moves
// against the monotonic one, and mostly do not last.
type steadyClock struct {
	wall   func() time.Time
	begin  time.Time     // by the monotonic clock, when it was first looked at
	offset time.Duration // of the wall clock to begin when it was looked at last
	since  time.Duration // how long after begin it was started or set last
}

// look returns the time and how long the clock has been steady. set is by how
// much it was set since the last look, mostly zero.
func (c *steadyClock) look() (now time.Time, steady, set time.Duration) {
	now = c.wall().Round(0) // without the monotonic clock's reading
	if c.begin.IsZero() {
		c.begin = time.Now()
		c.offset = now.Sub(c.begin.Round(0))
		return now, 0, 0
	}
	passed := time.Since(c.begin)
	offset := now.Sub(c.begin.Round(0)) - passed
	if moved := offset - c.offset; moved.Abs() >= clockSet {
		set, c.since = moved, passed
	}
	c.offset = offset
	return now, passed - c.since, set
}
