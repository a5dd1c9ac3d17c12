package main

// This file is the portable worker: a goroutine a connection, and net.Dial. It
// is slower than the one for Linux, and measures the same.

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// dialWorker holds its share of a load's connections.
type dialWorker struct {
	*load
	connections int

	mu     sync.Mutex
	counts *tally // guarded by mu, but for live
}

// newDialWorker makes a worker for some of the connections.
func newDialWorker(l *load, connections int) (worker, error) {
	return &dialWorker{load: l, connections: connections, counts: newTally()}, nil
}

// run implements worker.
func (w *dialWorker) run(ctx context.Context) {
	var running sync.WaitGroup
	for range w.connections {
		running.Go(func() { w.requests(ctx) })
	}
	running.Wait()
}

// requests makes one request after the other.
func (w *dialWorker) requests(ctx context.Context) {
	judge, buffer := w.newJudge(), make([]byte, 64<<10)
	var a answer
	for {
		due, ok := w.pace.next(w.now())
		if !ok || !sleep(ctx, due-w.now()) || w.pace.over(w.now()) {
			return
		}
		a.reset()
		err := w.exchange(ctx, &a, buffer)
		if ctx.Err() != nil {
			return // interrupted: counted neither way
		}
		w.count(judge, &a, err, w.now()-due)
	}
}

// sleep reports false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// exchange sends the request and takes the answer.
func (w *dialWorker) exchange(ctx context.Context, a *answer, buffer []byte) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, w.network, w.address)
	if err != nil {
		return dialError{err}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(w.request) // a server that reads no more may have answered early
		sent <- err
	}()
	err = receive(conn, a, buffer)
	_ = conn.Close() // which ends the write, too
	if sendErr := <-sent; err == nil && (errors.Is(sendErr, syscall.EPIPE) || errors.Is(sendErr, syscall.ECONNRESET)) {
		return syscall.ECONNRESET // which the read may not tell then
	}
	return err
}

// receive reads the answer to its end.
func receive(conn net.Conn, a *answer, buffer []byte) error {
	for {
		n, err := conn.Read(buffer)
		a.feed(buffer[:n])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w *dialWorker) count(judge *judge, a *answer, err error, latency time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.ended(judge, a, err, latency)
}

func (w *dialWorker) result() *tally { return w.counts }
