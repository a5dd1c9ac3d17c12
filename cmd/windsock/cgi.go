package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/cgihost"
	"github.com/windsock-scgi/windsock/cmd/internal/program"
)

// cgiSettings are what `windsock serve` is told of CGI programs.
type cgiSettings struct {
	Programs []string      `name:"cgi" sep:"none" placeholder:"/PREFIX=PATH" env:"WINDSOCK_CGI" help:"Run a CGI program, or those in a folder, for the paths below PREFIX (and below the mount). They run with all rights of windsock. Repeatable."`
	Running  int           `name:"cgi-running" placeholder:"N" env:"WINDSOCK_CGI_RUNNING" default:"8" help:"How many CGI programs run at a time. (${default})"`
	Waiting  int           `name:"cgi-waiting" placeholder:"N" env:"WINDSOCK_CGI_WAITING" default:"100" help:"How many requests wait for one; more are answered 503. (${default})"`
	Timeout  time.Duration `name:"cgi-timeout" placeholder:"TIME" env:"WINDSOCK_CGI_TIMEOUT" default:"1m" help:"How long a CGI program may run, and a request wait for it. (${default})"`
	Output   int64         `name:"cgi-output" placeholder:"MIB" env:"WINDSOCK_CGI_OUTPUT" default:"100" help:"How much a CGI program may print, in MiB. (${default})"`
}

// faults is all that is wrong with them by themselves.
func (c *cgiSettings) faults() (faults []error) {
	if _, err := c.mounts(); err != nil {
		faults = append(faults, err)
	}
	if c.Running <= 0 || c.Waiting < 0 || c.Timeout <= 0 || c.Output <= 0 || c.Output > 1<<20 {
		faults = append(faults, errors.New("--cgi-running, --cgi-timeout and --cgi-output must be more than nothing, --cgi-waiting not less, --cgi-output at most 1048576"))
	}
	return faults
}

func (c *cgiSettings) mounts() (mounts []cgihost.Mount, err error) {
	seen := make(map[string]bool)
	for _, text := range c.Programs {
		m, err := cgihost.ParseMount(text)
		switch {
		case err != nil:
		case seen[m.Prefix]:
			err = fmt.Errorf("%q: there is a --cgi for %s/ already", text, m.Prefix)
		case app.IsOwnPath(m.Prefix):
			err = fmt.Errorf("%q: %s is windsock's own", text, m.Prefix)
		}
		if err != nil {
			return nil, program.UsageError{Err: fmt.Errorf("--cgi: %w", err)}
		}
		seen[m.Prefix] = true
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// programs runs the CGI programs behind a queue.
type programs struct {
	host  *cgihost.Host
	queue *app.Queue
}

// check looks whether the programs and folders are there, and whether those who
// wait for them could take too many connections from others.
func (c *cgiSettings) check() error {
	mounts, err := c.mounts()
	if err != nil || len(mounts) == 0 {
		return err
	}
	var faults []error
	for _, m := range mounts {
		if err := m.Check(); err != nil {
			faults = append(faults, fmt.Errorf("--cgi %s/: %w", m.Prefix, err))
		}
	}
	if conns := maxConns(1, c.Running); c.Running > conns/4-c.Waiting { // whose sum may be too large for a number
		faults = append(faults, program.UsageError{Err: fmt.Errorf("--cgi-running and --cgi-waiting are %d and %d, and may take a quarter of the %d connections"+
			" that the limit of descriptors allows: lower them, or raise it (ulimit -n)", c.Running, c.Waiting, conns)})
	}
	return errors.Join(faults...)
}

// newPrograms makes ready to run them. It returns nil when there is no --cgi.
func (c *cgiSettings) newPrograms(mount string, logger zerolog.Logger) (*programs, error) {
	mounts, err := c.mounts()
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	host := &cgihost.Host{
		Programs:  mounts,
		Mount:     mount,
		Timeout:   c.Timeout,
		MaxOutput: c.Output << 20,
		Software:  software(),
		Logger:    logger,
	}
	return &programs{host, &app.Queue{Handler: host, Running: c.Running, Waiting: c.Waiting, Patience: c.Timeout}}, nil
}

// find is app.Handler's Other.
func (p *programs) find(r *http.Request) http.Handler {
	if p == nil || !p.host.Has(r) {
		return nil
	}
	return p.queue
}

// drain answers who waits, close ends who runs.
func (p *programs) drain() {
	if p != nil {
		p.queue.Drain()
	}
}

func (p *programs) close() {
	if p != nil {
		p.host.Close()
	}
}

// kill leaves no program behind when there is no time to wait for that.
func (p *programs) kill() {
	if p != nil {
		p.host.Kill()
	}
}

// software is SERVER_SOFTWARE: a version only where it may stand in that, RFC
// 3875, section 4.1.17.
func software() string {
	if version == "" {
		return "windsock"
	}
	return "windsock/" + version
}
