//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// contender is something that answers requests.
type contender struct {
	name    string
	keep    bool // connections stay, which SCGI has not
	request []byte
	start   func(b *bench, cpus []int, address string) (*process, error)
}

const (
	floorName = "C floor"
	oursName  = "scgi"
	keepName  = "net/http, keep-alive"
)

var contenders = []contender{
	{floorName, false, scgiRequest(), startFloor},
	{oursName, false, scgiRequest(), startGo("scgi")},
	{"scgi, portable path", false, scgiRequest(), startGo("scgi-portable")},
	{"plain Go, no parsing", false, scgiRequest(), startGo("plain")},
	{keepName, true, httpRequest(true), startGo("http")},
	{"net/http, new connection", false, httpRequest(false), startGo("http")},
	{"net/http/fcgi, keep-alive", true, fcgiRequest(true), startGo("fcgi")},
	{"net/http/fcgi, new connection", false, fcgiRequest(false), startGo("fcgi")},
	{"uwsgi --scgi-socket", false, scgiRequest(), startUWSGI},
}

// errMissing says that a program for a contender is not here.
var errMissing = errors.New("not measured")

// startFloor compiles the floor and starts it.
func startFloor(b *bench, cpus []int, address string) (*process, error) {
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	if _, err := exec.LookPath(compiler); err != nil {
		return nil, fmt.Errorf("%w: there is no C compiler (%s)", errMissing, compiler)
	}
	program := filepath.Join(b.folder, "floor-program") // the socket is floor
	out, err := exec.Command(compiler, "-O2", "-o", program, filepath.Join("testdata", "bench", "floor.c")).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("compiling testdata/bench/floor.c (run from the top of the repository): %w\n%s", err, out)
	}
	return startReady(cpus, program, address)
}

// startGo starts a server in Go: this program, as another process.
func startGo(kind string) func(*bench, []int, string) (*process, error) {
	return func(_ *bench, cpus []int, address string) (*process, error) {
		return startReady(cpus, "/proc/self/exe", "serve", kind, address)
	}
}

func startReady(cpus []int, name string, args ...string) (*process, error) {
	p, err := start(cpus, nil, name, args...)
	if err != nil {
		return nil, err
	}
	if err := p.ready(); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// uwsgiApp is the application for uwsgi: what the others do.
const uwsgiApp = `
def application(environ, start_response):
    environ['wsgi.input'].read()
    start_response('200 OK', [('Content-Type', 'text/plain; charset=utf-8'), ('Content-Length', '2')])
    return [b'OK']
`

func startUWSGI(b *bench, cpus []int, address string) (*process, error) {
	program, err := exec.LookPath("uwsgi")
	if err != nil {
		return nil, fmt.Errorf("%w: uwsgi is not installed", errMissing)
	}
	app := filepath.Join(b.folder, "app.py")
	if err := os.WriteFile(app, []byte(uwsgiApp), 0o600); err != nil {
		return nil, err
	}
	p, err := start(cpus, nil, program, "--plugin", "python3", "--scgi-socket", address[len("unix:"):], "--wsgi-file", app,
		"--disable-logging", "--listen", "128", "--processes", fmt.Sprint(len(cpus)), "--master", "--die-on-term", "--logto", os.DevNull)
	if err != nil {
		return nil, err
	}
	if err := p.listens(address); err != nil {
		p.stop()
		return nil, fmt.Errorf("%w: uwsgi has no plugin python3, it seems: %w", errMissing, err)
	}
	return p, nil
}
