//go:build unix

package frontend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/windsock-scgi/windsock/deploy"
)

// site is one front end's configuration on disk: what the templates are filled with.
type site struct {
	Config
	Addr   address
	Prefix string // folder of all its files
	Port   int
	User   string // whom workers run as; empty when the caller is not root
}

// program is what the harness has to know of a front end.
type program struct {
	name, debianPackage string
	workers             func() (string, error)       // whom root's workers run as
	write               func(site) error             // puts the configuration into the prefix
	run, check          func(prefix string) []string // arguments
}

var programs = map[Kind]program{Nginx: nginx, Lighttpd: lighttpd, Apache: apache}

// newSite makes the prefix and everything in it.
func newSite(prog program, cfg Config, prefix string, port int) (site, error) {
	s := site{Config: cfg, Prefix: prefix, Port: port}
	var err error
	if s.Addr, err = parseBackend(cfg.Backend); err != nil {
		return s, err
	}
	if os.Getuid() == 0 {
		if s.User, err = prog.workers(); err != nil {
			return s, err
		}
	}
	if err := s.writeDocuments(); err != nil {
		return s, err
	}
	return s, prog.write(s)
}

// writeDocuments makes the document root with the one file that shows the front end is up and is ours.
func (s site) writeDocuments() error {
	for _, dir := range []string{"srv", "tmp"} {
		if err := os.Mkdir(filepath.Join(s.Prefix, dir), 0o755); err != nil {
			return err
		}
	}
	if err := s.writeFile("srv/"+readyFile, s.Prefix); err != nil {
		return err
	}
	// Apache's workers read these, whatever the umask was.
	return errors.Join(
		os.Chmod(filepath.Join(s.Prefix, "srv"), 0o755),
		os.Chmod(filepath.Join(s.Prefix, "srv", readyFile), 0o644),
	)
}

// readyFile is served by the front end itself and holds its prefix: another server on the port, which
// took it before ours could, does not have that.
const readyFile = "frontend-is-ready.txt"

func (s site) errorLog() string { return filepath.Join(s.Prefix, "error.log") }

func (s site) writeFile(name, text string) error {
	return os.WriteFile(filepath.Join(s.Prefix, name), []byte(text), 0o644)
}

// writeTemplate fills the template in and writes it.
func (s site) writeTemplate(name string, tmpl *template.Template) error {
	var text strings.Builder
	if err := tmpl.Execute(&text, s); err != nil {
		return fmt.Errorf("frontend: %s: %w", name, err)
	}
	return s.writeFile(name, text.String())
}

// writeDeployed writes files of the deploy folder, byte for byte.
func (s site) writeDeployed(dir string, names ...string) error {
	for _, name := range names {
		text, err := deploy.Files.ReadFile(dir + "/" + name)
		if err != nil {
			return err
		}
		if err := s.writeFile(name, string(text)); err != nil {
			return err
		}
	}
	return nil
}
