package cgihost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a running program, and whatever else is in its process group.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	exited         chan struct{} // closed when the program itself has ended; it is not reaped yet

	mu     sync.Mutex // guards reaped
	reaped bool       // the number of the group may be somebody else's
}

// killGrace is how long a group has after SIGTERM, and what a program leaves
// behind after its end, to come to an end too.
const killGrace = 2 * time.Second

// startProcess starts a program in a process group of its own. Its standard input
// is stdin, or /dev/null when that is nil.
func startProcess(file string, env []string, stdin *os.File) (*process, error) {
	if !canAwaitExit {
		return nil, fmt.Errorf("CGI programs on this system: %w", errors.ErrUnsupported)
	}
	p := &process{cmd: exec.Command(file), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = env, filepath.Dir(file) // RFC 3875, section 7.2
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(p.cmd.SysProcAttr)
	if stdin != nil { // a nil *os.File would be no nil Reader
		p.cmd.Stdin = stdin
	}
	theirs, err := p.openPipes()
	if err == nil {
		err = p.cmd.Start()
	}
	for _, file := range theirs {
		_ = file.Close() // the program has its own
	}
	if err != nil {
		p.closePipes()
		return nil, err
	}
	go func() {
		defer close(p.exited)
		awaitExit(p.cmd.Process.Pid)
	}()
	return p, nil
}

// openPipes makes the pipes and returns the program's ends.
func (p *process) openPipes() (theirs []*os.File, err error) {
	open := func() (*output, *os.File) {
		if err != nil {
			return new(output), nil
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err == nil {
			theirs = append(theirs, w)
		}
		return &output{pipe: r}, w
	}
	var out, errs *os.File
	p.stdout, out = open()
	p.stderr, errs = open()
	p.cmd.Stdout, p.cmd.Stderr = out, errs
	return theirs, err
}

func (p *process) closePipes() {
	for _, output := range []*output{p.stdout, p.stderr} {
		if output.pipe != nil { // opening may have failed
			_ = output.pipe.Close() // it is only read
		}
	}
}

// supervise sees to the end of the group, and returns when it is dead: once the
// program has ended and its output too, or killGrace after one of the program's
// end and ctx's.
func (p *process) supervise(ctx context.Context, outputEnded <-chan struct{}) {
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.signal(syscall.SIGTERM)
	}
	grace := time.NewTimer(killGrace)
	defer grace.Stop()
	for _, end := range []<-chan struct{}{p.exited, outputEnded} {
		select {
		case <-end:
			continue
		case <-grace.C:
		}
		break
	}
	p.signal(syscall.SIGKILL)
	<-p.exited
	p.stdout.endsHere()
	p.stderr.endsHere()
}

// signal sends a signal to the whole group, as long as its number is ours; and
// to the program, which may have gone over to another group: SIGKILL only, since
// it would else get two. That there is nobody left is no error.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, sig)
	if sig == syscall.SIGKILL {
		_ = syscall.Kill(p.cmd.Process.Pid, sig)
	}
}

// reap takes the program's end, which supervise has waited for, from the kernel.
func (p *process) reap() (*os.ProcessState, error) {
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	return p.cmd.ProcessState, err
}
