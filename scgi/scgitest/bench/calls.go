//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// calls counts the system calls of a request. Under strace a server is slow, so
// that little is ever queued: these are the calls at their most.
func (b *bench) calls() error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return missing("system calls", fmt.Errorf("%w: strace is not installed", errMissing))
	}
	s := allCores(32)
	t := table{title: "system calls, " + s.name, header: []string{"", "a request"}}
	for _, c := range []struct{ name, kind string }{
		{oursName, "scgi"}, {"scgi, portable path", "scgi-portable"}, {"plain Go, no parsing", "plain"},
	} {
		counted, err := b.count(s, strace, c.kind)
		if err != nil {
			return err
		}
		t.rows = append(t.rows, []string{c.name, fmt.Sprintf("%.2f", counted)})
	}
	b.report.add(t)
	return nil
}

func (b *bench) count(s setup, strace, kind string) (float64, error) {
	self, err := os.Executable() // /proc/self would be strace
	if err != nil {
		return 0, err
	}
	summary, address := filepath.Join(b.folder, "calls-"+kind), b.in("traced-"+kind)
	p, err := startReady(s.server, strace, "-c", "-f", "-o", summary, self, "serve", kind, address)
	if err != nil {
		return 0, err
	}
	r := running{contender: contender{request: scgiRequest()}, process: p, address: address}
	longer := *b
	longer.time = max(b.time, 3*time.Second) // against which the calls of the start are few
	one, err := longer.measure(s, &r)
	for _, pid := range children(p.cmd.Process.Pid) {
		if process, err := os.FindProcess(pid); err == nil {
			_ = process.Signal(os.Interrupt) // strace then writes its summary
		}
	}
	p.stop()
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(summary)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[len(fields)-1] == "total" {
			calls, err := strconv.ParseFloat(fields[3], 64)
			return calls / one.requests, err
		}
	}
	return 0, fmt.Errorf("strace wrote no total: %s", text)
}
