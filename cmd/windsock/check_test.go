package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every fault of the settings is named, and nothing is touched.
func TestCheckSettings(t *testing.T) {
	dir := folder(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("no socket"), 0o600))
	stdout, stderr, code := run(t, dir, "", "check")
	assert.Zero(t, code, stderr)
	assert.Equal(t, "sqlite:data/windsock.db: there is none yet, serve makes it\nno faults\n", stdout)

	_, stderr, code = run(t, dir, "", "check", "--listen", "tcp:0.0.0.0:4000", "--listen", "unix:nowhere/x.sock",
		"--listen", "unix:y.sock?group=nosuchgroup", "--listen", "unix:file", "--listen", "tcp:nosuchhost.invalid:4000",
		"--store", "sqlite:elsewhere/x.db", "--mount", "habitat", "--http", "8080", "--grace=-1s", "--cgi", "/x=nosuchprogram")
	assert.Equal(t, 1, code)
	for _, want := range []string{"allow=", "nowhere", "nosuchgroup", "no socket", "nosuchhost", "elsewhere", "--mount", "--http", "--grace", "nosuchprogram"} {
		assert.Contains(t, stderr, want)
	}
	assert.Equal(t, 10, strings.Count(stderr, "fault: "), stderr)
	assert.Contains(t, stderr, "faults found: 10")

	_, stderr, code = run(t, dir, "", "check", "--store", "sqlite:file")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "not a windsock store")
	require.NoError(t, os.Symlink("nowhere.db", filepath.Join(dir, "link")))
	_, stderr, code = run(t, dir, "", "check", "--store", "sqlite:link")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "leads nowhere")
	_, _, code = run(t, dir, "", "serve", "--listen", "unix:s", "--store", "sqlite:link")
	assert.Equal(t, 1, code, "as it would be")
	require.NoError(t, os.Remove(filepath.Join(dir, "link")))
	_, _, code = run(t, dir, "", "check", "--no-such-flag")
	assert.Equal(t, 2, code)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1)
}

// A check while it serves finds no fault and changes nothing of how it serves,
// nor does one after kill -9.
func TestCheckWhileServing(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	for n := range 20 {
		status, answer, err := p.post(note(fmt.Sprint(n)))
		assertPosted(t, status, answer, err)
	}
	for range 2 {
		stdout, stderr, code := run(t, dir, "", "check")
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, "20 messages, seq 1 to 20\nno faults\n")
		assert.Empty(t, stderr, "silent in a pipe")
		if p.cmd.ProcessState == nil {
			status, answer, err := p.post(note("0"))
			assertPosted(t, status, answer, err)
			p.signal(syscall.SIGKILL)
			p.wait()
		}
	}
	p = serve(t, dir)
	assert.Zero(t, p.stop())
	_, stderr, code := run(t, dir, "", "check")
	assert.Zero(t, code, stderr)
}

// Many post while it checks: what it reads is a log that grows, and good.
func TestCheckWhilePosting(t *testing.T) {
	p := serve(t, folder(t))
	stop, posted := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				posted <- n
				return
			default:
			}
			status, answer, err := p.post(note(fmt.Sprint(n)))
			assertPosted(t, status, answer, err)
		}
	}()
	for range 5 {
		stdout, stderr, code := run(t, p.folder, "", "check")
		assert.Zero(t, code, stderr)
		assert.Contains(t, stdout, "no faults")
	}
	close(stop)
	n := <-posted
	assert.Greater(t, n, 0)
	stdout, _, _ := run(t, p.folder, "", "check")
	assert.Contains(t, stdout, fmt.Sprintf(" %d messages", n))
	assert.Zero(t, p.stop())
}

// damagePage clears the page of a stopped windsock's store that holds some text.
func damagePage(t *testing.T, dir, text string) {
	t.Helper()
	store := filepath.Join(dir, "data", "windsock.db")
	content, err := os.ReadFile(store)
	require.NoError(t, err)
	at := bytes.Index(content, []byte(text)) / 4096 * 4096
	require.NotZero(t, at)
	clear(content[at : at+4096])
	require.NoError(t, os.WriteFile(store, content, 0o640))
}

// Without its first or its last page nobody knows what the log holds: it does
// not start. What is on other pages can be taken out.
func TestDamagedEnd(t *testing.T) {
	for _, text := range []string{`"number 0"`, `"number 99"`} {
		dir := folder(t)
		p := serve(t, dir)
		postNumbers(t, dir, 100)
		assert.Zero(t, p.stop())
		damagePage(t, dir, text)
		_, stderr, code := run(t, dir, "", "serve")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "the store is damaged (run windsock check)")
		stdout, stderr, code := run(t, dir, "", "check")
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "cannot be read")
		assert.Contains(t, stderr, "restore the newest backup")
		assert.Contains(t, stderr, "windsock export gives what can be read")
		assertSalvaged(t, dir, stderr, stdout)
	}
}

