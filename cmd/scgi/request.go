package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

type requestCommand struct {
	Addr   string `arg:"" help:"Where the application listens: unix:PATH or tcp:HOST:PORT."`
	Method string `arg:"" help:"GET, POST or any other."`
	Path   string `arg:"" help:"The path to ask for, with its query."`
	message
	Include        bool          `short:"i" help:"Write the answer's header, too, before its body."`
	Verbose        bool          `short:"v" help:"Show on standard error the variables that are sent and the header that comes, as they are."`
	Fail           bool          `short:"f" help:"A status of 400 or above is a failure: nothing is written, the exit code is 1."`
	ConnectTimeout time.Duration `placeholder:"TIME" default:"10s" help:"How long making the connection may take. (${default})"`
	MaxTime        time.Duration `short:"m" placeholder:"TIME" help:"How long all may take. Without it, as long as it takes."`
}

// Validate is called by kong when all is parsed.
func (c *requestCommand) Validate() error {
	if c.ConnectTimeout <= 0 || c.MaxTime < 0 {
		return fmt.Errorf("--connect-timeout, --max-time: must be more than nothing")
	}
	return nil
}

// Run sends the request and writes the answer's body to standard output.
func (c *requestCommand) Run(env environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.MaxTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.MaxTime, fmt.Errorf("not done after %s (--max-time)", c.MaxTime))
		defer cancel()
	}
	remote, err := listen.ParseRemote(c.Addr)
	if err != nil {
		return usageError{err}
	}
	r, err := c.request(c.Method, c.Path, env.stdin)
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: c.ConnectTimeout}
	var seen *tap
	transport := &scgi.Transport{
		Network: remote.Network, Address: remote.Address, MaxBufferedBody: maxHeldBody,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			seen = &tap{Conn: conn, message: &c.message}
			if c.Verbose {
				seen.show = func(vars iter.Seq2[string, string]) { showVars(env.stderr, vars) }
			}
			return seen, nil
		},
	}
	resp, err := transport.RoundTrip(r.WithContext(ctx))
	if seen != nil && c.Verbose {
		showLines(env.stderr, "< ", string(seen.head))
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.write(env.stdout, resp, seen.head)
}

// write writes the answer, of which the header was head.
func (c *requestCommand) write(out io.Writer, resp *http.Response, head []byte) error {
	if c.Fail && resp.StatusCode >= 400 {
		return fmt.Errorf("the answer is %s", printable(resp.Status))
	}
	if c.Include {
		if _, err := out.Write(head); err != nil {
			return err
		}
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("in the answer's body: %w", err)
	}
	return nil
}
