//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// idleCounts are how many connections are open besides those that are served.
var idleCounts = []int{0, 100, 1000, 10_000}

// growth measures what open connections that do nothing cost.
func (b *bench) growth() error {
	s := setups()[0]
	t := table{
		title:  "scgi with idle connections, " + s.name,
		header: []string{"idle", "us CPU", "quarters", "x none", "KiB each"},
	}
	var up []*crowd
	defer func() {
		for _, c := range up {
			c.stop()
		}
	}()
	for _, n := range idleCounts {
		c, err := b.crowd(s, n)
		if err != nil {
			return err
		}
		up = append(up, c)
	}
	for round := range b.rounds {
		for i := range up {
			c := up[(i+round)%len(up)]
			one, err := b.measure(s, &c.running)
			if err != nil {
				return err
			}
			c.samples = append(c.samples, one)
		}
	}
	for _, c := range up {
		cost := column(c.samples, func(s sample) float64 { return s.cost })
		each := "-"
		if c.n > 0 {
			each = fmt.Sprintf("%.1f", c.bytes/1024)
		}
		t.rows = append(t.rows, []string{
			fmt.Sprint(c.n), fmt.Sprintf("%.1f", quantile(cost, 0.5)),
			fmt.Sprintf("%.1f to %.1f", quantile(cost, 0.25), quantile(cost, 0.75)),
			ratio(c.samples, up[0].samples), each,
		})
	}
	b.report.add(t)
	return nil
}

// crowd is a server with connections that do nothing.
type crowd struct {
	running
	n     int
	idle  *process
	bytes float64 // that each takes
}

func (c *crowd) stop() {
	c.process.stop()
	if c.idle != nil {
		c.idle.stop()
	}
}

func (b *bench) crowd(s setup, n int) (*crowd, error) {
	address := "unix:" + filepath.Join(b.folder, fmt.Sprint("crowd", n))
	p, err := startGo("scgi")(b, s.server, address)
	if err != nil {
		return nil, err
	}
	c := &crowd{running: running{contender: contender{request: scgiRequest()}, process: p, address: address}, n: n}
	if _, err := b.measure(s, &c.running); err != nil { // what it takes for itself it has now
		return c, err
	}
	if n == 0 {
		return c, nil
	}
	before, err := p.memory()
	if err != nil {
		return c, err
	}
	if c.idle, err = startReady(s.load, "/proc/self/exe", "idle", address, fmt.Sprint(n)); err != nil {
		return c, err
	}
	after, err := p.settledMemory()
	c.bytes = float64(after-before) / float64(n)
	return c, err
}

// settledMemory is the memory once it does not grow any more: the server may not
// have accepted yet all who connected.
func (p *process) settledMemory() (int64, error) {
	for last := 0; ; {
		now, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		if err != nil {
			return 0, err
		}
		if len(now) == last {
			return p.memory()
		}
		last = len(now)
		p.pause()
	}
}
