package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// load is one run: what is sent where, how often, and on how many connections.
type load struct {
	network, address string
	request          []byte // header and body
	method           string
	connections      int
	timeout          time.Duration
	pace             pace

	began time.Time
	target
}

// worker makes requests on some of the connections.
type worker interface {
	run()           // until the pace has no more
	result() *tally // when run has returned; before that only live
}

// now is the time since the load began.
func (l *load) now() time.Duration { return time.Since(l.began) }

// run makes the load, on all processors, and gives what became of it. When ctx
// ends before, it is what became of it until then.
func (l *load) run(ctx context.Context, shown *progress) (*loadReport, error) {
	if err := l.resolve(); err != nil {
		return nil, err
	}
	workers, err := l.workers(min(runtime.GOMAXPROCS(0), l.connections))
	if err != nil {
		return nil, err
	}
	l.began = time.Now()
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(w.run)
	}
	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	l.watch(ctx, ended, workers, shown)
	total := newTally()
	for _, w := range workers {
		total.add(w.result())
	}
	return &loadReport{tally: total, elapsed: l.now(), intended: l.pace.intended(), interrupted: ctx.Err() != nil}, nil
}

// workers shares the connections out.
func (l *load) workers(n int) (workers []worker, err error) {
	for i := range n {
		w, err := l.newWorker((l.connections + i) / n)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// watch shows how far the load is until it has ended.
func (l *load) watch(ctx context.Context, ended <-chan struct{}, workers []worker, shown *progress) {
	defer shown.end()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	interrupted := ctx.Done()
	for {
		select {
		case <-ended:
			return
		case <-interrupted:
			l.pace.stopped.Store(true)
			interrupted = nil
		case <-tick.C:
			shown.show(func() string { return l.soFar(workers) })
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

