//go:build unix

package frontend

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Frontend is a running front end.
type Frontend struct {
	URL  string // "http://127.0.0.1:port"
	Addr string // "127.0.0.1:port", for raw connections
	Kind Kind

	site    site
	process *process
	stop    sync.Once
}

// Start runs a front end and returns when it answers. It is stopped at the end of the test, and when the
// test has failed the end of its error log is put into the test's log.
func Start(t testing.TB, kind Kind, cfg Config) *Frontend {
	t.Helper()
	return start(t, kind, cfg, freePort)
}

// start is Start with a way to choose ports.
func start(t testing.TB, kind Kind, cfg Config, choosePort func() (int, error)) *Frontend {
	t.Helper()
	prog, path, cfg := prepare(t, kind, cfg)
	const attempts = 5
	for range attempts {
		f, err := launch(t, kind, prog, path, cfg, choosePort)
		if errors.Is(err, errPortTaken) {
			continue
		}
		if err != nil {
			t.Fatalf("frontend: %s did not start: %v", kind, err)
		}
		t.Cleanup(func() { f.finish(t) })
		return f
	}
	t.Fatalf("frontend: %s found its port taken %d times", kind, attempts)
	return nil
}

// prepare finds the program and settles the configuration.
func prepare(t testing.TB, kind Kind, cfg Config) (program, string, Config) {
	t.Helper()
	prog, ok := programs[kind]
	if !ok {
		t.Fatalf("frontend: no front end %q", kind)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return prog, RequireProgram(t, prog.name, prog.debianPackage), cfg
}

// errPortTaken is returned by launch when somebody took the port between choosing it and binding to it.
var errPortTaken = errors.New("frontend: port taken")

// launch tries one port, in a prefix of its own.
func launch(t testing.TB, kind Kind, prog program, path string, cfg Config, choosePort func() (int, error)) (*Frontend, error) {
	t.Helper()
	port, err := choosePort()
	if err != nil {
		return nil, err
	}
	s, err := newSite(prog, cfg, SocketDir(t), port)
	if err != nil {
		return nil, err
	}
	p, err := startProcess(path, prog.run(s.Prefix), s.errorLog())
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	f := &Frontend{URL: "http://" + addr, Addr: addr, Kind: kind, site: s, process: p}
	if err := f.waitReady(); err != nil {
		p.stop()
		return nil, err
	}
	return f, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// waitReady returns nil as soon as the front end answers.
func (f *Frontend) waitReady() error {
	const limit = 20 * time.Second // for a loaded machine: a start takes some 50 ms
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for {
		if f.isReady() {
			return nil
		}
		if f.portIsTaken() {
			return errPortTaken
		}
		select {
		case <-tick.C:
		case <-f.process.done:
			if f.portIsTaken() {
				return errPortTaken
			}
			return fmt.Errorf("it ended: %v\n%s", f.process.cmd.ProcessState, f.ErrorLog())
		case <-deadline:
			return fmt.Errorf("no answer within %v\n%s", limit, f.ErrorLog())
		}
	}
}

// isReady asks for the file that only this front end has.
func (f *Frontend) isReady() bool {
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		Timeout:   2 * time.Second,
	}
	resp, err := client.Get(f.URL + "/" + readyFile)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	return err == nil && string(body) == f.site.Prefix
}

// portIsTaken looks for the text of EADDRINUSE, which all three write. nginx then goes on trying for
// 2.5 seconds, so its end is not waited for.
func (f *Frontend) portIsTaken() bool {
	return strings.Contains(f.ErrorLog(), "Address already in use")
}

// ErrorLog returns what the front end has written to its error log, its standard output and its standard
// error.
func (f *Frontend) ErrorLog() string {
	text, err := os.ReadFile(f.site.errorLog())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Stop ends the front end, by force if it does not end within some seconds, and returns when it has ended.
// Requests on their way are cut off. Calling it again does nothing.
func (f *Frontend) Stop() { f.stop.Do(f.process.stop) }

// finish stops the front end and says what it logged if that may explain a failure.
func (f *Frontend) finish(t testing.TB) {
	f.Stop()
	if t.Failed() {
		t.Logf("end of %s's error log:\n%s", f.Kind, tail(f.ErrorLog(), 4096))
	}
}

func tail(text string, n int) string {
	return text[max(0, len(text)-n):]
}
