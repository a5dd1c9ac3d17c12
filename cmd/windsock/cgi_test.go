package main_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience bounds waits that only a failure makes long.
const patience = time.Minute

// slowProgram is a CGI program that lasts until the test lets it go. Its files
// say which processes it has, and how many of it ran at a time.
type slowProgram struct{ dir string }

func newSlowProgram(t *testing.T) slowProgram {
	t.Helper()
	p := slowProgram{folder(t)}
	require.NoError(t, os.Mkdir(p.path("running"), 0o755))
	writeProgram(t, p.path("slow"), `#!/bin/sh
[ "$QUERY_STRING" != stubborn ] || trap '' TERM
sleep 600 >/dev/null 2>&1 &
echo $! >running/$$.new
mv running/$$.new running/$$
ls running | grep -vc new >>most
while ! [ -e go ]; do sleep 0.05; done
rm running/$$
printf 'Content-Type: text/plain\n\ndone'
`)
	return p
}

// writeProgram writes an executable file. Meanwhile nothing is started: it would
// have the file open for writing for a moment, and no such file can be run.
func writeProgram(t testing.TB, file, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o755))
}

func (p slowProgram) path(name string) string { return filepath.Join(p.dir, name) }

// letGo lets all that run, and will run, come to their end.
func (p slowProgram) letGo(t *testing.T) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.path("go"), nil, 0o644))
}

// processes waits until n run, and returns them and their children.
func (p slowProgram) processes(t *testing.T, n int) (pids []int) {
	t.Helper()
	require.Eventually(t, func() bool {
		pids = pids[:0]
		files, err := filepath.Glob(p.path("running/*[0-9]"))
		if err != nil || len(files) != n {
			return false
		}
		for _, file := range files {
			child, err := os.ReadFile(file)
			if err != nil {
				return false
			}
			pids = append(pids, number(t, filepath.Base(file)), number(t, string(child)))
		}
		return true
	}, patience, time.Millisecond)
	return pids
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(text))
	require.NoError(t, err)
	return n
}

// most is how many have run at a time.
func (p slowProgram) most(t *testing.T) (most int) {
	t.Helper()
	text, err := os.ReadFile(p.path("most"))
	require.NoError(t, err)
	for _, word := range strings.Fields(string(text)) {
		most = max(most, number(t, word))
	}
	return most
}

// assertGone expects that processes end; one that nobody reaps has ended.
func assertGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		assert.Eventually(t, func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(stat), ") Z ")
		}, patience, time.Millisecond, "process %d is left", pid)
	}
}

// cgiAnswer is an answer, or that there was none.
type cgiAnswer struct {
	status           int
	retryAfter, body string
	err              error
}

// visit sends n requests at once and returns where the answers come.
func (p *process) visit(path string, n int) <-chan cgiAnswer {
	answers := make(chan cgiAnswer, n)
	client := &http.Client{Transport: p.transport()}
	for range n {
		go func() {
			resp, err := client.Get("http://windsock" + path)
			if err != nil {
				answers <- cgiAnswer{err: err}
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			answers <- cgiAnswer{resp.StatusCode, resp.Header.Get("Retry-After"), string(body), err}
		}()
	}
	return answers
}

func expectRefused(t *testing.T, answers <-chan cgiAnswer, n int) {
	t.Helper()
	for range n {
		select {
		case a := <-answers:
			require.NoError(t, a.err)
			require.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
			require.NotEmpty(t, a.retryAfter)
		case <-time.After(patience):
			require.FailNow(t, "not refused")
		}
	}
}

// memory is what windsock takes, in KiB.
func (p *process) memory() int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	m := regexp.MustCompile(`VmRSS:\s*(\d+) kB`).FindStringSubmatch(string(status))
	require.NotNil(p.t, m)
	kib, err := strconv.Atoi(m[1])
	require.NoError(p.t, err)
	return kib
}

// 500 requests for slow programs, again and again: 8 run, 20 wait, the rest are
// refused while those are still at it. As much garbage is kept as there may be
// after some waves; from then on memory is flat: two KiB that stay of each
// request would be too much.
func TestCGILoad(t *testing.T) {
	const all, running, waiting, waves = 500, 8, 20, 16
	slow := newSlowProgram(t)
	p := serve(t, folder(t), "--cgi", "/cgi="+slow.dir, fmt.Sprint("--cgi-running=", running), fmt.Sprint("--cgi-waiting=", waiting))
	var memory []int
	for range waves {
		answers := p.visit("/cgi/slow", all)
		expectRefused(t, answers, all-running-waiting)
		pids := slow.processes(t, running)
		memory = append(memory, p.memory())
		slow.letGo(t)
		for range running + waiting {
			a := <-answers
			require.NoError(t, a.err)
			require.Equal(t, cgiAnswer{status: http.StatusOK, body: "done"}, a)
		}
		assertGone(t, pids)
		require.NoError(t, os.Remove(slow.path("go")))
	}
	assert.LessOrEqual(t, slow.most(t), running)
	t.Logf("KiB: %v", memory)
	assert.Less(t, memory[waves-1], memory[waves/2]*5/4, "memory is flat")
	assert.Zero(t, p.stop())
}

// A stop answers who waits, lets who runs finish, and is a clean one.
func TestCGIStop(t *testing.T) {
	slow := newSlowProgram(t)
	p := serve(t, folder(t), "--cgi", "/cgi="+slow.dir, "--cgi-running=2")
	answers := p.visit("/cgi/slow", 10)
	pids := slow.processes(t, 2)
	p.signal(syscall.SIGTERM)
	expectRefused(t, answers, 8)
	slow.letGo(t)
	for range 2 {
		assert.Equal(t, cgiAnswer{status: http.StatusOK, body: "done"}, <-answers)
	}
	assert.Zero(t, p.wait())
	assertGone(t, pids)
}

// After --grace nothing is left of programs that do not end, nor of their
// children, even if they ignore SIGTERM; nor after a second signal.
func TestCGIForcedStop(t *testing.T) {
	for _, query := range []string{"", "?stubborn"} {
		t.Run("grace is over"+query, func(t *testing.T) {
			t.Parallel()
			slow := newSlowProgram(t)
			p := serve(t, folder(t), "--cgi", "/cgi="+slow.dir, "--cgi-running=3", "--grace=200ms")
			answers := p.visit("/cgi/slow"+query, 5)
			pids := slow.processes(t, 3)
			p.signal(syscall.SIGTERM)
			expectRefused(t, answers, 2)
			assert.Equal(t, 1, p.wait(), "it had to be forced")
			assertGone(t, pids)
		})
		t.Run("a second signal"+query, func(t *testing.T) {
			t.Parallel()
			slow := newSlowProgram(t)
			p := serve(t, folder(t), "--cgi", "/cgi="+slow.dir, "--cgi-running=3", "--grace=1h")
			p.visit("/cgi/slow"+query, 3)
			pids := slow.processes(t, 3)
			p.signal(syscall.SIGTERM)
			p.waitFor("stopping")
			p.signal(syscall.SIGTERM)
			assert.Equal(t, 1, p.wait())
			assertGone(t, pids)
		})
	}
}

// A killed windsock takes its programs with it.
func TestCGIKilled(t *testing.T) {
	slow := newSlowProgram(t)
	p := serve(t, folder(t), "--cgi", "/cgi="+slow.dir, "--cgi-running=3")
	p.visit("/cgi/slow?stubborn", 3)
	pids := slow.processes(t, 3)
	p.signal(syscall.SIGKILL)
	for i := 0; i < len(pids); i += 2 {
		assertGone(t, pids[i:i+1])
		require.NoError(t, syscall.Kill(pids[i+1], syscall.SIGKILL), "their children are left to themselves")
	}
}

// A program serves what windsock does not, in the same log; a whole command line
// of them is checked before anything is made.
func TestCGIFlags(t *testing.T) {
	dir := folder(t)
	program := filepath.Join(dir, "program")
	writeProgram(t, program, "#!/bin/sh\nprintf 'Content-Type: text/plain\n\n%s %s %s' $SCRIPT_NAME $PATH_INFO $SERVER_SOFTWARE\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "text"), nil, 0o644))
	for args, text := range map[string]string{
		"--cgi=/x":                                 "is not /PREFIX=PATH",
		"--cgi=x=" + program:                       "is no path like /cgi",
		"--cgi=/message=" + program:                "windsock's own",
		"--cgi=/x=" + program + " --cgi=/x=/tmp":   "there is a --cgi for /x/ already",
		"--cgi=/x=" + program + " --cgi-running=0": "more than nothing",
		"--cgi-output=0MB":                         "more than nothing",
		"--cgi-body=100":                           "is not a size",
		"--cgi-body=5GiB":                          "--cgi-disk must not be less",
		"--cgi-disk=99MiB":                         "--cgi-disk must not be less",
		"--cgi-env=X":                              "is not NAME=VALUE",
		"--cgi-env=SCRIPT_NAME=/x":                 "is said by the request",
	} {
		_, stderr, code := run(t, dir, "", append([]string{"serve"}, strings.Fields(args)...)...)
		assert.Equal(t, 2, code, args)
		assert.Contains(t, stderr, text)
	}
	for name, text := range map[string]string{"none": "no such file", "text": "is no folder"} {
		t.Setenv("TMPDIR", filepath.Join(dir, name))
		for _, command := range []string{"serve", "check"} {
			_, stderr, code := run(t, dir, "", command, "--cgi", "/x="+program)
			assert.Equal(t, 1, code)
			assert.Regexp(t, "temporary files of CGI requests.*"+text, stderr)
		}
	}
	t.Setenv("TMPDIR", "")
	for file, text := range map[string]string{"none": "no such file", "text": "neither a folder nor an executable file"} {
		_, stderr, code := run(t, dir, "", "serve", "--cgi", "/x="+filepath.Join(dir, file))
		assert.Equal(t, 1, code)
		assert.Contains(t, stderr, text)
	}
	for _, command := range []string{"serve", "check"} {
		_, stderr, code := run(t, dir, "", command, "--cgi", "/x="+program, "--cgi-waiting=1", fmt.Sprint("--cgi-running=", math.MaxInt))
		assert.NotZero(t, code)
		assert.Contains(t, stderr, "may take a quarter of the")
	}
	few := exec.Command("sh", "-c", "ulimit -n 200; exec "+binary(t, buildFlags...)+" serve --cgi /x="+program)
	few.Dir, few.Env = dir, surroundings()
	out, err := few.CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(out), "a quarter of the 23 connections")
	assert.NoDirExists(t, filepath.Join(dir, "data"))

	t.Setenv("WINDSOCK_CGI", "/two=program")
	p := serve(t, dir)
	assert.Regexp(t, "^/two /x ", (<-p.visit("/two/x", 1)).body)
	assert.Zero(t, p.stop())

	writeProgram(t, program, "#!/bin/sh\nprintf 'Content-Type: text/plain\n\n%s' \"$REDIRECT_STATUS $A\"\n")
	p = serve(t, dir, "--cgi-env", "REDIRECT_STATUS=200", "--cgi-env=A=b=c, d")
	assert.Equal(t, "200 b=c, d", (<-p.visit("/two/x", 1)).body)
	assert.Zero(t, p.stop())

	writeProgram(t, program, "#!/bin/sh\nprintf 'Content-Type: text/plain\n\n%s %s %s' $SCRIPT_NAME $PATH_INFO $SERVER_SOFTWARE\n")
	p = serve(t, dir, "--cgi", "/="+dir, "--cgi", "/one=program")
	a := <-p.visit("/one/more", 1)
	assert.Regexp(t, `^/one /more windsock$`, a.body)
	a = <-p.visit("/program/x", 1)
	assert.Regexp(t, `^/program /x windsock$`, a.body)
	assert.Zero(t, p.stop())
	assert.Contains(t, p.log.String(), `"uri":"/one/more","status":200`)
}

// A full disk is 507 for a body that does not fit, and answers go on.
func TestCGIDiskFull(t *testing.T) {
	disk := smallDisk(t, 1<<20)
	dir := folder(t)
	program := filepath.Join(dir, "program")
	writeProgram(t, program, "#!/bin/sh\nprintf 'Content-Type: text/plain\n\n'; wc -c\n")
	binary(t, buildFlags...) // before TMPDIR is small
	t.Setenv("TMPDIR", disk)
	p := serve(t, dir, "--cgi", "/x="+program)
	ask := func(size int) string {
		resp, err := (&http.Client{Transport: p.transport()}).Post("http://windsock/x", "text/plain", strings.NewReader(strings.Repeat("x", size)))
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return fmt.Sprint(resp.StatusCode, " ", string(body))
	}
	for range 2 {
		assert.Equal(t, "507 There is no space left to store it; send it again later.\n", ask(4<<20))
		assert.Equal(t, "200 500000\n", ask(500_000))
	}
	assert.Contains(t, p.log.String(), "no space left")
	assert.Zero(t, p.stop())
}

// With fewer and fewer descriptors, the first answer that is not as ever is 503 with a
// Retry-After; when there are some again, programs run again.
func TestCGIOutOfDescriptors(t *testing.T) {
	dir := folder(t)
	program := filepath.Join(dir, "program")
	writeProgram(t, program, "#!/bin/sh\nprintf 'Content-Type: text/plain\n\nfine'\n")
	p := serve(t, dir, "--cgi", "/x="+program)
	fine := cgiAnswer{status: http.StatusOK, body: "fine"}
	require.Equal(t, fine, <-p.visit("/x", 1))
	pid := p.cmd.Process.Pid
	limit := func(n uint64) (old syscall.Rlimit) {
		new := syscall.Rlimit{Cur: n, Max: 20_000}
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_NOFILE,
			uintptr(unsafe.Pointer(&new)), uintptr(unsafe.Pointer(&old)), 0, 0)
		require.Zero(t, errno)
		return old
	}
	const many = 100 // more than are open
	old, answer := limit(many), fine
	for n := uint64(many); answer == fine && n > 0; n-- {
		limit(n)
		answer = <-p.visit("/x", 1)
	}
	assert.Equal(t, http.StatusServiceUnavailable, answer.status, answer.body)
	assert.NotEmpty(t, answer.retryAfter)
	limit(old.Cur)
	assert.Equal(t, fine, <-p.visit("/x", 1))
	assert.Contains(t, p.log.String(), "could not be started")
	assert.Zero(t, p.stop())
}
