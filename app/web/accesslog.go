package web

import (
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// accessLog writes one line about a request when it has been answered.
type accessLog struct {
	http.ResponseWriter
	start  time.Time
	status int
	bytes  int
}

// Unwrap is for http.ResponseController.
func (l *accessLog) Unwrap() http.ResponseWriter { return l.ResponseWriter }

func (l *accessLog) WriteHeader(status int) {
	if l.status == 0 {
		l.status = status
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l *accessLog) Write(p []byte) (int, error) {
	if l.status == 0 {
		l.status = http.StatusOK
	}
	n, err := l.ResponseWriter.Write(p)
	l.bytes += n
	return n, err
}

// statusClientGone is for the log: whoever asked has left before there was an
// answer. It is nginx's; RFC 9110 has none, since nobody can get it.
const statusClientGone = 499

// final is the status that the client has got. Without one there was a panic:
// the way out when nobody is left to answer, and else the server's 500.
func (l *accessLog) final(r *http.Request) int {
	switch {
	case l.status != 0:
		return l.status
	case r.Context().Err() != nil:
		return statusClientGone
	}
	return http.StatusInternalServerError
}

func (l *accessLog) write(logger *zerolog.Logger, r *http.Request) {
	logger.Info().
		Str("client", r.RemoteAddr).
		Str("method", r.Method).
		Str("uri", r.RequestURI).
		Int("status", l.final(r)).
		Int("bytes", l.bytes).
		Dur("took_ms", time.Since(l.start)).
		Msg("request")
}
