package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
	// Signals first: one that comes while the rest starts is not lost. Without
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
	s, err := c.start(logger)
	if err != nil {
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
