package scgi

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
)

// CGIWriter makes an answer of raw CGI output, RFC 3875, section 6: the header
// block that a program prints, and behind it the body. It takes them in any
// split, so it can be the standard output of an exec.Cmd or be copied to. Close
// says that the output has ended, and must be called. A CGIWriter is for one
// answer and one goroutine at a time.
//
// Lines of the block end in LF or CRLF, names are in any case. There must be at
// least one of the CGI fields. When one of them or Content-Length comes twice, both
// must say the same:
//
//   - Status gives the status, else it is 200. Its reason is not passed on:
//     net/http gives each status its own.
//   - Location is a redirect, 302 unless Status says otherwise. An absolute path
//     and no other field with it is a local one: see LocalRedirect.
//   - Content-Type is passed on; without one none is guessed.
//
// Other fields are passed on, but for those that are hop-by-hop: Connection,
// Keep-Alive, Proxy-Connection, TE, Trailer and Upgrade. The body is passed on as
// it is, but not in an answer to HEAD, or of 204 or 304. Without a Content-Length
// it is flushed at each Write, so that what streams is seen at once; with one,
// when it is whole.
//
// Output with any other header is answered with 502 and logged: one that is
// empty, ends before the empty line, or is over 64 KiB or 256 fields; what is no
// field, is folded, or holds control bytes; a Status that is no number from 200
// to 999; a Transfer-Encoding other than identity, whose framing would become part
// of the body; and an HTTP status line, since output of the non-parsed kind (NPH,
// section 5) is not supported. A body that is longer than its Content-Length is
// cut there, a shorter one breaks the answer off; both are logged.
type CGIWriter struct {
	// Response gets the answer. What its header holds already is kept, but
	// where the program says otherwise.
	Response http.ResponseWriter

	// Request is what is answered.
	Request *http.Request

	// Headerless takes output that does not begin with a header field for a
	// body, and answers it with 200 and text/html. Empty output remains an error.
	Headerless bool

	// LocalRedirect serves local redirects (section 6.2.2), when Close is called:
	// a GET or HEAD without a body for that path and query, with an [Env] of its
	// own, its path as clients know it (so it is a handler above [StripMount]).
	// After 10 in a row it is 502. With nil the client is sent there by 302.
	LocalRedirect http.Handler

	// Logger gets one line about output that is not as it should be. With nil
	// the request's Server does, or slog.Default.
	Logger *slog.Logger

	first  []byte   // what may become the name of a first field; for Headerless only
	block  cgiBlock // the header
	stage  cgiStage
	closed bool
	passed int64 // bytes of body passed on
	err    error // what went wrong, for good
}

// cgiStage is what is expected next, and only rises.
type cgiStage int

const (
	stageFirst    cgiStage = iota // the first bytes
	stageHeader                   // the header block
	stageRedirect                 // a local redirect, whose output has nothing more to say
	stageBody                     // a body to pass on
	stageDropped                  // a body that the answer has no place for
)

var errCGIClosed = errors.New("scgi: write to a closed CGIWriter")

// Write takes the next piece of output. An error is the Response's, or a
// [*ProtocolError] that says what is wrong with the output; then nothing more is
// taken and the program may as well be ended.
func (w *CGIWriter) Write(p []byte) (int, error) {
	switch {
	case w.closed:
		return 0, errCGIClosed
	case w.err != nil:
		return 0, w.err
	}
	if err := w.take(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Begun reports whether the answer has begun: from then on its status stands.
func (w *CGIWriter) Begun() bool { return w.stage >= stageBody || w.err != nil }

// Close ends the output, and serves a local redirect. Its error is the first one
// that there was, like Write's: the answer is then a 502 or not whole.
func (w *CGIWriter) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	switch {
	case w.err != nil:
	case w.stage == stageFirst && len(w.first) > 0:
		return w.takeHeaderless(w.first)
	case w.stage < stageRedirect:
		return w.fail(w.block.unfinished())
	case w.stage == stageRedirect:
		return w.redirect()
	case w.stage == stageBody && w.passed < w.block.length:
		return w.fail(&ProtocolError{Reason: inCGIOutput + "the body ends after " + strconv.FormatInt(w.passed, 10) +
			" bytes of a Content-Length of " + strconv.FormatInt(w.block.length, 10)})
	}
	return w.err
}

func (w *CGIWriter) take(p []byte) error {
	if w.stage == stageFirst && w.Headerless {
		if len(w.first) > 0 {
			p = append(w.first, p...)
		}
		switch isField, known := beginsField(p); {
		case !known:
			w.first = bytes.Clone(p)
			return nil
		case !isField:
			return w.takeHeaderless(p)
		}
	}
	if w.stage < stageRedirect {
		w.stage = stageHeader
		rest, err := w.block.take(p)
		if err != nil {
			return w.fail(err)
		}
		if !w.block.whole {
			return nil
		}
		w.begin()
		p = rest
	}
	return w.takeBody(p)
}

// begin begins the answer that the header block asks for.
func (w *CGIWriter) begin() {
	if w.LocalRedirect != nil && w.block.isLocal() {
		w.stage = stageRedirect
		return
	}
	w.stage = stageBody
	header := w.Response.Header()
	header["Content-Type"] = nil // net/http would guess one: RFC 3875, section 6.3.1, says not to
	for _, field := range w.block.fields {
		if field.only {
			header.Set(field.key, field.value)
		} else {
			header.Add(field.key, field.value)
		}
	}
	status := w.block.answerStatus()
	if w.Request.Method == http.MethodHead || !bodyAllowed(status) {
		w.stage = stageDropped
	}
	w.Response.WriteHeader(status)
}

// takeHeaderless begins the answer to output without a header.
func (w *CGIWriter) takeHeaderless(p []byte) error {
	w.block = cgiBlock{whole: true, length: -1, fields: []cgiField{{"Content-Type", "text/html", true}}}
	w.begin()
	return w.takeBody(p)
}

// takeBody passes a piece of the body on.
func (w *CGIWriter) takeBody(p []byte) error {
	if w.stage != stageBody {
		return nil
	}
	length := w.block.length
	tooLong := length >= 0 && int64(len(p)) > length-w.passed
	if tooLong {
		p = p[:length-w.passed]
	}
	if len(p) > 0 {
		n, err := w.Response.Write(p)
		w.passed += int64(n)
		if err != nil {
			w.err = err // the client has gone: nothing that the program is to blame for
			return err
		}
	}
	if length < 0 || w.passed == length {
		err := http.NewResponseController(w.Response).Flush()
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			w.err = err
			return err
		}
	}
	if tooLong {
		return w.fail(&ProtocolError{Reason: inCGIOutput + "the body is longer than its Content-Length of " +
			strconv.FormatInt(length, 10)})
	}
	return nil
}

// fail ends it: by 502 if nothing has been sent.
func (w *CGIWriter) fail(err error) error {
	begun := w.Begun()
	w.err = err
	w.logger().Warn("scgi: CGI output is not as it should be", "error", err,
		"method", w.Request.Method, "uri", w.Request.RequestURI)
	if !begun {
		http.Error(w.Response, http.StatusText(http.StatusBadGateway), http.StatusBadGateway)
	}
	return err
}

func (w *CGIWriter) logger() *slog.Logger {
	if w.Logger != nil {
		return w.Logger
	}
	if c := connOf(w.Request.Context(), nil); c != nil {
		return c.srv.logger()
	}
	return slog.Default()
}
