package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

type loadCommand struct {
	Addr        string        `arg:"" help:"Where the application listens: unix:PATH or tcp:HOST:PORT."`
	Path        string        `arg:"" help:"The path to ask for, with its query."`
	Method      string        `short:"X" placeholder:"METHOD" help:"The method. (GET, with -d POST)"`
	Connections int           `short:"c" placeholder:"N" default:"10" help:"So many requests at a time, each on a connection of its own. (${default})"`
	Requests    int64         `short:"n" placeholder:"N" help:"So many requests in all."`
	Time        time.Duration `short:"t" placeholder:"TIME" help:"Begin requests for so long; with -n whichever ends first. (10s without -n)"`
	Rate        float64       `placeholder:"N" help:"Begin N requests a second, by the clock, and count latency from that moment. Without it a request begins when another has ended."`
	Timeout     time.Duration `placeholder:"TIME" default:"10s" help:"How long one request may take. (${default})"`
	JSON        bool          `name:"json" help:"Write the report as JSON."`
	message
}

// Validate is called by kong when all is parsed.
func (c *loadCommand) Validate() error {
	switch {
	case c.Connections < 1 || c.Connections > maxLoadConnections:
		return fmt.Errorf("-c: must be from 1 to %d", maxLoadConnections)
	case c.Requests < 0 || c.Time < 0 || c.Rate < 0:
		return errors.New("-n, -t, --rate: must not be negative")
	case c.Timeout <= 0:
		return errors.New("--timeout: must be more than nothing")
	}
	return nil
}

// maxLoadConnections bounds what one process holds.
const maxLoadConnections = 10_000

// defaultLoadTime bounds a load that nothing else bounds.
const defaultLoadTime = 10 * time.Second

// Run makes the load and reports on it. An error or a status of 400 and above,
// even a single one, makes it a failure.
func (c *loadCommand) Run(env environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := c.load(env)
	if err != nil {
		return err
	}
	result, err := l.run(ctx, terminal.NewProgress(env.stderr))
	if err != nil {
		return err
	}
	write := result.writeText
	if c.JSON {
		write = result.writeJSON
	}
	if err := write(env.stdout); err != nil {
		return err
	}
	return result.failure()
}

// load makes the run that the command line asks for.
func (c *loadCommand) load(env environment) (*load, error) {
	remote, err := listen.ParseRemote(c.Addr)
	if err != nil {
		return nil, usageError{err}
	}
	if c.Requests == 0 && c.Time == 0 {
		c.Time = defaultLoadTime
	}
	method := c.Method
	switch {
	case method != "":
	case c.Data != nil:
		method = http.MethodPost
	default:
		method = http.MethodGet
	}
	r, err := c.request(method, c.Path, env.stdin)
	if err != nil {
		return nil, err
	}
	request, err := c.whole(r)
	if err != nil {
		return nil, err
	}
	l := &load{network: remote.Network, address: remote.Address, request: request, method: method,
		connections: c.Connections, timeout: c.Timeout, newWorker: newWorker}
	l.pace.requests, l.pace.duration, l.pace.rate = c.Requests, c.Time, c.Rate
	if c.Requests > 0 {
		l.connections = int(min(int64(c.Connections), c.Requests))
	}
	return l, nil
}
