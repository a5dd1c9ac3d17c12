package cgihost

import (
	"context"
	"io"
	"os"
	"sync"
	"syscall"
)

// What the tests reach inside for.

const (
	MaxPipe   = maxPipe
	MaxMemory = maxMemory
)

// Spool is a spool.
type Spool = spool

func (h *Host) NewSpool() *Spool { return h.newSpool() }

func (s *Spool) Next() ([]byte, error) { return s.next() }

func (s *Spool) End(err error) { s.end(err) }

func (s *Spool) Close() { s.close() }

func (s *Spool) HasFile() bool { return s.file != nil }

func (s *Spool) Open() (*os.File, error) { return s.open() }

// CloseFile makes later calls on the spool's file fail.
func (s *Spool) CloseFile() error { return s.file.Close() }

// SpoolError is an error of a spool's file.
func SpoolError(cause error) error { return &spoolError{cause} }

// EndedOutput is the output of a program whose group is dead.
func EndedOutput(pipe *os.File) io.Reader {
	o := &output{pipe: pipe}
	o.endsHere()
	return o
}

// Start starts a program, and returns what waits for its end and must be called.
func (h *Host) Start(file string) (wait func() (*os.ProcessState, error), err error) {
	p, err := h.start(script{file: file}, nil, nil, func(error) {})
	if err != nil {
		return nil, err
	}
	return sync.OnceValues(func() (*os.ProcessState, error) {
		defer h.forget(p)
		defer p.closePipes()
		<-p.exited
		return p.reap()
	}), nil
}

// KillReaped runs a program to its end, and kills it when its number is that of
// another group.
func KillReaped(file string, group int) error {
	p, err := startProcess(file, nil, nil)
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
