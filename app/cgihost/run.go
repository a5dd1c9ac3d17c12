package cgihost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/scgi"
)

// Why a program is ended before its time. Others are errClosed and what a spool
// fails with.
var (
	errClientGone = errors.New("its client has gone")
	errTooLong    = errors.New("it ran for longer than it may")
	errTooMuch    = errors.New("it printed more than it may")
	errMalformed  = errors.New("its output is not as it should be") // the log says more
	errPanicked   = errors.New("the server has failed")             // the panic goes on from here
)

// run is a program's run for one request. The request's goroutine copies the
// output to the client; tend, in another one, sees the program to its end.
type run struct {
	host    *Host
	process *process
	ctx     context.Context // ends when the program is to be ended; its cause is why
	stop    context.CancelCauseFunc
	logger  *zerolog.Logger
	input   input
	output  *spool
	answer  *answer
	cgi     *scgi.CGIWriter // writes to answer
	ended   chan struct{}   // closed when nothing is left of the program
}

// run runs a program in a place, which leave gives back, and answers with what
// it prints. It closes body. An error is an answer that is still to be given.
func (h *Host) run(w http.ResponseWriter, r *http.Request, s script, body *spool, leave func()) error {
	timed, cancel := context.WithTimeoutCause(context.WithoutCancel(r.Context()), h.timeout(), errTooLong)
	defer cancel()
	ctx, stop := context.WithCancelCause(timed)
	defer stop(nil)
	answer, logger := &answer{ResponseWriter: w}, h.logger(s)
	run := &run{host: h, ctx: ctx, stop: stop, logger: logger, output: h.newSpool(), answer: answer, ended: make(chan struct{}),
		cgi: &scgi.CGIWriter{Response: answer, Request: r, LocalRedirect: h.localRedirect(), Logger: slog.New(zerolog.NewSlogHandler(*logger))}}
	defer run.output.close()
	defer context.AfterFunc(r.Context(), func() {
		if !answer.whole.Load() { // otherwise the front end has all that it wants, and the program may finish
			stop(errClientGone)
		}
	})()
	if err := run.start(s, environ(r, s, h.Software, h.Env), body); err != nil {
		leave()
		return err
	}
	go run.tend(leave)
	return run.finish(run.copyAnswer())
}

// start starts the program.
func (r *run) start(s script, env []string, body *spool) (err error) {
	if r.input, err = newInput(body); err == nil {
		r.process, err = r.host.start(s, env, r.input.stdin, r.stop)
	}
	r.input.started()
	if err == nil {
		return nil
	}
	r.input.close()
	switch {
	case errors.Is(err, errStopping):
		return err
	case isExhausted(err):
		err = fmt.Errorf("%w: %w", errExhausted, err)
	}
	return &startError{err}
}

// tend sees the program to its end, and gives its place back when nothing is
// left of it. It waits for no client.
func (r *run) tend(leave func()) {
	defer close(r.ended)
	defer leave()
	defer r.host.forget(r.process)
	var beside sync.WaitGroup
	beside.Go(r.input.feed)
	beside.Go(func() { logLines(r.process.stderr, r.logger) })
	outputEnded, dead := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(dead)
		r.process.supervise(r.ctx, outputEnded)
	}()
	err := r.collect()
	if err != nil {
		r.stop(err)
	}
	r.output.end(err)
	close(outputEnded)
	<-dead
	r.logEnd()
	r.input.endFeed()
	beside.Wait()
	r.input.close()
	r.process.closePipes()
}

// collect takes what the program prints, until the end of that. An error is why
// it ended before its time.
func (r *run) collect() error {
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
			if _, err := r.output.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // io.EOF, or nobody is left who could write
		}
	}
}

// copyAnswer copies the output to the client, and returns when that has ended
// and nothing is left of the program. An error is why it is not whole.
func (r *run) copyAnswer() (err error) {
	err = errPanicked
	defer func() { // even then nothing is left
		if err != nil {
			r.stop(err)
		}
		<-r.ended
	}()
	for {
		piece, err := r.output.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.write(piece)
		}
		if err != nil {
			return err
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
func (r *run) finish(cause error) error {
	status := 0
	switch {
	case cause == nil || r.answer.whole.Load():
		_ = r.cgi.Close() // what is wrong is logged, and shows in the answer
		return nil
	case errors.Is(cause, errMalformed):
		return nil // it is answered
	case r.cgi.Begun(), errors.Is(cause, errClientGone):
		panic(http.ErrAbortHandler) // so that half an answer does not look whole
	case errors.Is(cause, errTooLong):
		status = http.StatusGatewayTimeout
	case errors.Is(cause, errTooMuch):
		status = http.StatusBadGateway
	case errors.Is(cause, errClosed):
		return errStopping
	default:
		return cause
	}
	http.Error(r.answer, http.StatusText(status), status)
	return nil
}
