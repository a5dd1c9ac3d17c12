//go:build unix

package frontend

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The styles that are not the deploy files' also work, over both networks, with large bodies.
func TestFullRequests(t *testing.T) {
	eachNetwork(t, func(t *testing.T, kind Kind, network string) {
		front := Start(t, kind, Config{Backend: serve(t, network, tell).String(), Style: Full})
		t.Run("get", func(t *testing.T) { testGet(t, front) })
		t.Run("post", func(t *testing.T) { testPost(t, front, 9_000_000, false) })
		t.Run("chunked", func(t *testing.T) { testPost(t, front, 2_000_000, true) })
		t.Run("encoded slash", func(t *testing.T) {
			status, text := do(t, newRequest(t, "GET", front.URL+"/habitat/a%2Fb", nil))
			assert.Equal(t, 200, status)
			hasVars(t, text, "REQUEST_URI=/habitat/a%2Fb")
		})
	})
}

func TestStockRequests(t *testing.T) {
	eachNetwork(t, func(t *testing.T, kind Kind, network string) {
		front := Start(t, kind, Config{Backend: serve(t, network, tell).String(), Style: Stock})
		status, text := do(t, newRequest(t, "GET", front.URL+"/habitat/messages", nil))
		assert.Equal(t, 200, status)
		switch kind {
		case Nginx:
			assert.NotContains(t, text, "SCRIPT_NAME")
		default:
			hasVars(t, text, "SCRIPT_NAME=/habitat/messages")
		}
		assert.NotContains(t, text, "PATH_INFO")
		testPost(t, front, 9_000_000, false)
	})
}

// Directives a test gives reach the configuration, at another mount as well.
func TestDirectives(t *testing.T) {
	directives := map[Kind]Config{
		Nginx:    {Server: "set $extra 1;", Location: "scgi_param EXTRA $extra;"},
		Lighttpd: {Server: `server.modules += ( "mod_setenv" )`, Location: `setenv.set-environment = ( "EXTRA" => "1" )`},
		Apache:   {Server: "SetEnvIf Request_URI . MORE=1", Location: "SetEnvIf MORE 1 EXTRA=1"},
	}
	for _, kind := range All() {
		for _, style := range []Style{Full, Stock} {
			t.Run(fmt.Sprintf("%s-%s", kind, style), func(t *testing.T) {
				t.Parallel()
				cfg := directives[kind]
				cfg.Backend, cfg.Mount, cfg.Style = serve(t, "unix", tell).String(), "/a/b", style
				front := Start(t, kind, cfg)
				status, text := do(t, newRequest(t, "GET", front.URL+"/a/b/c", nil))
				assert.Equal(t, 200, status)
				hasVars(t, text, "EXTRA=1", "REQUEST_URI=/a/b/c")
				status, _ = do(t, newRequest(t, "GET", front.URL+"/a/c", nil))
				assert.Equal(t, 404, status)
			})
		}
	}
}

// Somebody else on the chosen port, even somebody who answers HTTP, is not taken for the front end.
func TestPortTaken(t *testing.T) {
	for _, kind := range All() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			other := httptest.NewServer(http.NotFoundHandler())
			defer other.Close()
			taken := other.Listener.Addr().(*net.TCPAddr).Port
			tries := 0
			front := start(t, kind, Config{}, func() (int, error) {
				if tries++; tries == 1 {
					return taken, nil
				}
				return freePort()
			})
			assert.Equal(t, 2, tries)
			assert.NotEqual(t, other.Listener.Addr().String(), front.Addr)
			assert.True(t, front.isReady())
		})
	}
}

func TestStop(t *testing.T) {
	for _, kind := range All() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			front := Start(t, kind, Config{})
			front.Stop()
			front.Stop()
			assert.True(t, front.process.cmd.ProcessState.Exited(), "it ended by itself, not by force")
			_, err := net.Dial("tcp", front.Addr)
			assert.Error(t, err)
			assert.NotContains(t, front.ErrorLog(), "[error]")
		})
	}
}

// Each fault ends the test with what the program says about it.
func TestStartFails(t *testing.T) {
	for _, kind := range All() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			Require(t, kind)
			tb := &recorder{TB: t}
			tb.run(func() { Start(tb, kind, Config{Server: "nonsense"}) })
			require.Len(t, tb.fatal, 1)
			assert.Contains(t, tb.fatal[0], string(kind)+" did not start: it ended: exit status")
			assert.Regexp(t, "nonsense|Configuration of core failed|parser failed", tb.fatal[0])
		})
	}
}

// A failed test gets the error log into its own.
func TestFailureShowsErrorLog(t *testing.T) {
	tb := &recorder{TB: t, failed: true}
	Start(t, Nginx, Config{}).finish(tb)
	require.Len(t, tb.logged, 1)
	assert.Contains(t, tb.logged[0], "start worker process")
}

func TestConfigRefused(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{Mount: "habitat"}, "is not like /name"},
		{Config{Mount: "/habitat/"}, "is not like /name"},
		{Config{Mount: "/other"}, "mount at /habitat"},
		{Config{Location: "x"}, "taken as they are"},
		{Config{Style: Full}, "needs a Backend"},
		{Config{Style: "other"}, "no style"},
		{Config{Backend: "unix:relative"}, "neither unix:/path nor tcp:host:port"},
		{Config{Backend: "127.0.0.1:4000"}, "neither unix:/path nor tcp:host:port"},
		{Config{Backend: "tcp:127.0.0.1"}, "missing port"},
	} {
		Require(t, Nginx)
		tb := &recorder{TB: t}
		tb.run(func() { Start(tb, Nginx, test.cfg) })
		require.Len(t, tb.fatal, 1, "%+v", test.cfg)
		assert.Contains(t, tb.fatal[0], test.want)
	}
	tb := &recorder{TB: t}
	tb.run(func() { Start(tb, "other", Config{}) })
	require.Len(t, tb.fatal, 1)
}

func TestRequireProgram(t *testing.T) {
	t.Setenv("CI", "")
	assert.True(t, filepath.IsAbs(RequireProgram(t, "sh", "dash")))

	tb := &recorder{TB: t}
	tb.run(func() { RequireProgram(tb, "no-such-program", "its-package") })
	require.Len(t, tb.skipped, 1)
	assert.Contains(t, tb.skipped[0], "sudo apt-get install --no-install-recommends its-package")

	t.Setenv("CI", "true")
	tb = &recorder{TB: t}
	tb.run(func() { RequireProgram(tb, "no-such-program", "its-package") })
	assert.Empty(t, tb.skipped)
	assert.Len(t, tb.fatal, 1)
}

func TestSocketDir(t *testing.T) {
	t.Setenv("TMPDIR", "/"+strings.Repeat("long/", 30))
	var dir string
	t.Run("used", func(t *testing.T) {
		dir = SocketDir(t)
		assert.Less(t, len(dir), 40)
		info, err := os.Stat(dir)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o755), info.Mode().Perm())
		require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	})
	assert.NoDirExists(t, dir)
}

// recorder stands in for a test and keeps what happens to it.
type recorder struct {
	testing.TB
	failed                 bool
	fatal, skipped, logged []string
}

// run calls a function that may end its goroutine.
func (r *recorder) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (r *recorder) Failed() bool { return r.failed }

func (r *recorder) Logf(format string, args ...any) {
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = append(r.skipped, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = append(r.fatal, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.fatal = append(r.fatal, fmt.Sprint(args...))
	runtime.Goexit()
}
