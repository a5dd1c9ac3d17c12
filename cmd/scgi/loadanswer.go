package main

import (
	"bufio"
	"bytes"
	"net/http"

	"github.com/windsock-scgi/windsock/scgi"
)

// answer follows one answer while it comes in: its header is kept until it is
// whole, of its body only the length.
type answer struct {
	head  []byte // the header with its empty line
	whole bool   // head is
	body  int64
}

// maxHead is more than any header that [scgi.ReadResponse] takes.
const maxHead = 80 << 10

func (a *answer) reset() { *a = answer{head: a.head[:0]} }

// feed takes what has come.
func (a *answer) feed(p []byte) {
	if a.whole {
		a.body += int64(len(p))
		return
	}
	from := max(len(a.head)-2, 0) // the empty line may have begun
	had := len(a.head)
	a.head = append(a.head, p[:min(len(p), maxHead-had)]...)
	end := headEnd(a.head[from:])
	if end < 0 {
		a.whole = len(a.head) == maxHead // and malformed
		return
	}
	a.whole = true
	a.head = a.head[:from+end]
	a.body = int64(len(p) - (len(a.head) - had))
}

// size is how many bytes came.
func (a *answer) size() int64 { return int64(len(a.head)) + a.body }

// headEnd is where the body begins, or -1.
func headEnd(p []byte) int {
	for i := 0; ; i++ {
		newline := bytes.IndexByte(p[i:], '\n')
		if newline < 0 {
			return -1
		}
		i += newline
		rest := p[i+1:]
		if len(rest) > 0 && rest[0] == '\r' {
			rest = rest[1:]
		}
		if len(rest) > 0 && rest[0] == '\n' {
			return len(p) - len(rest) + 1
		}
	}
}

// judge says what answers are. One header is mostly the same as the last: so
// that is compared, and parsed only when it differs.
type judge struct {
	method string
	unix   bool // the answers come from a unix socket

	known  []byte // the header that is judged here:
	status int
	length int64 // of the body; -1 when it is not known
	err    error

	parsed bytes.Reader
	buffer *bufio.Reader
}

func (l *load) newJudge() *judge {
	return &judge{method: l.method, unix: l.network == "unix", buffer: bufio.NewReaderSize(nil, 4<<10)}
}

// of judges an answer that has ended: its status and whether it is known to be
// whole, or why it is none.
func (j *judge) of(a *answer) (status int, whole bool, err error) {
	if len(j.known) == 0 || !bytes.Equal(a.head, j.known) {
		j.parse(a.head)
	}
	switch {
	case j.err != nil:
		return 0, false, j.err
	case a.body < j.length:
		return 0, false, errShort
	}
	return j.status, j.length >= 0, nil
}

func (j *judge) parse(head []byte) {
	j.known = append(j.known[:0], head...)
	j.parsed.Reset(j.known)
	j.buffer.Reset(&j.parsed)
	var resp *http.Response
	if resp, j.err = scgi.ReadResponse(j.buffer, &http.Request{Method: j.method}); j.err != nil {
		return
	}
	j.status, j.length = resp.StatusCode, resp.ContentLength
	if j.method == http.MethodHead {
		j.length = 0
	}
}
