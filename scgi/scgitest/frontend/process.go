//go:build unix

package frontend

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a front end's first process; the others are its children and in its process group.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
}

// environment is all that a front end gets: Apache hands its own on to the backend, and captured requests
// must not hold this machine's. The language keeps the messages in the error log known.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}

// startProcess runs a program in the foreground, with its output appended to the log.
func startProcess(path string, args []string, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own

	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Env = environment
	p.cmd.Dir = "/"
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// A group of its own: Apache sends its signals to its whole group, which would be the test as well.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(p.cmd.SysProcAttr)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		// The exit status is in ProcessState for whoever wants it.
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// stop ends the process and waits for it. SIGTERM is the quick way out for all three: nginx's SIGQUIT and
// lighttpd's SIGINT wait for requests that a failed test may have left hanging.
func (p *process) stop() {
	// An error means that it has ended already.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.kill()
		<-p.done
	}
}

// kill ends the whole group. Its number is still ours: the first process has not been waited for.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}
