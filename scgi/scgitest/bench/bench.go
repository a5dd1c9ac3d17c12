//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	rounds        int
	time          time.Duration
	only, servers string
	out           string

	folder string // for sockets and programs
	report report
}

// sample is one round of one server.
type sample struct {
	requests float64
	cost     float64 // microseconds of the server's CPU for a request
	front    float64 // and of the front end's
	rate     float64 // requests a second
	busy     float64 // processors that the server used
	load     float64 // and the load
	p99      float64 // milliseconds
}

func (b *bench) run() (err error) {
	if b.folder, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer os.RemoveAll(b.folder)
	b.report.machine = machine()
	fmt.Println(b.report.machine)
	for _, table := range []struct {
		name string
		run  func() error
	}{
		{"requests", b.requests},
		{"calls", b.calls},
		{"growth", b.growth},
		{"nginx", b.nginx},
		{"durable", b.durable},
	} {
		if b.only != "" && b.only != table.name {
			continue
		}
		if err := table.run(); err != nil {
			return err
		}
	}
	if b.out == "" {
		return nil
	}
	return b.report.write(b.out)
}

// setup is where servers and load run, and how many requests are open at once.
type setup struct {
	name         string
	server, load []int
	window       int
}

func setups() []setup {
	cpus := allowedCPUs()
	all := cpus
	if len(cpus) < 2 {
		return []setup{{"one core for all, 1 connection", all, all, 1}, {"one core for all, 32 connections", all, all, 32}}
	}
	one, other := cpus[:1], cpus[1:2]
	return []setup{
		{"a core each, 32 connections", one, other, 32},
		{"both on all cores, 32 connections", all, all, 32},
		{"a core each, 1 connection", one, other, 1},
		{"both on all cores, 1 connection", all, all, 1},
	}
}

// allCores is servers and load together.
func allCores(window int) setup {
	all := allowedCPUs()
	return setup{fmt.Sprintf("all on %d cores, %d connections", len(all), window), all, all, window}
}

// requests measures all contenders in all setups.
func (b *bench) requests() error {
	for _, s := range setups() {
		if err := b.compare(s); err != nil {
			return err
		}
	}
	return nil
}

// running is a contender that is up.
type running struct {
	contender
	process *process
	front   *process // nil for none
	address string
	samples []sample
}

func (b *bench) compare(s setup) error {
	var up []*running
	defer func() {
		for _, r := range up {
			r.process.stop()
		}
	}()
	for i, c := range contenders {
		if !strings.Contains(c.name+",", b.servers) && c.name != floorName {
			continue
		}
		address := "unix:" + filepath.Join(b.folder, fmt.Sprint(s.window, len(s.server), i))
		p, err := c.start(b, s.server, address)
		if err := missing(c.name, err); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if p == nil {
			continue
		}
		up = append(up, &running{contender: c, process: p, address: address})
	}
	if err := b.interleave(s, up); err != nil {
		return err
	}
	b.report.add(costTable(s, up))
	return nil
}

// interleave measures all, round by round.
func (b *bench) interleave(s setup, up []*running) error {
	for round := range b.rounds {
		for i := range up {
			r := up[(i+round)%len(up)] // nobody is always behind the same one
			one, err := b.measure(s, r)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			r.samples = append(r.samples, one)
		}
	}
	return nil
}

// missing says that something is not measured; any other error stays one.
func missing(what string, err error) error {
	if errors.Is(err, errMissing) {
		fmt.Printf("\n%s: %v\n", what, err)
		return nil
	}
	return err
}

// loadEnvironment keeps Go's scheduler from interrupting the load's calls.
var loadEnvironment = []string{"GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"}

// measure runs the load once.
func (b *bench) measure(s setup, r *running) (sample, error) {
	l := load{Address: r.address, Request: r.request, Window: s.window, Keep: r.keep, Time: b.time}
	p, err := start(s.load, loadEnvironment, "/proc/self/exe", "load")
	if err != nil {
		return sample{}, err
	}
	defer p.stop()
	before, frontBefore := r.process.cpu(), r.front.cpu()
	if err := json.NewEncoder(p.in).Encode(l); err != nil {
		return sample{}, err
	}
	var got loaded
	if err := json.NewDecoder(p.out).Decode(&got); err != nil {
		return sample{}, fmt.Errorf("the load failed: %w", err)
	}
	used, frontUsed := r.process.cpu()-before, r.front.cpu()-frontBefore
	n := float64(got.Requests)
	return sample{requests: n, cost: used / n * 1e6, rate: n / got.Seconds, busy: used / got.Seconds, load: got.CPU / got.Seconds,
		front: frontUsed / n * 1e6, p99: got.P99}, nil
}

// column is one number of all samples, sorted.
func column(samples []sample, of func(sample) float64) []float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
