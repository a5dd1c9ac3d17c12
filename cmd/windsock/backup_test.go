package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page is what GET /messages gives.
type page struct {
	Log      string
	Messages []struct {
		Seq  int64
		Data struct{ Name string }
	}
}

func messagesOf(t *testing.T, p *process, query string) (status int, got page) {
	t.Helper()
	client := &http.Client{Transport: p.transport()}
	resp, err := client.Get("http://windsock/messages?" + query)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.StatusCode == http.StatusOK {
		require.NoError(t, json.Unmarshal(body, &got))
	}
	return resp.StatusCode, got
}

// restoreSteps are the commands that deploy/README.md gives to restore a backup.
func restoreSteps(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../deploy/README.md")
	require.NoError(t, err)
	block := regexp.MustCompile(`(?s)\*\*Restore\*\*.*?\n\n((?:      [^\n]*\n)+)`).FindSubmatch(readme)
	require.NotNil(t, block)
	return string(block[1])
}

// TestRestore backs up a windsock that serves, and restores by the steps in
// deploy/README.md, word for word.
func TestRestore(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	for n := range 5 {
		status, answer, err := p.post(note(fmt.Sprint("before ", n)))
		assertPosted(t, status, answer, err)
	}
	stdout, stderr, code := run(t, dir, "", "backup", "backup.db")
	require.Zero(t, code, stderr)
	assert.Regexp(t, `^backup\.db: log [0-9a-f]{16}, 5 messages, up to seq 5, \d+ bytes\n$`, stdout)
	assert.Empty(t, stderr, "silent in a pipe")
	status, answer, err := p.post(note("after the backup"))
	assertPosted(t, status, answer, err)
	_, old := messagesOf(t, p, "")
	require.Len(t, old.Messages, 6)
	assert.Zero(t, p.stop())

	steps := exec.Command("sh", "-e", "-c", restoreSteps(t))
	steps.Dir = dir
	steps.Env = append(surroundings(), "PATH="+pathWith(t, binary(t, buildFlags...)))
	out, err := steps.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Regexp(t, `^sqlite:data/windsock\.db: log [0-9a-f]{16}, 5 messages, seq 1 to 5\n$`, string(out))
	assert.NotContains(t, string(out), old.Log, "it has a name of its own")

	p = serve(t, dir)
	_, restored := messagesOf(t, p, "")
	assert.Equal(t, old.Messages[:5], restored.Messages)
	assert.NotEqual(t, old.Log, restored.Log)
	status, _ = messagesOf(t, p, "after=6&log="+old.Log)
	assert.Equal(t, http.StatusGone, status, "a reader who has seen more is told")
	status, answer, err = p.post(note("before 2"))
	assertPosted(t, status, answer, err)
	status, answer, err = p.post(note("another one"))
	assertPosted(t, status, answer, err)
	_, now := messagesOf(t, p, "after=4")
	require.Len(t, now.Messages, 2, "a retry is known, what is new is stored")
	assert.Equal(t, int64(6), now.Messages[1].Seq)
	assert.Zero(t, p.stop())
	_, stderr, code = run(t, dir, "", "check")
	assert.Zero(t, code, stderr)
	_, stderr, code = run(t, dir, "", "check", "--store", "sqlite:data/old/windsock.db")
	assert.Zero(t, code, stderr)
}

// pathWith is a search path on which windsock is the one that was built.
func pathWith(t *testing.T, program string) string {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.Symlink(program, filepath.Join(bin, "windsock")))
	return strings.Join([]string{bin, os.Getenv("PATH")}, string(os.PathListSeparator))
}

func TestBackupRefuses(t *testing.T) {
	dir := folder(t)
	_, stderr, code := run(t, dir, "", "backup")
	assert.Equal(t, 2, code, stderr)
	_, stderr, code = run(t, dir, "", "backup", "x.db", "--store", "nats:x")
	assert.Equal(t, 2, code, stderr)
	_, stderr, code = run(t, dir, "", "backup", "x.db")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "data")
	p := serve(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.db"), []byte("a letter"), 0o600))
	for _, args := range [][]string{{"x.db"}, {"x.db", "--replace"}, {"data/windsock.db", "--replace"}} {
		_, stderr, code = run(t, dir, "", append([]string{"backup"}, args...)...)
		assert.Equal(t, 1, code, stderr)
	}
	content, err := os.ReadFile(filepath.Join(dir, "x.db"))
	require.NoError(t, err)
	assert.Equal(t, "a letter", string(content))
	assert.Zero(t, p.stop())
}
