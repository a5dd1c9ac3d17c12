package admission

import (
	"io"
	"net/http"
	"time"
)

// A body has 30 s to begin with. After that it must have come at 1 KiB/s on
// average. One of up to 64 KiB has 15 minutes instead: a slow modem may take
// that long, and so little does no harm.
const (
	paceGrace  = 30 * time.Second
	paceRate   = 1 << 10 // bytes a second
	smallBody  = 64 << 10
	smallGrace = 15 * time.Minute
)

// Paced returns the body of a request, whose Read fails with an error that
// matches os.ErrDeadlineExceeded once the body comes too slowly: by the rule
// above, or by the server's own timeout when nothing comes at all.
//
// The rule is kept by read deadlines of w. A ResponseWriter without them, as
// httptest.ResponseRecorder is, has no such rule.
func Paced(w http.ResponseWriter, r *http.Request) io.Reader {
	control := http.NewResponseController(w)
	if 0 <= r.ContentLength && r.ContentLength <= smallBody {
		_ = control.SetReadDeadline(time.Now().Add(smallGrace)) // see above for a server without deadlines
		return r.Body
	}
	p := &paced{body: r.Body, control: control, start: time.Now()}
	p.setDeadline(paceGrace)
	return p
}

// paced is a body that is not small.
type paced struct {
	body    io.Reader
	control *http.ResponseController
	start   time.Time
	read    int64
}

// Read implements io.Reader.
func (p *paced) Read(b []byte) (int, error) {
	n, err := p.body.Read(b)
	p.read += int64(n)
	if earned := earnedBy(p.read); err == nil && earned > paceGrace {
		p.setDeadline(earned)
	}
	return n, err
}

// earnedBy is the time that n bytes may take.
func earnedBy(n int64) time.Duration {
	return time.Duration(n/paceRate)*time.Second + time.Duration(n%paceRate)*time.Second/paceRate // in two parts: no overflow
}

// setDeadline lets the body take d since its start.
func (p *paced) setDeadline(d time.Duration) {
	_ = p.control.SetReadDeadline(p.start.Add(d)) // as in Paced
}
