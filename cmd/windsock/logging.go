package main

import (
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// newLogger logs for people on a terminal and as JSON elsewhere.
func newLogger(f *os.File) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	if !isTerminal(f) {
		return zerolog.New(f).With().Timestamp().Logger()
	}
	return zerolog.New(zerolog.ConsoleWriter{Out: f, TimeFormat: time.TimeOnly}).With().Timestamp().Logger()
}

func isTerminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }
