package sqlite_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// roles are what TestMain can be instead of the tests.
var roles = map[string]func(path string) int{
	"writer":          writerRole,
	"bystander":       func(string) int { return waitForEnd() },
	"file size limit": fileSizeLimitRole,
	"faulty":          faultyRole,
	"full":            fullRole,
	"full prune":      fullPruneRole,
	"backup":          backupRole,
	"restore":         restoreRole,
	"prune":           pruneRole,
	"faulty prune":    faultyPruneRole,
}

// writerRole opens the store and keeps it until its input ends.
func writerRole(path string) int {
	log, err := sqlite.Open(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := log.Append(messages(1, 10)); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("open")
	return waitForEnd()
}

func waitForEnd() int {
	io.Copy(io.Discard, os.Stdin) // ends with the test, whatever that says
	return 0
}

// fileSizeLimitRole makes writing fail with EFBIG, which is not for want of
// space, and then work again.
func fileSizeLimitRole(path string) int {
	signal.Ignore(syscall.SIGXFSZ)
	log, err := sqlite.Open(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer log.Close() // the tests look at what is stored
	report := func(what string, err error) {
		if errors.Is(err, app.ErrStoreFailed) {
			err = errors.New("failed")
		}
		fmt.Printf("%s: %v\n", what, err)
	}
	_, err = log.Append(messages(1, 1))
	report("small", err)

	var limit syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit)
	soft := limit.Cur
	limit.Cur = 64 << 10
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	_, err = log.Append(messages(2, 2000))
	report("large", err)

	limit.Cur = soft
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	_, err = log.Append(messages(2, 2))
	report("later", err)
	n, err := readPages(context.Background(), log)
	if err != nil {
		report("read", err)
	}
	fmt.Printf("read: %d\n", n)
	return 0
}

// role returns a command that is the test binary in a role.
func role(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = environment(name, path)
	return cmd
}

// environment makes the test binary take a role. The race detector would have
// it sleep a second before it exits.
func environment(role, path string) []string {
	return append(os.Environ(), "SQLITE_TEST_ROLE="+role, "SQLITE_TEST_STORE="+path, "GORACE=atexit_sleep_ms=0")
}

// run runs a role to its end and returns what it printed.
func run(t *testing.T, name, path string) string {
	t.Helper()
	out, err := role(t, name, path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// start starts a role that lasts until the input it returns is closed.
func start(t *testing.T, cmd *exec.Cmd) (in io.Closer, out *bufio.Reader) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { stdin.Close(); cmd.Wait() }) // it may have been waited for
	return stdin, bufio.NewReader(stdout)
}

func TestSecondWriter(t *testing.T) {
	path := newPath(t)
	cmd := role(t, "writer", path)
	_, out := start(t, cmd)
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "open\n", line)

	_, err = sqlite.Open(path)
	require.ErrorContains(t, err, fmt.Sprintf("another process is writing to it, pid %d", cmd.Process.Pid))
	reader, err := sqlite.OpenReadOnly(path)
	require.NoError(t, err, "readers are welcome")
	defer reader.Close()
	assert.Equal(t, entries(1, 10), readAll(t, reader))

	require.NoError(t, cmd.Process.Kill())
	assert.Error(t, cmd.Wait())
	log := open(t, path)
	assert.Equal(t, entries(1, 10), readAll(t, log))
	_, err = sqlite.Open(path)
	assert.ErrorContains(t, err, ", pid "+strconv.Itoa(os.Getpid()), "this process has it now")

	store(t, log, 11, 11)
	require.NoError(t, log.Close())
	assert.Equal(t, entries(1, 11), readAll(t, reader), "a reader outlives its writers")
}

// The pid in the lock file may be missing or nonsense: the lock is what counts.
func TestLockWithoutPid(t *testing.T) {
	path := newPath(t)
	open(t, path)
	for _, content := range []string{"", "no number", string(bytes.Repeat([]byte("9"), 30))} {
		require.NoError(t, os.WriteFile(path+".lock", []byte(content), 0o600))
		_, err := sqlite.Open(path)
		assert.ErrorContains(t, err, "another process is writing to it")
		assert.NotContains(t, err.Error(), "pid")
	}
}

// What a child inherits must not keep the store locked after Close.
func TestLockIsNotInherited(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	start(t, role(t, "bystander", path))
	require.NoError(t, log.Close())
	require.NoError(t, open(t, path).Close())
}
