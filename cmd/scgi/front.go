package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/cmd/internal/front"
	"github.com/windsock-scgi/windsock/cmd/internal/program"
	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

type frontCommand struct {
	HTTP           string        `arg:"" name:"host:port" help:"Where to serve HTTP. Keep it on loopback: it has no TLS."`
	Addr           string        `arg:"" help:"Where the application listens: unix:PATH or tcp:HOST:PORT."`
	Mount          string        `placeholder:"PATH" help:"The path that the application is served under, such as /habitat: sent as SCRIPT_NAME, what follows it as PATH_INFO."`
	ConnectTimeout time.Duration `placeholder:"TIME" default:"10s" help:"How long a connection to the application may take. (${default})"`
	HeaderTimeout  time.Duration `placeholder:"TIME" default:"60s" help:"How long the application may take to begin its answer; then it is 504. 0 is no limit. (${default})"`
	MaxBody        int64         `placeholder:"BYTES" default:"16777216" help:"Hold chunked bodies up to this, since SCGI needs their length first; then it is 413. (${default})"`
	Grace          time.Duration `placeholder:"TIME" default:"10s" help:"How long a stop waits for requests before it breaks them off and exits with 1. (${default})"`
}

// Validate is called by kong when all is parsed.
func (c *frontCommand) Validate() error {
	_, port, err := net.SplitHostPort(c.HTTP)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%q: want HOST:PORT: %w", c.HTTP, err)
	case c.Mount != "" && !strings.HasPrefix(c.Mount, "/"):
		return fmt.Errorf("--mount: %q must begin with a slash", c.Mount)
	case c.ConnectTimeout <= 0 || c.HeaderTimeout < 0 || c.Grace <= 0 || c.MaxBody < 0:
		return fmt.Errorf("--connect-timeout, --header-timeout, --max-body, --grace: must be more than nothing")
	}
	return nil
}

// Run serves until a signal ends it.
func (c *frontCommand) Run(env program.Environment) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	signal.Ignore(syscall.SIGPIPE) // the end of a log's reader is not ours

	remote, err := listen.ParseRemote(c.Addr)
	if err != nil {
		return program.UsageError{Err: err}
	}
	logger, flush := terminal.NewLogger(env.Stderr)
	defer flush()
	dialer := net.Dialer{Timeout: c.ConnectTimeout}
	f, err := front.Start(context.Background(), front.Config{
		Address: c.HTTP,
		Transport: &scgi.Transport{Network: remote.Network, Address: remote.Address, Mount: c.Mount, DialContext: dialer.DialContext,
			ResponseHeaderTimeout: c.HeaderTimeout, MaxBufferedBody: orNone(c.MaxBody)},
		Logger:      slog.New(zerolog.NewSlogHandler(logger)),
		LogRequests: true,
	})
	if err != nil {
		return err
	}
	logger.Info().Stringer("http", f.Addr()).Str("application", c.Addr).Str("mount", c.Mount).Msg("serving")
	select {
	case sig := <-signals:
		logger.Info().Stringer("signal", sig).Stringer("grace", c.Grace).Msg("stopping")
	case <-f.Ended():
	}
	go func() {
		<-signals
		logger.Warn().Msg("stopped at once by a second signal")
		flush()
		os.Exit(program.Failed)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), c.Grace)
	defer cancel()
	if err := f.Stop(ctx); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	logger.Info().Msg("stopped")
	return nil
}

// orNone gives scgi.Transport's word for none.
func orNone(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}
