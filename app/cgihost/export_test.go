package cgihost

import (
	"context"
	"io"
	"os"
	"syscall"
)

// What the tests reach inside for.

const MaxPipe = maxPipe

// EndedOutput is the output of a program whose group is dead.
func EndedOutput(pipe *os.File) io.Reader {
	o := &output{pipe: pipe}
	o.endsHere()
	return o
}

// KillReaped runs a program to its end, and kills it when its number is that of
// another group.
func KillReaped(file string, group int) error {
	p, err := startProcess(file, nil, false)
	if err != nil {
		return err
	}
	defer p.closePipes()
	ended := make(chan struct{})
	close(ended)
	p.supervise(context.Background(), ended)
	if _, err := p.reap(); err != nil {
		return err
	}
	p.cmd.Process.Pid = group
	p.signal(syscall.SIGKILL)
	return nil
}
