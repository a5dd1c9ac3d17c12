package main

import (
	"fmt"
	"os"
	"time"
)

// progress shows on a terminal how far something is, on one line that is
// written anew; in a pipe it is silent.
type progress struct {
	out   *os.File // nil when there is no terminal
	last  time.Time
	shown bool
}

func newProgress(out *os.File) *progress {
	if !isTerminal(out) {
		out = nil
	}
	return &progress{out: out}
}

// show shows the text, but not more often than an eye can follow.
func (p *progress) show(text func() string) {
	if p.out == nil || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.out, "\r\x1b[K%s", text())
}

// count shows how far something is of a total. That may be zero, where nobody
// knows: then it is shown whenever, since it may be long until the next time.
func (p *progress) count(doing string, done, total int64) {
	if total <= 0 {
		p.last = time.Time{}
	}
	p.show(func() string {
		if total <= 0 {
			return doing
		}
		return fmt.Sprintf("%s: %d of %d", doing, done, total)
	})
}

// end takes the line away, for something else to be written.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
