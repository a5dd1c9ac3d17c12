package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// An EventSource behind nginx comes back after windsock was away for longer than
// its client waits, and misses nothing.
func TestEventSourceComesBack(t *testing.T) {
	t.Parallel()
	frontend.Require(t, frontend.Nginx)
	client := eventSourceClient(t)
	dir := folder(t)
	backend := "unix:" + filepath.Join(dir, "windsock.sock")
	p := serve(t, dir, "--listen", backend)
	front := frontend.Start(t, frontend.Nginx, frontend.Config{Backend: backend, Style: frontend.Deploy})
	cmd := exec.Command("node", client, front.URL+"/habitat/messages/stream")
	events := launch(t, dir, cmd).stdout.reader()

	events.expect(t, `"open"`)
	post := func(names ...string) {
		for _, name := range names {
			_, stderr, code := run(t, dir, note(name), "post", "--to", backend)
			require.Zero(t, code, stderr)
		}
	}
	post("one", "two")
	events.expect(t, `"name":"one"`)
	events.expect(t, `"name":"two"`)

	require.Zero(t, p.stop())
	events.expect(t, `"error"`)
	for range 2 { // nginx answers while windsock is away: for 8 s, by the client's own 3 s and the 5 s it is told
		events.expect(t, `"open"`)
		events.expect(t, `"error"`)
	}
	p = serve(t, dir, "--listen", backend)
	post("missed", "missed, too")
	events.expect(t, `"open"`)
	events.expect(t, `"name":"missed"`)
	events.expect(t, `"name":"missed, too"`)
	post("live")
	events.expect(t, `"name":"live"`)
	assert.Zero(t, p.stop())
}

// eventSourceClient returns the path of testdata/eventsource/client.mjs in a folder
// where npm has installed the modules that it needs.
func eventSourceClient(t *testing.T) string {
	t.Helper()
	frontend.RequireProgram(t, "node", "nodejs")
	npm := frontend.RequireProgram(t, "npm", "npm")
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "testdata", "eventsource"))))
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		require.NotEqual(t, "true", os.Getenv("CI"), "npm ci: %s", out)
		t.Skipf("NOT TESTED: npm cannot install the EventSource client: %s", out)
	}
	return filepath.Join(dir, "client.mjs")
}

// lineReader reads an output line by line while it grows.
type lineReader struct {
	output *logReader
	read   int // bytes of it
}

func (l *logReader) reader() *lineReader { return &lineReader{output: l} }

// expect waits for the next line, and holds that it contains some text.
func (r *lineReader) expect(t *testing.T, text string) {
	t.Helper()
	for {
		all, changed, atEnd := r.output.state()
		if line, _, whole := strings.Cut(all[r.read:], "\n"); whole {
			r.read += len(line) + 1
			require.Contains(t, line, text)
			return
		}
		require.False(t, atEnd, "it has ended, and %s was expected", text)
		<-changed
	}
}
