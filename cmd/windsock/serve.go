package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/cmd/internal/program"
	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
)

type serveCommand struct {
	settings
}

// Validate is called by kong when all is parsed.
func (c *serveCommand) Validate() error { return errors.Join(c.faults()...) }

// Run serves until a signal or a failure ends it.
func (c *serveCommand) Run(env program.Environment) error {
	// Signals first: one that comes while the rest starts gives the start up. Without
	// SIGPIPE the end of a log's reader is not ours; it is taken and not ignored,
	// since CGI programs would inherit that.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	setGarbage(int64(c.InFlight))
	logger, flush := terminal.NewLogger(env.Stderr)
	defer flush()
	s, err := c.begin(logger, signals)
	if s == nil {
		return err
	}
	logger.Info().Strs("listen", s.addresses()).Str("store", c.Store).Str("version", versionText()).Msg("serving")
	if s.front != nil {
		explain(env.Stdout, s.front.Addr())
	}
	var failure error
	for waiting := true; waiting; {
		select {
		case sig := <-signals:
			logger.Info().Stringer("signal", sig).Stringer("grace", c.Grace).Msg("stopping")
			waiting = false
		case <-hangups:
			logger.Info().Msg("SIGHUP: there is nothing to read anew")
		case <-s.scgi.Done():
			failure = fmt.Errorf("nothing is left to listen on: %w", s.scgi.Err())
			waiting = false
		}
	}
	go func() {
		<-signals
		s.programs.kill()
		logger.Warn().Msg("stopped at once by a second signal")
		flush()
		os.Exit(program.Failed)
	}()
	if err := errors.Join(failure, s.stop(c.Grace)); err != nil {
		return err
	}
	logger.Info().Msg("stopped")
	return nil
}

// startPatience is how long a start that was given up may take to end.
const startPatience = 900 * time.Millisecond

// begin starts the service. A signal gives the start up: then there is no service,
// and no error if nothing else was wrong.
func (c *serveCommand) begin(logger zerolog.Logger, signals <-chan os.Signal) (*service, error) {
	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	begun := make(chan outcome, 1)
	go func() {
		s, err := c.start(ctx, logger)
		begun <- outcome{s, err}
	}()
	select {
	case o := <-begun:
		return o.service, o.err
	case sig := <-signals:
		logger.Info().Stringer("signal", sig).Msg("stopping before the start is complete")
	}
	giveUp()
	select {
	case o := <-begun:
		return nil, c.undo(o)
	case <-time.After(startPatience): // a call on the disk takes its time
		logger.Warn().Str("store", c.Store).Msg("stopped within the start: the store is as after a kill, and the next start recovers it")
		return nil, nil
	}
}

// outcome is that of a start: a service or an error.
type outcome struct {
	service *service
	err     error
}

// undo ends what a start has come to that was given up.
func (c *serveCommand) undo(o outcome) error {
	switch {
	case o.service != nil: // it was through
		return o.service.stop(c.Grace)
	case errors.Is(o.err, context.Canceled):
		return nil
	}
	return o.err
}
