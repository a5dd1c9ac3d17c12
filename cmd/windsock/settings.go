package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/windsock-scgi/windsock/cmd/internal/program"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

// dataFolder holds what the defaults name, and is made for them.
const dataFolder = "data"

// minInFlight is the smallest --in-flight, so that no request within the limits of
// the HTTP surface is always refused.
const minInFlight = 32 << 20

// settings are what `windsock serve` takes, and `windsock check` looks at.
type settings struct {
	Listen []string      `placeholder:"ADDR" sep:"none" env:"WINDSOCK_LISTEN" default:"unix:data/windsock.sock" help:"Where front ends connect: unix:PATH[?mode=0660&group=NAME], tcp:HOST:PORT[?allow=CIDR], fd:N or systemd:NAME. Repeatable. (${default})"`
	Store  string        `placeholder:"URL" env:"WINDSOCK_STORE" default:"sqlite:data/windsock.db" help:"Where messages are kept: sqlite:PATH. (${default})"`
	Mount  string        `placeholder:"PATH" env:"WINDSOCK_MOUNT" help:"The path that the front end serves us under, such as /habitat. Needed only where the front end sends no PATH_INFO (nginx's stock scgi_params)."`
	HTTP   string        `name:"http" placeholder:"HOST:PORT" env:"WINDSOCK_HTTP" help:"Also serve plain HTTP there, through the first --listen address: a front end for development."`
	Grace  time.Duration `placeholder:"TIME" env:"WINDSOCK_GRACE" default:"10s" help:"How long a stop waits for requests before it breaks them off and exits with 1. (${default})"`

	InFlight byteSize `placeholder:"SIZE" env:"WINDSOCK_IN_FLIGHT" default:"256MiB" help:"How much memory all requests together may hold for bodies being received and answers being sent; the first 16 KiB of each are free. A request for which there is no more is answered 503. (${default})"`

	Keep          keepLimit    `placeholder:"AGE|SIZE" env:"WINDSOCK_KEEP" default:"unlimited" help:"How long messages are kept, or how large the store may become: 90d, 12h, 20GB, 500MiB, both with a comma, or unlimited. What is beyond is deleted for good. (${default})"`
	KeepAddresses addressLimit `placeholder:"AGE" env:"WINDSOCK_KEEP_ADDRESSES" default:"30d" help:"How long the addresses of clients are kept with their messages: 30d, 12h, 0 for not at all, or unlimited. (${default})"`

	CGI cgiSettings `embed:""`
}

// faults is all that is wrong with the settings by themselves, whatever machine
// they are used on.
func (s *settings) faults() (faults []error) {
	add := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	for _, addr := range s.Listen {
		_, err := listen.Parse(addr)
		add(err)
	}
	_, err := storePath(s.Store)
	add(err)
	if s.Mount != "" && !strings.HasPrefix(s.Mount, "/") {
		add(fmt.Errorf("--mount: %q must begin with a slash", s.Mount))
	}
	if s.HTTP != "" {
		_, port, err := net.SplitHostPort(s.HTTP)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		if err != nil {
			add(fmt.Errorf("--http: %w", err))
		}
	}
	if s.Grace <= 0 {
		add(errors.New("--grace: must be more than nothing"))
	}
	if s.InFlight < minInFlight {
		add(errors.New("--in-flight: 32MiB is the least: the largest batch takes up to that when it is decoded"))
	}
	return append(faults, s.CGI.faults()...)
}

// storePath is the file that a store's URL names.
func storePath(url string) (string, error) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok || path == "" {
		return "", program.UsageError{Err: fmt.Errorf("--store: %q is not sqlite:PATH", url)}
	}
	return path, nil
}
