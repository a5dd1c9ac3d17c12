package scgi_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// recorder is a slog.Handler that keeps what is logged, a line a record:
// the level, the message and the attributes.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func newRecorder() *recorder { return &recorder{} }

func (r *recorder) logger() *slog.Logger { return slog.New(r) }

func (*recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler     { return r }
func (r *recorder) WithGroup(string) slog.Handler          { return r }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	var line strings.Builder
	fmt.Fprintf(&line, "%v %s", record.Level, record.Message)
	record.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&line, " %v", a)
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line.String())
	return nil
}

// all returns what was logged so far, at that level and above.
func (r *recorder) all(level slog.Level) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, line := range r.lines {
		var l slog.Level
		name, _, _ := strings.Cut(line, " ")
		if l.UnmarshalText([]byte(name)) == nil && l >= level {
			lines = append(lines, line)
		}
	}
	return lines
}

// matching returns the lines that contain all of the parts.
func (r *recorder) matching(parts ...string) []string {
	var lines []string
next:
	for _, line := range r.all(slog.LevelDebug) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		lines = append(lines, line)
	}
	return lines
}
