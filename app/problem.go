package app

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
	"strings"
	"syscall"

	"github.com/rs/zerolog"
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
		invalid  *InvalidError
		tooLarge *http.MaxBytesError
	)
	switch {
	case errors.As(err, &answer):
		return answer
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
	case errors.Is(err, ErrQueueFull):
		return retryLater("More messages are waiting to be stored than can be; send it again later.")
	case errors.Is(err, ErrCommitterClosed):
		return retryLater("The server is stopping; send it again later.")
	case errors.Is(err, errTooManySubscribers):
		return retryLater("More are following the messages than can be; come again later, or read them page by page.")
	case errors.Is(err, ErrDiskFull):
		return &statusError{status: http.StatusInsufficientStorage,
			detail: "There is no space left to store it; send it again later."}
	case errors.Is(err, ErrOtherLog):
		return &statusError{status: http.StatusGone,
			detail: "This is not the log that you have read before; start anew, without log and after."}
	case errors.Is(err, ErrUnavailable):
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

// writeProblem answers with an error: as JSON to a client that asks for it.
func writeProblem(w http.ResponseWriter, r *http.Request, answer *statusError) {
	answer.copyHeader(w)
	if accepts(r, "application/json") {
		_ = writeJSON(w, answer.status, "application/problem+json", problem{
			Title:  http.StatusText(answer.status),
			Status: answer.status,
			Detail: answer.detail,
			Errors: answer.errors,
		}) // whoever does not take the error has gone
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.detail+"\n")
}

// logFailure gives the log the cause of an answer that we are to blame for. A
// client that left and a deadline are logged at debug level: neither is a fault.
func (h *Handler) logFailure(r *http.Request, answer *statusError, cause error) {
	level := zerolog.ErrorLevel
	switch {
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		level = zerolog.DebugLevel
	case answer.status < http.StatusInternalServerError:
		return
	}
	h.Logger.WithLevel(level).Err(cause).Str("uri", r.RequestURI).Int("status", answer.status).Msg("request failed")
}

// accepts reports whether the client asks for a media type by name: RFC 9110,
// section 12.5.1, without its wildcards, since everybody takes */*.
func accepts(r *http.Request, mediaType string) bool {
	for _, line := range r.Header["Accept"] {
		for _, item := range strings.Split(line, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) && !refused(parameters) {
				return true
			}
		}
	}
	return false
}

// refused reports whether the weight among a media range's parameters is zero.
func refused(parameters string) bool {
	for _, parameter := range strings.Split(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(key, "q") {
			weight, err := strconv.ParseFloat(value, 64)
			return err == nil && weight == 0
		}
	}
	return false
}
