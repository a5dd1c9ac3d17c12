package terminal

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/diode"
)

const (
	// logBacklog is how many lines wait for a reader of the log that is slow.
	logBacklog = 10_000
	// logPatience is how long an end waits for it.
	logPatience = 200 * time.Millisecond
)

// NewLogger logs for people on a terminal and as JSON elsewhere. Whoever reads
// the log cannot hold up the service: lines that he does not take are dropped,
// and counted. flush writes what is left at the end.
func NewLogger(f *os.File) (logger zerolog.Logger, flush func()) {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	// Closing it must not close f, where the reason of a failure is still to go.
	out := diode.NewWriter(struct{ io.Writer }{f}, logBacklog, 0, func(dropped int) {
		logger.Warn().Int("lines", dropped).Msg("the log is not read fast enough, lines were dropped")
	})
	if is(f) {
		logger = zerolog.New(zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly})
	} else {
		logger = zerolog.New(out)
	}
	logger = logger.Level(zerolog.InfoLevel).With().Timestamp().Logger()
	return logger, func() {
		within(logPatience, func() { _ = out.Close() }) // a log that fails has nobody to be told
	}
}

// within runs f, but waits for its end no longer than that.
func within(d time.Duration, f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	select {
	case <-ended:
	case <-time.After(d):
	}
}
