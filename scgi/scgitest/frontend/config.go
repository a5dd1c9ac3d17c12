//go:build unix

package frontend

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"strings"
)

// Kind names a front end.
type Kind string

// The front ends.
const (
	Nginx    Kind = "nginx"
	Lighttpd Kind = "lighttpd"
	Apache   Kind = "apache"
)

// All returns every Kind.
func All() []Kind { return []Kind{Nginx, Lighttpd, Apache} }

// Style says which configuration puts the mount before the backend.
type Style string

const (
	// Deploy, the default, is the file in this module's deploy folder, byte for byte, with its limits
	// (4 MiB of body). Its mount is /habitat.
	Deploy Style = "deploy"

	// Full gives the application everything the front end can: SCRIPT_NAME and PATH_INFO, Authorization,
	// encoded slashes, and bodies up to 2 GiB.
	Full Style = "full"

	// Stock is the least that works. nginx: include scgi_params and scgi_pass, so neither SCRIPT_NAME nor
	// PATH_INFO. lighttpd: a key with a slash at its end, so that SCRIPT_NAME takes one segment too many.
	// Apache: a bare ProxyPass, so no PATH_INFO and no Authorization.
	Stock Style = "stock"
)

// Config says what a front end does.
type Config struct {
	// Backend is the SCGI server, "unix:/path" or "tcp:host:port"; for a listener l it is
	// l.Addr().Network() + ":" + l.Addr().String(). Empty is for Style Deploy only and means
	// the address in the deploy files, /run/windsock/windsock.sock.
	//
	// As root, a unix socket that is there when Apache is started is made writable for everybody, because
	// Apache's workers are not root. One that appears later has to be so by itself.
	Backend string

	// Mount is the path that is handed to the backend, without a slash at its end. Empty means /habitat.
	Mount string

	// Style is the kind of configuration. Empty means Deploy.
	Style Style

	// Server is put into the configuration as it is: in nginx's server block, in lighttpd's global
	// section, at Apache's server level; in all three before the mount, where a setting of the mount's own
	// wins (Deploy turns nginx's scgi_request_buffering on, for one).
	Server string

	// Location is put inside what stands for the mount: nginx's location, lighttpd's condition, Apache's
	// Location. Style Deploy has no place for it.
	Location string
}

// withDefaults fills in what is empty and refuses what cannot be configured.
func (c Config) withDefaults() (Config, error) {
	c.Mount = cmp.Or(c.Mount, "/habitat")
	c.Style = cmp.Or(c.Style, Deploy)
	if !mountPattern.MatchString(c.Mount) {
		return c, fmt.Errorf("frontend: mount %q is not like /name", c.Mount)
	}
	switch c.Style {
	case Deploy:
		return c, c.checkDeploy()
	case Full, Stock:
		if c.Backend == "" {
			return c, fmt.Errorf("frontend: style %s needs a Backend", c.Style)
		}
		return c, nil
	}
	return c, fmt.Errorf("frontend: no style %q", c.Style)
}

// The mount is written into regular expressions and quoted nowhere.
var mountPattern = regexp.MustCompile(`^(/[A-Za-z0-9_-]+)+$`)

func (c Config) checkDeploy() error {
	if c.Mount != "/habitat" {
		return fmt.Errorf("frontend: the deploy files mount at /habitat, not %s", c.Mount)
	}
	if c.Location != "" {
		return fmt.Errorf("frontend: the deploy files are taken as they are: Location must be empty, use Server or another Style")
	}
	return nil
}

// address is a parsed Backend. Its zero value is the deploy files' own.
type address struct {
	Socket     string // path of a unix socket; empty for TCP
	Host, Port string
}

func parseBackend(s string) (address, error) {
	network, rest, _ := strings.Cut(s, ":")
	switch {
	case s == "":
		return address{}, nil
	case network == "unix" && strings.HasPrefix(rest, "/"):
		return address{Socket: rest}, nil
	case network == "tcp":
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return address{}, fmt.Errorf("frontend: backend %q: %w", s, err)
		}
		return address{Host: host, Port: port}, nil
	}
	return address{}, fmt.Errorf("frontend: backend %q is neither unix:/path nor tcp:host:port", s)
}

// HostPort is the TCP address as configurations write it, an IPv6 host in brackets.
func (a address) HostPort() string { return net.JoinHostPort(a.Host, a.Port) }
