package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
)

// load is one run: what is sent where, how often, and on how many connections.
type load struct {
	network, address string
	request          []byte // header and body
	method           string
	connections      int
	timeout          time.Duration
	pace             pace
	newWorker        func(l *load, connections int) (worker, error)

	began time.Time
}

// worker makes requests on some of the connections.
type worker interface {
	run(context.Context) // until the pace has no more and all have ended, or ctx ends
	result() *tally      // when run has returned; before that only live
}

// now is the time since the load began.
func (l *load) now() time.Duration { return time.Since(l.began) }

// run makes the load, on all processors, and gives what became of it. When ctx
// ends before, it is what became of it until then.
func (l *load) run(ctx context.Context, shown *terminal.Progress) (*loadReport, error) {
	processors := runtime.GOMAXPROCS(0)
	workers, err := l.workers(min(processors, l.connections))
	if err != nil {
		return nil, err
	}
	// With one to spare the runtime does not take a worker's processor away each
	// time that it waits for events, which would wake another thread to do so.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors + 1))
	l.began = time.Now()
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(func() { w.run(ctx) })
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	l.show(shown, ended, workers)
	total := newTally()
	for _, w := range workers {
		total.add(w.result())
	}
	return &loadReport{tally: total, elapsed: l.now(), intended: l.pace.intended(), interrupted: ctx.Err() != nil}, nil
}

// workers shares the connections out.
func (l *load) workers(n int) (workers []worker, err error) {
	for i := range n {
		w, err := l.newWorker(l, (l.connections+i)/n)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// show shows how far the load is until it has ended.
func (l *load) show(shown *terminal.Progress, ended <-chan struct{}, workers []worker) {
	defer shown.End()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			shown.Show(func() string { return l.soFar(workers) })
		}
	}
}

func (l *load) soFar(workers []worker) string {
	var done int64
	for _, w := range workers {
		done += w.result().live.Load()
	}
	elapsed := l.now()
	of := fmt.Sprintf("%.0f s", elapsed.Seconds())
	if l.pace.duration > 0 {
		of += fmt.Sprintf(" of %s", l.pace.duration)
	}
	if l.pace.requests > 0 {
		of += fmt.Sprintf(", %d of %d", done, l.pace.requests)
	}
	return fmt.Sprintf("%s: %.0f requests a second", of, float64(done)/elapsed.Seconds())
}
