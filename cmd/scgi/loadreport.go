package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// loadReport is what became of a load.
type loadReport struct {
	*tally
	elapsed     time.Duration
	intended    int64 // requests, at least
	interrupted bool
}

// percentiles are those that are reported.
var percentiles = []float64{50, 75, 90, 99, 99.9}

func (r *loadReport) rate() float64 { return float64(r.latency.count) / r.elapsed.Seconds() }

// unsent is how many requests never began: the server was too slow for the rate.
func (r *loadReport) unsent() int64 {
	if r.interrupted {
		return 0
	}
	return max(r.intended-r.live.Load(), 0)
}

// refused is how many answers had a status of 400 or above.
func (r *loadReport) refused() (n int64) {
	for status, count := range r.statuses {
		if status >= 400 {
			n += count
		}
	}
	return n
}

// failed is how many requests had no answer.
func (r *loadReport) failed() (n int64) {
	for _, f := range r.failures {
		n += f.count
	}
	return n
}

// failure is the error that a load ends with; nil when all went well.
func (r *loadReport) failure() error {
	failed, refused := r.failed(), r.refused()
	switch {
	case failed+refused > 0:
		return fmt.Errorf("%d requests had no answer, %d a status of 400 or above", failed, refused)
	case r.interrupted:
		return errors.New("interrupted")
	case r.unsent() > 0:
		return fmt.Errorf("%d requests never began: the rate is too high for so many connections", r.unsent())
	}
	return nil
}

// writeText reports to a person.
func (r *loadReport) writeText(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "requests\t%d answered in %.2f s\n", r.latency.count, r.elapsed.Seconds())
	fmt.Fprintf(out, "rate\t%.0f a second, %s/s\n", r.rate(), byteText(float64(r.bytes)/r.elapsed.Seconds()))
	if r.latency.count > 0 {
		fmt.Fprintf(out, "latency\tmean %s\n", latencyText(r.latency.mean()))
		for _, p := range percentiles {
			fmt.Fprintf(out, "\t%g%%\t%s\n", p, latencyText(r.latency.percentile(p)))
		}
		fmt.Fprintf(out, "\tmax\t%s\n", latencyText(r.latency.max))
	}
	for _, status := range slices.Sorted(maps.Keys(r.statuses)) {
		fmt.Fprintf(out, "status\t%d\t%d\n", status, r.statuses[status])
	}
	for _, kind := range slices.Sorted(maps.Keys(r.failures)) {
		f := r.failures[kind]
		fmt.Fprintf(out, "error\t%s\t%d\t(%v)\n", kind, f.count, f.first)
	}
	if n := r.unsent(); n > 0 {
		fmt.Fprintf(out, "not begun\t%d\n", n)
	}
	return out.Flush()
}

// latencyText rounds to what is known of a latency.
func latencyText(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func byteText(n float64) string {
	for _, unit := range []string{"B", "kB", "MB"} {
		if n < 1000 {
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f GB", n)
}

// loadJSON is the report for programs. Times are in seconds.
type loadJSON struct {
	Requests int64            `json:"requests"`
	Seconds  float64          `json:"seconds"`
	Rate     float64          `json:"rate"`
	Bytes    int64            `json:"bytes"`
	Latency  latencyJSON      `json:"latency"`
	Statuses map[string]int64 `json:"statuses"`
	Errors   map[string]int64 `json:"errors"`
	NotBegun int64            `json:"not_begun"`
}

type latencyJSON struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P75  float64 `json:"p75"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// writeJSON reports to a program.
func (r *loadReport) writeJSON(w io.Writer) error {
	h := &r.latency
	at := func(p float64) float64 { return h.percentile(p).Seconds() }
	out := loadJSON{Requests: int64(h.count), Seconds: r.elapsed.Seconds(), Rate: r.rate(), Bytes: r.bytes,
		Latency: latencyJSON{Min: h.min.Seconds(), Mean: h.mean().Seconds(), P50: at(50), P75: at(75), P90: at(90),
			P99: at(99), P999: at(99.9), Max: h.max.Seconds()},
		Statuses: map[string]int64{}, Errors: map[string]int64{}, NotBegun: r.unsent()}
	for status, n := range r.statuses {
		out.Statuses[strconv.Itoa(status)] = n
	}
	for kind, f := range r.failures {
		out.Errors[kind] = f.count
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}
