package scgi

// worker is a goroutine that serves connections, one after the other. A new one
// begins with a small stack, which grows with each call that goes deeper, and
// that costs more than a short request itself. So those that have nothing to do
// wait for the next connection.
type worker struct {
	work chan *conn // closed when no more will come
	next *worker    // that is idle; guarded by srv.mu
}

// maxIdleWorkers bounds those that wait, and what their stacks take: some 1 MB.
const maxIdleWorkers = 128

// dispatch lets a connection that is tracked be served, by an idle worker if
// track has found one.
func (s *Server) dispatch(c *conn, w *worker) {
	if w != nil {
		w.work <- c // never waits: w is idle
		return
	}
	go s.work(c)
}

// work serves a connection, and those that follow. A handler that calls
// runtime.Goexit ends it. So does one that leaves profiler labels or the lock on a
// thread behind, and a thread that is still locked ends with it.
func (s *Server) work(c *conn) {
	w, mark := &worker{work: make(chan *conn, 1)}, markGoroutine()
	for ok := true; ok; c, ok = <-w.work {
		c.serve()
		c = nil // it is garbage while w waits
		if !mark.unchanged() || !s.rest(w) {
			return
		}
	}
}

// rest adds w to the idle workers, unless there are enough or no more
// connections will come.
func (s *Server) rest(w *worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idleWorkers == maxIdleWorkers || s.state >= stateDraining {
		return false
	}
	w.next, s.idle = s.idle, w
	s.idleWorkers++
	return true
}

// takeIdle takes the worker that has been idle for the shortest time: its stack
// is in the processor's cache. The caller holds mu.
func (s *Server) takeIdle() *worker {
	w := s.idle
	if w != nil {
		s.idle, w.next = w.next, nil
		s.idleWorkers--
	}
	return w
}

// dismissIdle ends those that wait. The caller holds mu.
func (s *Server) dismissIdle() {
	for w := s.takeIdle(); w != nil; w = s.takeIdle() {
		close(w.work)
	}
}
