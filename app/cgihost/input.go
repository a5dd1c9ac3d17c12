package cgihost

import (
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/windsock-scgi/windsock/app/admission"
)

// receive reads the body of a request to its end: nil when there is none. Until
// then no answer may begin, since nginx sends nothing more of a body once one
// has; and no program runs that would wait for a slow client.
func (h *Host) receive(w http.ResponseWriter, r *http.Request) (*spool, error) {
	if r.ContentLength > h.maxBody() {
		return nil, &http.MaxBytesError{Limit: h.maxBody()}
	}
	if r.ContentLength <= 0 { // an SCGI request always says how long its body is
		return nil, nil
	}
	body := h.newSpool()
	if _, err := io.CopyBuffer(body, admission.Paced(w, r), make([]byte, 8<<10)); err != nil {
		body.close()
		return nil, err
	}
	return body, nil
}

// logBody logs why a body could not be kept. What its client is to blame for
// shows in the answer only.
func (h *Host) logBody(s script, err error) {
	var unkept *spoolError
	if errors.As(err, &unkept) {
		h.logger(s).Error().Err(err).Msg("the body of a request for a CGI program could not be kept")
	}
}

// input is a program's standard input.
type input struct {
	body  *spool
	stdin *os.File // what the program reads; nil when there is no body
	pipe  *os.File // the other end of it; nil when stdin is the body's file
}

// newInput makes a body the input of a program: the file that it is in, or a
// pipe, which feed fills from memory.
func newInput(body *spool) (in input, err error) {
	in.body = body
	switch {
	case body == nil:
	case body.onDisk:
		in.stdin, err = body.open()
	default:
		in.stdin, in.pipe, err = os.Pipe()
	}
	return in, err
}

// started closes what only the program needs now.
func (in *input) started() {
	if in.stdin != nil {
		_ = in.stdin.Close() // it was not written to
	}
}

// feed gives the program its input, which it need not take. It ends with endFeed
// at the latest.
func (in *input) feed() {
	if in.pipe != nil {
		_, _ = in.pipe.Write(in.body.buf) // an error means that the program takes no more
		_ = in.pipe.Close()               // likewise
	}
}

// endFeed ends a feed that waits.
func (in *input) endFeed() {
	if in.pipe != nil {
		_ = in.pipe.Close() // feed may have done so
	}
}

// close gives the body back, which is counted for as long as the program has it.
// feed has ended.
func (in *input) close() {
	in.endFeed()
	if in.body != nil {
		in.body.close()
	}
}
