package scgi

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// response is the http.ResponseWriter of a request. It keeps net/http's
// contract, and of the ways in which front ends differ it takes the one that is
// safe on each: Status first, Content-Length whenever it is known, nothing
// hop-by-hop.
type response struct {
	c      *conn
	head   bool        // the request is a HEAD: its body is counted, never sent
	header http.Header // nil until the handler asks for it

	status   int   // 0 until WriteHeader
	sent     bool  // the header block is on its way, the status is final
	finished bool  // the handler has returned
	written  int64 // bytes of body that the handler wrote
	err      error // the first failure to send

	fields answerFields  // what WriteHeader made of the header
	buf    *answerBuffer // pooled, from WriteHeader to finish
}

var (
	_ http.Hijacker   = (*response)(nil)
	_ http.Flusher    = (*response)(nil)
	_ io.ReaderFrom   = (*response)(nil)
	_ io.StringWriter = (*response)(nil)
)

// maxHeldBody is the longest body that is sent in one piece with its header, and
// so gets its Content-Length from us.
const maxHeldBody = 4 << 10

// answerBuffer holds the beginning of an answer back: its header block until
// its last fields are known, its body until it is whole or past maxHeldBody.
type answerBuffer struct{ header, body []byte }

var answerBuffers = sync.Pool{New: func() any {
	return &answerBuffer{header: make([]byte, 0, 512+maxHeldBody), body: make([]byte, 0, maxHeldBody)}
}}

// copyBuffers are for what streams.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

var (
	errFinished = errors.New("scgi: the handler has returned, its answer is complete")
	errCutShort = errors.New("scgi: the handler wrote less than its Content-Length")
)

func (w *response) start(c *conn, r *http.Request) {
	w.c, w.head = c, r.Method == http.MethodHead
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter. Informational answers (1xx) are
// dropped, since front ends take them for the final one; 101 goes before Hijack.
func (w *response) WriteHeader(status int) {
	switch {
	case w.finished || w.c.isHijacked():
		w.c.srv.logger().Warn("scgi: WriteHeader after the answer", "status", status)
	case w.status != 0:
		w.c.srv.logger().Warn("scgi: superfluous WriteHeader", "status", status, "first", w.status)
	case status < 100 || status > 999:
		panic("invalid WriteHeader code " + strconv.Itoa(status)) // net/http's own value
	case status >= 200 || status == http.StatusSwitchingProtocols:
		w.status = status
		w.buf = answerBuffers.Get().(*answerBuffer)
		w.buf.header, w.fields = appendFields(w.buf.header[:0], status, w.header)
		w.buf.body = w.buf.body[:0]
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) { return writeBody(w, p) }

// WriteString implements io.StringWriter.
func (w *response) WriteString(s string) (int, error) { return writeBody(w, s) }

func writeBody[Bytes []byte | string](w *response, p Bytes) (int, error) {
	if err := w.admit(len(p)); err != nil {
		return 0, err
	}
	n, room := len(p), maxHeldBody-len(w.buf.body)
	if w.head {
		w.buf.body = append(w.buf.body, p[:min(n, room)]...) // to tell its type by
		return n, nil
	}
	if n > room && (!w.sent || room < maxHeldBody) {
		w.buf.body = append(w.buf.body, p[:room]...) // which goes with the header, and tells the type
		p = p[room:]
		if err := w.send(); err != nil {
			return 0, err
		}
	}
	if len(p) <= maxHeldBody {
		w.buf.body = append(w.buf.body, p...)
		return n, nil
	}
	if w.err = w.c.write([]byte(p)); w.err != nil {
		return 0, w.err
	}
	return n, nil
}

// admit says whether n more bytes of body may be written, and counts them.
func (w *response) admit(n int) error {
	switch {
	case w.c.isHijacked():
		return http.ErrHijacked
	case w.finished:
		return errFinished
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case n > 0 && !bodyAllowed(w.status):
		return http.ErrBodyNotAllowed
	case w.fields.length >= 0 && w.written+int64(n) > w.fields.length:
		return http.ErrContentLength
	}
	w.written += int64(n)
	return w.err
}

// send sends what is held back, the header block first.
func (w *response) send() error {
	out := w.buf.body
	if w.head {
		out = nil
	}
	if !w.sent {
		w.sent = true
		w.buf.header = w.fields.end(w.buf.header, w.buf.body)
		w.c.srv.checkHeaderSize(len(w.buf.header))
		w.buf.header = append(w.buf.header, out...)
		out = w.buf.header
	}
	w.buf.body = w.buf.body[:0]
	if w.err == nil && len(out) > 0 {
		w.err = w.c.write(out)
	}
	return w.err
}

// finish sends what is left once the handler has returned. An error means that
// the answer is not whole.
func (w *response) finish() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	known := !w.sent && w.fields.length < 0 && !w.fields.unsized
	if known && bodyAllowed(w.status) && (!w.head || w.written > 0) {
		w.fields.length = w.written
	}
	err := w.send()
	w.finished = true
	w.release()
	if err == nil && !w.head && bodyAllowed(w.status) && w.written < w.fields.length {
		return errCutShort
	}
	return err
}

func (w *response) release() {
	if w.buf != nil && cap(w.buf.header) <= 64<<10 {
		answerBuffers.Put(w.buf)
	}
	w.buf = nil
}

// replace puts an error in the place of an answer that has not begun, and
// reports whether it could.
func (w *response) replace(status int) bool {
	if w.sent {
		return false
	}
	w.release()
	w.status, w.written, w.header = 0, 0, nil
	http.Error(w, http.StatusText(status), status)
	return true
}

// ReadFrom implements io.ReaderFrom: what io.Copy uses.
func (w *response) ReadFrom(src io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	for {
		m, readErr := src.Read(buf[:])
		if m > 0 {
			written, err := w.Write(buf[:m])
			n += int64(written)
			if err != nil {
				return n, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
	}
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends all that was written, and before the first Write the header
// alone. See [http.ResponseController].
func (w *response) FlushError() error {
	switch {
	case w.c.isHijacked():
		return http.ErrHijacked
	case w.finished:
		return errFinished
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	return w.send()
}

// Hijack implements http.Hijacker: the taker owns the connection from then on,
// and what was read past the header is in the reader. The server no longer
// counts it, waits for it or closes it. A status written before is sent first.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.finished {
		return nil, nil, errFinished
	}
	if w.c.isHijacked() {
		return nil, nil, http.ErrHijacked
	}
	if w.status != 0 {
		if err := w.send(); err != nil {
			return nil, nil, err // the connection stays the server's, which closes it
		}
		w.release()
	}
	conn := w.c.rwc
	if quick, ok := conn.(quickConn); ok {
		var err error
		if conn, err = quick.giveAway(); err != nil {
			return nil, nil, err // likewise
		}
	}
	w.c.giveAway()
	_ = conn.SetDeadline(time.Time{}) // an error shows at the next read
	return conn, bufio.NewReadWriter(w.c.br, bufio.NewWriter(conn)), nil
}

// SetReadDeadline bounds the reading of the whole body. See
// [http.ResponseController].
func (w *response) SetReadDeadline(by time.Time) error { return w.c.setReadBy(by) }

// SetWriteDeadline bounds the writing of the whole answer. See
// [http.ResponseController].
func (w *response) SetWriteDeadline(by time.Time) error { return w.c.setWriteBy(by) }

// EnableFullDuplex has nothing to do: reading after writing always works here.
// See [http.ResponseController].
func (w *response) EnableFullDuplex() error { return nil }
