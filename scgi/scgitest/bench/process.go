//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server or a load that runs beside this one.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a program on these processors; it ends with this process.
func start(cpus []int, env []string, name string, args ...string) (*process, error) {
	runtime.LockOSThread() // the processors are the thread's, and children inherit them
	defer runtime.UnlockOSThread()
	before := allowedCPUs()
	pin(cpus)
	defer pin(before)
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// ready waits until it says that it listens.
func (p *process) ready() error {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s: not ready: %q, %w", p.cmd.Path, line, err)
	}
	return nil
}

// listens waits until a unix socket takes connections, for programs that do not
// say when they are ready.
func (p *process) listens(address string) error {
	family, target, err := sockaddr(address)
	if err != nil {
		return err
	}
	for range 500 {
		fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		err = syscall.Connect(fd, target)
		_ = syscall.Close(fd)
		if err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New(p.cmd.Path + " does not listen on " + address)
}

// pause lets it go on.
func (p *process) pause() { time.Sleep(100 * time.Millisecond) }

func (p *process) stop() {
	_ = p.in.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	ended := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer ended.Stop()
	_ = p.cmd.Wait() // by a signal, most likely
}

// cpu is the seconds that it and its children have used.
func (p *process) cpu() (sum float64) {
	if p == nil {
		return 0
	}
	sum = cpuOf(p.cmd.Process.Pid)
	for _, pid := range children(p.cmd.Process.Pid) {
		sum += cpuOf(pid)
	}
	return sum
}

// memory is the bytes that it holds.
func (p *process) memory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// children are the processes that a process has started: the workers of nginx
// and uwsgi.
func children(pid int) (pids []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil // a kernel without it
	}
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}
