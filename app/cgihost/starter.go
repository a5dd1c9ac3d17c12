package cgihost

import "runtime"

// starter starts processes from one thread that lasts as long as the Host. The
// kernel ends a process of PR_SET_PDEATHSIG with the thread that started it, and
// Go ends a thread when a goroutine returns that is locked to it.
type starter struct {
	work chan func()
	done chan struct{} // closed when the thread is free again
}

func newStarter() *starter {
	s := &starter{work: make(chan func()), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *starter) run() {
	defer close(s.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // so the thread outlives this goroutine
	for f := range s.work {
		f()
	}
}

// do calls f on the thread and waits for it.
func (s *starter) do(f func()) {
	finished := make(chan struct{})
	s.work <- func() {
		defer close(finished)
		f()
	}
	<-finished
}

// close ends the goroutine. It may be called again, by one goroutine at a time.
func (s *starter) close() {
	if s != nil && s.work != nil {
		close(s.work)
		<-s.done
		s.work = nil
	}
}
