//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what the run found.
type report struct {
	machine string
	tables  []table
}

// write writes the tables and the plot to a folder.
func (r *report) write(folder string) error {
	var text bytes.Buffer
	fmt.Fprintln(&text, r.machine)
	for _, t := range r.tables {
		t.print(&text)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(folder, "results.txt"), text.Bytes(), 0o644),
		os.WriteFile(filepath.Join(folder, "results.svg"), []byte(plot(r.tables, r.machine)), 0o644))
}

// add adds a table, and shows it.
func (r *report) add(t table) {
	r.tables = append(r.tables, t)
	t.print(os.Stdout)
}

// table is one of its tables.
type table struct {
	title  string
	header []string
	rows   [][]string
	bars   []bar // of the plot
}

type bar struct {
	name             string
	value, low, high float64
}

// costTable compares contenders in one setup, round by round.
func costTable(s setup, up []*running) table {
	t := table{title: s.name, header: []string{"", "us CPU", "quarters", "x floor", "x keep-alive", "requests/s", "server busy", "load busy", "p99 ms"}}
	find := func(name string) []sample {
		for _, r := range up {
			if r.name == name {
				return r.samples
			}
		}
		return nil
	}
	for _, r := range up {
		cost := column(r.samples, func(s sample) float64 { return s.cost })
		median := func(of func(sample) float64) float64 { return quantile(column(r.samples, of), 0.5) }
		t.bars = append(t.bars, bar{r.name, quantile(cost, 0.5), quantile(cost, 0.25), quantile(cost, 0.75)})
		t.rows = append(t.rows, []string{
			r.name,
			fmt.Sprintf("%.1f", quantile(cost, 0.5)),
			fmt.Sprintf("%.1f to %.1f", quantile(cost, 0.25), quantile(cost, 0.75)),
			ratio(r.samples, find(floorName)),
			ratio(r.samples, find(keepName)),
			fmt.Sprintf("%.0f", median(func(s sample) float64 { return s.rate })),
			fmt.Sprintf("%.0f%%", 100*median(func(s sample) float64 { return s.busy })),
			fmt.Sprintf("%.0f%%", 100*median(func(s sample) float64 { return s.load })),
			fmt.Sprintf("%.2f", median(func(s sample) float64 { return s.p99 })),
		})
	}
	return t
}

// ratio is the median of the ratios within each round: what disturbed one of
// the two has most likely disturbed the other.
func ratio(of, to []sample) string {
	return ratioOf(of, to, func(s sample) float64 { return s.cost })
}

func ratioOf(of, to []sample, value func(sample) float64) string {
	if len(to) != len(of) {
		return "-"
	}
	var ratios []float64
	for i := range of {
		ratios = append(ratios, value(of[i])/value(to[i]))
	}
	slices.Sort(ratios)
	return fmt.Sprintf("%.2f", quantile(ratios, 0.5))
}

func (t table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, strings.Join(t.header, "\t")+"\t")
	for _, row := range t.rows {
		fmt.Fprintln(tw, strings.Join(row, "\t")+"\t")
	}
	_ = tw.Flush() // to the terminal or to memory
}

// machine says what was measured where.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	commit, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	return fmt.Sprintf("%d x %s, Linux %s, %s, commit %s, %s", len(allowedCPUs()), model, strings.TrimSpace(string(kernel)),
		runtime.Version(), strings.TrimSpace(string(commit)), time.Now().UTC().Format(time.DateOnly))
}
