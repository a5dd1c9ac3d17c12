package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/cgihost"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/cmd/internal/program"
)

// cgiSettings are what `windsock serve` is told of CGI programs.
type cgiSettings struct {
	Programs []string      `name:"cgi" sep:"none" placeholder:"/PREFIX=PATH" env:"WINDSOCK_CGI" help:"Run a CGI program, or those in a folder, for the paths below PREFIX (and below the mount). They run with all rights of windsock. Repeatable."`
	Running  int           `name:"cgi-running" placeholder:"N" env:"WINDSOCK_CGI_RUNNING" default:"8" help:"How many CGI programs run at a time. (${default})"`
	Waiting  int           `name:"cgi-waiting" placeholder:"N" env:"WINDSOCK_CGI_WAITING" default:"64" help:"How many requests wait for one; more are answered 503. (${default})"`
	Timeout  time.Duration `name:"cgi-timeout" placeholder:"TIME" env:"WINDSOCK_CGI_TIMEOUT" default:"1m" help:"How long a CGI program may run, and a request wait for it. (${default})"`
	Body     byteSize      `name:"cgi-body" placeholder:"SIZE" env:"WINDSOCK_CGI_BODY" default:"1GiB" help:"How large the body of a request for a CGI program may be; a larger one is answered 413. (${default})"`
	Output   byteSize      `name:"cgi-output" placeholder:"SIZE" env:"WINDSOCK_CGI_OUTPUT" default:"100MiB" help:"How much a CGI program may print. (${default})"`
	Disk     byteSize      `name:"cgi-disk" placeholder:"SIZE" env:"WINDSOCK_CGI_DISK" default:"4GiB" help:"How much the temporary files of all CGI requests may take together, in TMPDIR or /tmp; a request that needs more is answered 503. (${default})"`
	Env      []string      `name:"cgi-env" sep:"none" placeholder:"NAME=VALUE" env:"WINDSOCK_CGI_ENV" help:"A further variable in the environment of all CGI programs. Repeatable."`
}

// faults is all that is wrong with them by themselves.
func (c *cgiSettings) faults() (faults []error) {
	if _, err := c.mounts(); err != nil {
		faults = append(faults, err)
	}
	for _, text := range c.Env {
		if err := cgihost.CheckEnv(text); err != nil {
			faults = append(faults, program.UsageError{Err: fmt.Errorf("--cgi-env: %w", err)})
		}
	}
	if c.Running <= 0 || c.Waiting < 0 || c.Timeout <= 0 {
		faults = append(faults, errors.New("--cgi-running and --cgi-timeout must be more than nothing, --cgi-waiting not less"))
	}
	if min(c.Body, c.Output, c.Disk) <= 0 {
		faults = append(faults, errors.New("--cgi-body, --cgi-output and --cgi-disk must be more than nothing"))
	}
	if c.Disk < max(c.Body, c.Output) {
		faults = append(faults, errors.New("--cgi-disk must not be less than --cgi-body and --cgi-output: a request that needs more could never be answered"))
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
		case web.IsOwnPath(m.Prefix):
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

// programs runs the CGI programs. It is nil without --cgi.
type programs struct{ host *cgihost.Host }

// check says what is wrong with the programs and folders on this machine, with
// the folder for temporary files, and whether requests that wait for programs
// could take too many connections from others.
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
	if err := checkTemporary(os.TempDir()); err != nil {
		faults = append(faults, fmt.Errorf("temporary files of CGI requests (TMPDIR says where): %w", err))
	}
	if conns := maxConns(1, c.Running); c.Running > conns/4-c.Waiting { // whose sum may be too large for a number
		faults = append(faults, program.UsageError{Err: fmt.Errorf("--cgi-running and --cgi-waiting are %d and %d, and may take a quarter of the %d connections"+
			" that the limit of descriptors allows: lower them, or raise it (ulimit -n)", c.Running, c.Waiting, conns)})
	}
	return errors.Join(faults...)
}

// checkTemporary says what keeps temporary files from being made in a folder.
func checkTemporary(folder string) error {
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		return fmt.Errorf("%s is no folder", folder)
	}
	return writable(folder)
}

// newPrograms makes ready to run them. It returns nil when there is no --cgi.
func (c *cgiSettings) newPrograms(mount string, inFlight *admission.Budget, logger zerolog.Logger) (*programs, error) {
	mounts, err := c.mounts()
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &programs{&cgihost.Host{
		Programs:  mounts,
		Mount:     mount,
		Gate:      admission.Gate{Places: c.Running, Waiting: c.Waiting, Patience: c.Timeout},
		Timeout:   c.Timeout,
		MaxBody:   int64(c.Body),
		MaxOutput: int64(c.Output),
		Budget:    inFlight,
		Disk:      &admission.Budget{Bytes: int64(c.Disk)},
		Env:       c.Env,
		Software:  software(),
		Logger:    logger,
	}}, nil
}

// find is web.Handler's Other.
func (p *programs) find(r *http.Request) http.Handler {
	if p == nil || !p.host.Has(r) {
		return nil
	}
	return p.host
}

// drain refuses the requests that wait for a program.
func (p *programs) drain() {
	if p != nil {
		p.host.Gate.Drain()
	}
}

// close ends the programs that run, and waits for that.
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
