package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/feed"
)

// errNotStored is matched by every failure to store a message, whatever its cause.
var errNotStored = errors.New("not stored")

// statusError is an error that is an answer: of what it holds, everything may
// be shown to the client.
type statusError struct {
	status int
	detail string // a sentence
	header http.Header
	errors []problemField
}

func (e *statusError) Error() string { return strconv.Itoa(e.status) + " " + e.detail }

func (e *statusError) copyHeader(w http.ResponseWriter) { maps.Copy(w.Header(), e.header) }

// answeredError is one that comes too late to be an answer.
type answeredError struct{ error }

func errAnswered(err error) error {
	if err == nil {
		return nil
	}
	return answeredError{err}
}

// problem is the body of an error for a client that asks for JSON: RFC 9457.
type problem struct {
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail"`
	Errors []problemField `json:"errors,omitempty"`
}

// problemField says which part of a message is wrong: RFC 9457, section 3, has
// it as its example.
type problemField struct {
	Detail  string `json:"detail"`
	Pointer string `json:"pointer"`
}

// answerTo turns an error into an answer. This is the one place that does. What
// is not listed is ours to mend: the client learns no more than that.
func answerTo(err error) *statusError {
	var (
		answer   *statusError
		invalid  *app.InvalidError
		tooLarge *http.MaxBytesError
		refused  *admission.Refused
	)
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &refused):
		return retryLater(refused.Reason)
	case errors.As(err, &invalid):
		return &statusError{status: http.StatusBadRequest, detail: invalid.Error(),
			errors: []problemField{{invalid.Reason, "#" + invalid.Pointer}}}
	case errors.As(err, &tooLarge):
		return &statusError{status: http.StatusRequestEntityTooLarge,
			detail: fmt.Sprintf("The body is larger than the limit of %d bytes.", tooLarge.Limit)}
	case errors.Is(err, context.Canceled): // nobody will see it
		return &statusError{status: statusClientGone, detail: "The client has gone."}
	case errors.Is(err, context.DeadlineExceeded): // before the next case, which it matches too
		return retryLater("It took too long; ask for less, or again later.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &statusError{status: http.StatusRequestTimeout, detail: "The body did not arrive in time."}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return &statusError{status: http.StatusBadRequest, detail: "The body ended before its Content-Length."}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return retryLater("The server has no descriptor left for this; ask again later.")
	case errors.Is(err, commit.ErrQueueFull):
		return retryLater("More messages are waiting to be stored than can be; send it again later.")
	case errors.Is(err, commit.ErrClosed):
		return retryLater("The server is stopping; send it again later.")
	case errors.Is(err, feed.ErrTooManySubscribers):
		return retryLater("More are following the messages than can be; come again later, or read them page by page.")
	case errors.Is(err, app.ErrDiskFull):
		return &statusError{status: http.StatusInsufficientStorage,
			detail: "There is no space left to store it; send it again later."}
	case errors.Is(err, app.ErrOtherLog):
		return &statusError{status: http.StatusGone,
			detail: "This is not the log that you have read before, or it never gave that seq. Read from the beginning, without log and after."}
	case errors.Is(err, app.ErrUnavailable):
		return retryLater("It cannot be read now; ask again later.")
	case errors.Is(err, errNotStored):
		return retryLater("It could not be stored; send it again later.")
	}
	return &statusError{status: http.StatusInternalServerError, detail: "Something went wrong here."}
}

// retryLater is 503, with a Retry-After (in seconds) that spreads the clients
// that were refused together.
func retryLater(detail string) *statusError {
	return &statusError{status: http.StatusServiceUnavailable, detail: detail,
		header: http.Header{"Retry-After": {strconv.Itoa(1 + rand.IntN(5))}}}
}

// fail answers a request with an error. The log gets the cause.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var answered answeredError
	if errors.As(err, &answered) {
		h.Logger.Debug().Err(err).Str("uri", r.RequestURI).Msg("the client did not take its answer")
		return
	}
	answer := answerTo(err)
	h.logFailure(r, answer, err)
	writeProblem(w, r, answer)
}

// WriteError answers a request with an error, as every request that fails is
// answered. It logs nothing.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, r, answerTo(err))
}

// writeProblem answers with an error: as JSON to a client that asks for it.
func writeProblem(w http.ResponseWriter, r *http.Request, answer *statusError) {
	answer.copyHeader(w)
	contentType, body := "text/plain; charset=utf-8", []byte(answer.detail+"\n")
	if accepts(w, r, "application/json") {
		line, err := jsonLine(problem{
			Title:  http.StatusText(answer.status),
			Status: answer.status,
			Detail: answer.detail,
			Errors: answer.errors,
		})
		if err == nil { // else the text has to do
			contentType, body = "application/problem+json", line
		}
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(answer.status)
	_, _ = w.Write(body) // a client that does not take it has gone
}

// logFailure gives the log the cause of an answer that we are to blame for. A
// client that left and a deadline are logged at debug level: neither is a fault.
func (h *Handler) logFailure(r *http.Request, answer *statusError, cause error) {
	level := zerolog.ErrorLevel
	switch {
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		level = zerolog.DebugLevel
	case isRefused(cause): // by a bound, as it should be
		level = zerolog.WarnLevel
	case answer.status < http.StatusInternalServerError:
		return
	}
	h.Logger.WithLevel(level).Err(cause).Str("uri", r.RequestURI).Int("status", answer.status).Msg("request failed")
}
