package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/windsock-scgi/windsock/scgi/listen"
)

// dataFolder holds what the defaults name, and is made for them.
const dataFolder = "data"

type serveCommand struct {
	Listen []string      `placeholder:"ADDR" sep:"none" env:"WINDSOCK_LISTEN" default:"unix:data/windsock.sock" help:"Where front ends connect: unix:PATH[?mode=0660&group=NAME], tcp:HOST:PORT[?allow=CIDR], fd:N or systemd:NAME. Repeatable. (${default})"`
	Store  string        `placeholder:"URL" env:"WINDSOCK_STORE" default:"sqlite:data/windsock.db" help:"Where messages are kept: sqlite:PATH. (${default})"`
	Mount  string        `placeholder:"PATH" env:"WINDSOCK_MOUNT" help:"The path that the front end serves us under, such as /habitat. Needed only where the front end sends no PATH_INFO (nginx's stock scgi_params)."`
	HTTP   string        `name:"http" placeholder:"HOST:PORT" env:"WINDSOCK_HTTP" help:"Also serve plain HTTP there, through the first --listen address: a front end for development."`
	Grace  time.Duration `placeholder:"TIME" env:"WINDSOCK_GRACE" default:"10s" help:"How long a stop waits for requests before it breaks them off and exits with 1. (${default})"`

	Keep          keepLimit    `placeholder:"AGE|SIZE" env:"WINDSOCK_KEEP" default:"unlimited" help:"How long messages are kept, or how large the store may become: 90d, 12h, 20GB, 500MiB, both with a comma, or unlimited. What is beyond is deleted for good. (${default})"`
	KeepAddresses addressLimit `placeholder:"AGE" env:"WINDSOCK_KEEP_ADDRESSES" default:"30d" help:"How long the addresses of clients are kept with their messages: 30d, 12h, 0 for not at all, or unlimited. (${default})"`
}

// Validate is called by kong when all is parsed.
func (c *serveCommand) Validate() error {
	for _, addr := range c.Listen {
		if _, err := listen.Parse(addr); err != nil {
			return err
		}
	}
	if _, err := storePath(c.Store); err != nil {
		return err
	}
	if c.Mount != "" && !strings.HasPrefix(c.Mount, "/") {
		return fmt.Errorf("--mount: %q must begin with a slash", c.Mount)
	}
	if c.HTTP != "" {
		_, port, err := net.SplitHostPort(c.HTTP)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		if err != nil {
			return fmt.Errorf("--http: %w", err)
		}
	}
	if c.Grace <= 0 {
		return errors.New("--grace: must be more than nothing")
	}
	return nil
}

// storePath is the file that a store's URL names.
func storePath(url string) (string, error) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok || path == "" {
		return "", usageError{fmt.Errorf("--store: %q is not sqlite:PATH", url)}
	}
	return path, nil
}

// Run serves until a signal or a failure ends it.
func (c *serveCommand) Run(env environment) error {
	// Signals first: one that comes while the rest starts is not lost. Without
	// SIGPIPE the end of a log's reader is not ours.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	signal.Ignore(syscall.SIGPIPE)

	logger, flush := newLogger(env.stderr)
	defer flush()
	s, err := c.start(logger)
	if err != nil {
		return err
	}
	logger.Info().Strs("listen", s.addresses()).Str("store", c.Store).Str("version", versionText()).Msg("serving")
	if s.front != nil {
		s.front.explain(env.stdout)
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
		logger.Warn().Msg("stopped at once by a second signal")
		flush()
		os.Exit(exitFailed)
	}()
	if err := errors.Join(failure, s.stop(c.Grace)); err != nil {
		return err
	}
	logger.Info().Msg("stopped")
	return nil
}
