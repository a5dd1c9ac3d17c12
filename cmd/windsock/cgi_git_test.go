package main_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// gitSite serves the repositories in a folder by git-http-backend, a CGI program
// that answers while it still reads, behind nginx.
type gitSite struct {
	t            *testing.T
	repositories string
	url          string
	process      *process
}

func newGitSite(t *testing.T) *gitSite {
	t.Helper()
	frontend.RequireProgram(t, "git", "git")
	dir := folder(t)
	s := &gitSite{t: t, repositories: filepath.Join(dir, "repositories")}
	require.NoError(t, os.Mkdir(s.repositories, 0o755))
	backend := filepath.Join(strings.TrimSpace(s.git("--exec-path")), "git-http-backend")
	s.process = serve(t, dir, "--cgi", "/git="+backend, "--cgi-env", "GIT_PROJECT_ROOT="+s.repositories, "--cgi-env", "GIT_HTTP_EXPORT_ALL=1",
		"--cgi-env", "GIT_CONFIG_COUNT=1", "--cgi-env", "GIT_CONFIG_KEY_0=safe.directory", "--cgi-env", "GIT_CONFIG_VALUE_0=*")
	front := frontend.Start(t, frontend.Nginx, frontend.Config{Style: frontend.Full, Backend: "unix:" + filepath.Join(dir, "data", "windsock.sock")})
	s.url = front.URL + "/habitat/git/"
	return s
}

// git runs git without anybody's settings and returns what it prints.
func (s *gitSite) git(args ...string) string {
	s.t.Helper()
	return s.gitWith("", args...)
}

func (s *gitSite) gitWith(input string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "git", args...)
	cmd.Env = append(os.Environ(), "HOME="+s.repositories, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(s.t, cmd.Run(), "git %v: %s", args, errs.String())
	return out.String()
}

// repository makes a bare one that may be pushed to, with a commit.
func (s *gitSite) repository(name string) (path string) {
	s.t.Helper()
	path = filepath.Join(s.repositories, name)
	s.git("init", "-q", "--bare", path)
	s.git("-C", path, "config", "http.receivepack", "true")
	tree := strings.TrimSpace(s.gitWith("", "-C", path, "mktree"))
	commit := strings.TrimSpace(s.git("-C", path, "commit-tree", "-m", "the first", tree))
	s.git("-C", path, "update-ref", "HEAD", commit)
	return path
}

// A push of some size comes whole: more than nginx sends once an answer has begun.
func TestGitPush(t *testing.T) {
	s := newGitSite(t)
	there := s.repository("push.git")
	here := filepath.Join(t.TempDir(), "clone")
	s.git("clone", "-q", s.url+"push.git", here)
	data := make([]byte, 5<<20)
	_, _ = rand.Read(data) // it never fails
	require.NoError(t, os.WriteFile(filepath.Join(here, "data"), data, 0o644))
	s.git("-C", here, "add", "data")
	s.git("-C", here, "commit", "-q", "-m", "5 MB that do not compress")
	s.git("-C", here, "push", "-q", "origin", "HEAD")
	assert.Equal(t, s.git("-C", here, "rev-parse", "HEAD"), s.git("-C", there, "rev-parse", "HEAD"))
	s.git("-C", there, "fsck", "--strict")
}

// Clones of many refs ask for each by its name: hundreds of kilobytes of body, with
// an answer that begins before it has been read; several at once.
func TestGitClones(t *testing.T) {
	const refs, clones = 10_000, 3
	s := newGitSite(t)
	there := s.repository("refs.git")
	s.manyRefs(there, refs)
	var all sync.WaitGroup
	for range clones {
		here := filepath.Join(t.TempDir(), "clone")
		all.Go(func() {
			s.git("clone", "-q", "--mirror", s.url+"refs.git", here)
			got := strings.Count(s.git("-C", here, "for-each-ref"), "\n")
			assert.Equal(t, refs+1, got)
		})
	}
	all.Wait()
}

// manyRefs gives a repository n branches, each of a commit of its own.
func (s *gitSite) manyRefs(path string, n int) {
	s.t.Helper()
	var stream strings.Builder
	for i := range n {
		fmt.Fprintf(&stream, "commit refs/heads/branch-%d\ncommitter a <a@example.org> %d +0000\ndata 1\nx\n\n", i, i)
	}
	s.gitWith(stream.String(), "-C", path, "fast-import", "--quiet")
	s.git("-C", path, "pack-refs", "--all")
}