// assertSalvaged holds that an export has all that check could read, names the
// same faults, and fails; and that it can be restored.
func assertSalvaged(t *testing.T, dir, faults, found string) {
	t.Helper()
	_, fault, _ := strings.Cut(faults, "messages from ")
	fault, _, _ = strings.Cut(fault, ":")
	_, found, _ = strings.Cut(found, ", ")
	var readable int
	_, err := fmt.Sscanf(found, "%d messages", &readable)
	require.NoError(t, err)
	out, stderr, code := run(t, dir, "", "export")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "windsock: messages from "+fault)
	assert.Contains(t, stderr, "faults found: 1 (run windsock check)")
	assert.Equal(t, readable, strings.Count(out, "\n"))
	assert.NotZero(t, readable)

	export := filepath.Join(t.TempDir(), "export.ndjson")
	require.NoError(t, os.WriteFile(export, []byte(out), 0o600))
	stdout, stderr, code := run(t, t.TempDir(), "", "restore", export)
	assert.Zero(t, code, stderr)
	assert.Contains(t, stdout, fmt.Sprintf(", %d messages, ", readable))
}

// A store with a second name is a fault that says how it is mended, and serve does
// not start on it under either name.
func TestCheckHardLink(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	other := filepath.Join(dir, "data", "other.db")
	require.NoError(t, os.Link(storeIn(dir), other))
	for _, store := range []string{storeIn(dir), other} {
		stdout, stderr, code := run(t, dir, "", "check", "--store", "sqlite:"+store)
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "has 2 names (hard links)")
		assert.Contains(t, stderr, "find / -xdev -samefile "+store)
		assert.Contains(t, stderr, "faults found: 1")
		assert.Empty(t, stdout)
		_, stderr, code = run(t, dir, "", "serve", "--listen", "unix:second.sock", "--store", "sqlite:"+store)
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, "has 2 names (hard links)")
	}
	assert.Zero(t, p.stop())
}

// A store that cannot even be opened is a fault of the store: check says what to
// do, and does not send on to itself.
func TestCheckWithoutEnd(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	postNumbers(t, dir, 1000)
	assert.Zero(t, p.stop())
	require.NoError(t, os.Truncate(filepath.Join(dir, "data", "windsock.db"), 20_000))
	stdout, stderr, code := run(t, dir, "", "check")
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "fault: sqlite:data/windsock.db: it cannot be opened: ")
	assert.Contains(t, stderr, "restore the newest backup")
	assert.NotContains(t, stderr, "run windsock check")
	assert.Contains(t, stderr, "faults found: 1")
}

// postNumbers posts so many messages.
func postNumbers(t *testing.T, dir string, n int) {
	t.Helper()
	var lines bytes.Buffer
	for i := range n {
		fmt.Fprintln(&lines, note(fmt.Sprint("number ", i)))
	}
	_, stderr, code := run(t, dir, lines.String(), "post")
	require.Zero(t, code, stderr)
}

// A page goes bad: those who read it get 500, the others what they ask for, and
// the log and check say what to do.
func TestDamagedPage(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	postNumbers(t, dir, 4000) // of which a start reads the newest, some 1,000
	assert.Zero(t, p.stop())
	damagePage(t, dir, `"number 500"`)
	p = serve(t, dir)
	client := &http.Client{Transport: p.transport()}
	ask := func(query string) int {
		resp, err := client.Get("http://windsock/messages?" + query)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	assert.Equal(t, http.StatusOK, ask("limit=100"))
	assert.Equal(t, http.StatusInternalServerError, ask("after=400&limit=200"))
	assert.Equal(t, http.StatusOK, ask("after=600&limit=100"))
	p.waitFor("run windsock check")
	status, answer, err := p.post(note("after"))
	assertPosted(t, status, answer, err)
	assert.Equal(t, http.StatusOK, ask("last=1"))

	for range 2 { // while it serves, and afterwards
		stdout, stderr, code := run(t, dir, "", "check")
		assert.Equal(t, 1, code)
		assert.Regexp(t, `fault: sqlite:data/windsock.db: messages from \d+ to \d+ cannot be read`, stderr)
		assert.Contains(t, stderr, "restore the newest backup")
		assertSalvaged(t, dir, stderr, stdout)
		if p.cmd.ProcessState == nil {
			assert.Zero(t, p.stop())
		}
	}
	_, stderr, code := run(t, dir, "", "backup", "bad.db")
	assert.Equal(t, 1, code, "what is damaged is no backup")
	assert.Contains(t, stderr, "windsock check")
	assert.NoFileExists(t, filepath.Join(dir, "bad.db"))
}
