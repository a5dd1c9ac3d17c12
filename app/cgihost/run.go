package cgihost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/scgi"
)

// Why a program is ended before its time.
var (
	errClientGone = errors.New("its client has gone")
	errTooLong    = errors.New("it ran for longer than it may")
	errTooMuch    = errors.New("it printed more than it may")
	errBody       = errors.New("the request's body broke off")
	errMalformed  = errors.New("its output is not as it should be") // of which the log knows more
	errPanicked   = errors.New("the server has failed")             // which takes its way from here on
)

// answerSlack is what an answer may take after the program's time is over.
const answerSlack = 10 * time.Second

// run is a program's run for one request.
type run struct {
	host    *Host
	process *process
	ctx     context.Context // ends when the program is to be ended; its cause is why
	stop    context.CancelCauseFunc
	logger  zerolog.Logger
	request *http.Request
	answer  *answer
	cgi     *scgi.CGIWriter // its source
}

// run runs a program and answers with what it prints.
func (h *Host) run(w http.ResponseWriter, r *http.Request, s script) {
	logger := h.Logger.With().Str("program", s.name).Logger()
	timed, cancel := context.WithTimeoutCause(context.WithoutCancel(r.Context()), h.timeout(), errTooLong)
	defer cancel()
	ctx, stop := context.WithCancelCause(timed)
	defer stop(nil)
	answer := &answer{ResponseWriter: w}
	defer context.AfterFunc(r.Context(), func() {
		if !answer.whole.Load() { // else the front end has all that it wants, and the program may finish
			stop(errClientGone)
		}
	})()
	p, err := h.start(s, environ(r, s, h.Software), r.ContentLength > 0, stop)
	if err != nil {
		logger.Error().Err(err).Str("file", s.file).Msg("a CGI program could not be started")
		status := http.StatusBadGateway
		if errors.Is(err, errClosed) {
			status = http.StatusServiceUnavailable
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer h.forget(p)
	// A client that takes its answer slowly must not hold a place for longer.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.timeout() + answerSlack)) // not every Response has one
	run := &run{host: h, process: p, ctx: ctx, stop: stop, logger: logger, request: r, answer: answer, cgi: &scgi.CGIWriter{
		Response: answer, Request: r, LocalRedirect: h.localRedirect(), Logger: slog.New(zerolog.NewSlogHandler(logger)),
	}}
	run.finish(run.copyAll())
}

// copyAll copies in all directions, and returns when nothing is left of the
// program. An error is why its output ended before its time.
func (r *run) copyAll() (err error) {
	var beside sync.WaitGroup
	if r.process.stdin != nil {
		beside.Go(r.copyBody)
	}
	beside.Go(func() { logLines(r.process.stderr, &r.logger) })
	outputEnded, dead := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(dead)
		r.process.supervise(r.ctx, outputEnded)
	}()
	err = errPanicked
	defer func() { // even then nothing is left
		if err != nil {
			r.stop(err)
		}
		close(outputEnded)
		<-dead
		r.logEnd()
		_ = r.request.Body.Close() // wakes copyBody, on either side
		r.process.closeInput()
		beside.Wait()
		r.process.closePipes()
	}()
	return r.copyOutput()
}

// copyBody gives the program the request's body. It need not take it.
func (r *run) copyBody() {
	body := &bodyReader{Reader: r.request.Body}
	_, _ = io.Copy(r.process.stdin, body) // that the program takes no more is its own decision
	if body.err != nil {
		// First its end, then that of its input: half a body is not to be
		// taken for a whole one.
		r.stop(fmt.Errorf("%w: %w", errBody, body.err))
		return
	}
	r.process.closeInput()
}

// bodyReader keeps what a body's reading failed with.
type bodyReader struct {
	io.Reader
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// copyOutput copies what the program prints to the answer, until the end of that.
func (r *run) copyOutput() error {
	buf := make([]byte, 32<<10)
	for left := r.host.maxOutput(); ; {
		n, err := r.process.stdout.Read(buf)
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		if left -= int64(n); left < 0 {
			return errTooMuch
		}
		if n > 0 {
			if err := r.write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // io.EOF, or nobody is left who could write
		}
	}
}

// write writes a piece of output to the answer.
func (r *run) write(p []byte) error {
	_, err := r.cgi.Write(p)
	switch malformed := (*scgi.ProtocolError)(nil); {
	case errors.As(err, &malformed) && r.answer.whole.Load():
		return nil // a newline too many, say: it is logged, and the program may finish
	case errors.As(err, &malformed):
		return errMalformed
	case err != nil:
		return fmt.Errorf("%w: %w", errClientGone, err)
	}
	return nil
}

// logEnd takes the program's end and logs one that was not well.
func (r *run) logEnd() {
	state, err := r.process.reap()
	switch cause := context.Cause(r.ctx); {
	case err != nil:
		r.logger.Error().Err(err).Msg("the end of a CGI program is not known")
	case errors.Is(cause, errMalformed): // that is logged
	case errors.Is(cause, errClientGone):
		r.logger.Info().Str("because", cause.Error()).Stringer("ended", state).Msg("a CGI program was ended")
	case cause != nil:
		r.logger.Warn().Str("because", cause.Error()).Stringer("ended", state).Msg("a CGI program was ended")
	case !state.Success():
		r.logger.Warn().Int("exit", state.ExitCode()).Stringer("ended", state).Msg("a CGI program failed")
	}
}

// finish ends the answer. cause is why the output ended before its time.
func (r *run) finish(cause error) {
	status := 0
	switch {
	case cause == nil || r.answer.whole.Load():
		_ = r.cgi.Close() // what is wrong is logged, and shows in the answer
		return
	case errors.Is(cause, errMalformed):
		return // it is answered
	case errors.Is(cause, errTooLong):
		status = http.StatusGatewayTimeout
	case errors.Is(cause, errClosed):
		status = http.StatusServiceUnavailable
	case errors.Is(cause, errTooMuch):
		status = http.StatusBadGateway
	case errors.Is(cause, os.ErrDeadlineExceeded) && errors.Is(cause, errBody):
		status = http.StatusRequestTimeout
	case errors.Is(cause, errBody):
		status = http.StatusBadRequest
	}
	if r.cgi.Begun() || status == 0 {
		panic(http.ErrAbortHandler) // so that half an answer does not look whole
	}
	http.Error(r.answer, http.StatusText(status), status)
}
