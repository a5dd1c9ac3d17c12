// Package terminal is what the commands write for whoever started them: a log,
// and a line of progress. Both look at where they go, and say less in a pipe.
package terminal

import (
	"fmt"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// Progress shows on a terminal how far something is, on one line that is
// written anew; in a pipe it is silent.
type Progress struct {
	out   *os.File // nil when there is no terminal
	last  time.Time
	shown bool
}

// NewProgress makes a Progress that writes to out.
func NewProgress(out *os.File) *Progress {
	if !is(out) {
		out = nil
	}
	return &Progress{out: out}
}

// Show shows the text, but not more often than an eye can follow.
func (p *Progress) Show(text func() string) {
	if p.out == nil || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.out, "\r\x1b[K%s", text())
}

// Count shows how far something is of a total. That may be zero, where nobody
// knows: then it is shown whenever, since it may be long until the next time.
func (p *Progress) Count(doing string, done, total int64) {
	if total <= 0 {
		p.last = time.Time{}
	}
	p.Show(func() string {
		if total <= 0 {
			return doing
		}
		return fmt.Sprintf("%s: %d of %d", doing, done, total)
	})
}

// End takes the line away, for something else to be written.
func (p *Progress) End() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}

func is(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }
