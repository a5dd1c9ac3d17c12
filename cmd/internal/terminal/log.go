package terminal

import (
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
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
	out := newBacklog(f, logBacklog, func(dropped int64) {
		logger.Warn().Int64("lines", dropped).Msg("the log is not read fast enough, lines were dropped")
	})
	if is(f) {
		logger = zerolog.New(zerolog.ConsoleWriter{Out: out, TimeFormat: time.TimeOnly})
	} else {
		logger = zerolog.New(out)
	}
	logger = logger.Level(zerolog.InfoLevel).With().Timestamp().Logger()
	var once sync.Once
	return logger, func() {
		once.Do(func() { within(logPatience, out.close) })
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
