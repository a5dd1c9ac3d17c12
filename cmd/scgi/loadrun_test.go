package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// eachWorker runs a test with every kind of worker, over every kind of socket.
func eachWorker(t *testing.T, f func(t *testing.T, l *load)) {
	workers := map[string]func(*load, int) (worker, error){"net.Dial": newDialWorker}
	if runtime.GOOS == "linux" {
		workers["epoll"] = newWorker
	}
	for name, newWorker := range workers {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(name+", "+network, func(t *testing.T) {
				f(t, &load{network: network, request: scgitest.Get("/"), method: http.MethodGet, connections: 3, timeout: time.Minute,
					newWorker: newWorker})
			})
		}
	}
}

// against runs a load on an application that deals with each connection in a
// goroutine of its own.
func (l *load) against(t *testing.T, ctx context.Context, answer func(net.Conn)) *loadReport {
	t.Helper()
	address := "127.0.0.1:0"
	if l.network == "unix" {
		address = filepath.Join(frontend.SocketDir(t), "s")
	}
	listener, err := net.Listen(l.network, address)
	require.NoError(t, err)
	l.address = listener.Addr().String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				answer(conn)
			})
		}
	})
	report := l.report(t, ctx)
	require.NoError(t, listener.Close())
	running.Wait()
	return report
}

func (l *load) report(t *testing.T, ctx context.Context) *loadReport {
	t.Helper()
	pipe, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer pipe.Close()
	report, err := l.run(ctx, terminal.NewProgress(pipe))
	require.NoError(t, err)
	assert.Equal(t, report.live.Load(), int64(report.latency.count)+report.failed(), "all that ended is counted once")
	return report
}

// readRequest reads all of the requests of these tests.
func readRequest(l *load, conn net.Conn) {
	_, _ = io.ReadFull(conn, make([]byte, len(l.request))) // the answer shows it
}

// What an application may do, and what load says of it.
func TestLoadJudges(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	for _, row := range []struct {
		name   string
		method string
		answer string // in pieces, at |
		status int    // 0: an error
		kind   string
	}{
		{name: "whole", answer: "Status: 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200},
		{name: "in pieces", answer: "Sta|tus: 404\n|\nbo|dy", status: 404},
		{name: "no length", answer: "A: b\n\nhello", status: 200},
		{name: "no body", answer: "Status: 503 Busy\n\n", status: 503},
		{name: "redirect", answer: "Location: /a\n\n", status: 302},
		{name: "large", answer: "Content-Length: 1048576\n\n" + large, status: 200},
		{name: "large without a length", answer: "A: b\n\n" + large, status: 200},
		{name: "HEAD", method: http.MethodHead, answer: "Content-Length: 5\n\n", status: 200},
		{name: "nothing", answer: "", kind: "short"},
		{name: "within the header", answer: "Status: 200 OK\r\n", kind: "short"},
		{name: "within the body", answer: "Content-Length: 6\n\nhello", kind: "short"},
		{name: "status line", answer: "HTTP/1.1 4|04 Not Here\r\n|Content-Length: 5\r\n\r\nhello", status: 404},
		{name: "status line alone", answer: "HTTP/1.0 200 OK\r\n\r\nhello", status: 200},
		{name: "status line that is none", answer: "HTTP/1.1 OK\r\n\r\n", kind: "malformed"},
		{name: "an endless header", answer: large, kind: "malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachWorker(t, func(t *testing.T, l *load) {
				const n = 7
				l.pace.requests = n
				if row.method != "" {
					l.method = row.method
				}
				report := l.against(t, t.Context(), func(conn net.Conn) {
					readRequest(l, conn)
					for piece := range strings.SplitSeq(row.answer, "|") {
						_, _ = io.WriteString(conn, piece)
					}
				})
				if row.status == 0 {
					assert.Empty(t, report.statuses)
					assert.EqualValues(t, n, report.failed())
					require.Contains(t, report.failures, row.kind)
					assert.EqualValues(t, n, report.failures[row.kind].count, "%v", report.failures[row.kind].first)
					return
				}
				assert.Equal(t, map[int]int64{row.status: n}, report.statuses)
				assert.Empty(t, report.failures)
				assert.EqualValues(t, n, report.latency.count)
				assert.EqualValues(t, n*len(strings.ReplaceAll(row.answer, "|", "")), report.bytes)
			})
		})
	}
}

// An answer that comes before the request was read is one, though the connection
// is reset then: but on TCP that may have taken a part of it.
func TestLoadTakesEarlyAnswers(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		whole        bool
	}{{"with a length", "Status: 413\nContent-Length: 3\n\nbig", true}, {"without", "Status: 413\n\nbig", false}} {
		t.Run(row.name, func(t *testing.T) {
			eachWorker(t, func(t *testing.T, l *load) {
				l.request = scgitest.Post("/", strings.Repeat("x", 10<<20))
				l.pace.requests = 5
				report := l.against(t, t.Context(), func(conn net.Conn) {
					_, _ = conn.Read(make([]byte, 1))
					_, _ = io.WriteString(conn, row.answer)
				})
				if row.whole || l.network == "unix" {
					assert.Equal(t, map[int]int64{413: 5}, report.statuses)
					assert.Empty(t, report.failures)
				} else {
					require.Contains(t, report.failures, "reset")
					assert.EqualValues(t, 5, report.failures["reset"].count)
				}
			})
		})
	}
}

// All of a large request is sent.
func TestLoadSendsLargeRequests(t *testing.T) {
	eachWorker(t, func(t *testing.T, l *load) {
		l.request = scgitest.Post("/", strings.Repeat("x", 10<<20))
		l.pace.requests = 5
		report := l.against(t, t.Context(), func(conn net.Conn) {
			if n, _ := io.CopyN(io.Discard, conn, int64(len(l.request))); n == int64(len(l.request)) {
				_, _ = io.WriteString(conn, "Status: 200\n\n")
			}
		})
		assert.Equal(t, map[int]int64{200: 5}, report.statuses)
		assert.Empty(t, report.failures)
	})
}

func TestLoadCountsTimeouts(t *testing.T) {
	eachWorker(t, func(t *testing.T, l *load) {
		l.pace.requests = 4
		l.timeout = time.Millisecond
		report := l.against(t, t.Context(), func(conn net.Conn) {
			_, _ = io.Copy(io.Discard, conn) // until load has had enough
		})
		require.Contains(t, report.failures, "timeout")
		assert.EqualValues(t, 4, report.failures["timeout"].count)
		assert.Empty(t, report.statuses)
	})
}

func TestLoadCountsRefusals(t *testing.T) {
	eachWorker(t, func(t *testing.T, l *load) {
		l.pace.requests = 4
		if l.address = filepath.Join(t.TempDir(), "nobody"); l.network == "tcp" {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			l.address = listener.Addr().String()
			require.NoError(t, listener.Close())
		}
		report := l.report(t, t.Context())
		require.Contains(t, report.failures, "dial")
		assert.EqualValues(t, 4, report.failures["dial"].count)
	})
}

// As many at a time as there are connections, and no more.
func TestLoadConnections(t *testing.T) {
	eachWorker(t, func(t *testing.T, l *load) {
		l.connections, l.pace.requests = 8, 40
		var now, most atomic.Int64
		all := make(chan struct{})
		report := l.against(t, t.Context(), func(conn net.Conn) {
			readRequest(l, conn)
			n := now.Add(1)
			defer now.Add(-1)
			if most.Store(max(most.Load(), n)); n == 8 {
				select {
				case <-all:
				default:
					close(all)
				}
			}
			<-all // which no request passes before there are 8
			now.Add(-1)
			_, _ = io.WriteString(conn, "A: b\n\n")
			now.Add(1)
		})
		assert.Equal(t, map[int]int64{200: 40}, report.statuses)
		assert.EqualValues(t, 8, most.Load())
	})
}

// A load by time ends, and so does one that is interrupted.
func TestLoadEnds(t *testing.T) {
	answer := func(l *load) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(l, conn)
			_, _ = io.WriteString(conn, "A: b\n\n")
		}
	}
	t.Run("by time", func(t *testing.T) {
		eachWorker(t, func(t *testing.T, l *load) {
			l.pace.duration = 50 * time.Millisecond
			l.pace.requests = 1 << 40 // whichever ends first
			report := l.against(t, t.Context(), answer(l))
			assert.Positive(t, report.statuses[200])
			assert.Empty(t, report.failures)
			assert.NoError(t, report.failure())
		})
	})
	t.Run("interrupted", func(t *testing.T) {
		eachWorker(t, func(t *testing.T, l *load) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var n atomic.Int64
			report := l.against(t, ctx, func(conn net.Conn) {
				if n.Add(1) > 20 {
					cancel()
					_, _ = io.Copy(io.Discard, conn) // for ever
					return
				}
				answer(l)(conn)
			})
			assert.InDelta(t, 19, report.statuses[200], 1, "what was answered may not have been read")
			assert.Empty(t, report.failures)
			assert.ErrorContains(t, report.failure(), "interrupted")
		})
	})
}

// In an open loop a stall is charged to all whom it kept waiting.
func TestLoadRateHasNoCoordinatedOmission(t *testing.T) {
	const stall = 50 * time.Millisecond
	eachWorker(t, func(t *testing.T, l *load) {
		l.connections, l.pace.requests, l.pace.rate = 1, 20, 10_000 // all are due within 2 ms
		var first sync.Once
		report := l.against(t, t.Context(), func(conn net.Conn) {
			readRequest(l, conn)
			first.Do(func() { <-time.After(stall) })
			_, _ = io.WriteString(conn, "A: b\n\n")
		})
		assert.Equal(t, map[int]int64{200: 20}, report.statuses)
		assert.GreaterOrEqual(t, report.latency.min, stall-2*time.Millisecond)
	})
}

// What a server was too slow for is not passed over.
func TestLoadRateSaysWhatDidNotBegin(t *testing.T) {
	eachWorker(t, func(t *testing.T, l *load) {
		l.connections, l.pace.duration, l.pace.rate = 1, 20*time.Millisecond, 1000
		report := l.against(t, t.Context(), func(conn net.Conn) {
			readRequest(l, conn)
			<-time.After(20*time.Millisecond + 2*lateness)
			_, _ = io.WriteString(conn, "A: b\n\n")
		})
		assert.Equal(t, map[int]int64{200: 1}, report.statuses)
		assert.EqualValues(t, 19, report.unsent())
		assert.ErrorContains(t, report.failure(), "19")
	})
}

func TestPace(t *testing.T) {
	closed := pace{requests: 2}
	for _, now := range []time.Duration{5, 7} {
		due, ok := closed.next(now)
		assert.True(t, ok)
		assert.Equal(t, now, due)
	}
	_, ok := closed.next(9)
	assert.False(t, ok)

	open := pace{duration: time.Second, rate: 4}
	assert.EqualValues(t, 4, open.intended())
	for _, want := range []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond} {
		due, ok := open.next(0)
		assert.True(t, ok)
		assert.Equal(t, want, due)
	}
	_, ok = open.next(0)
	assert.False(t, ok, "its moment is after the end")
	_, ok = (&pace{duration: time.Second, rate: 4}).next(time.Second + lateness)
	assert.False(t, ok)
	_, ok = (&pace{duration: time.Second}).next(time.Second)
	assert.False(t, ok)
	assert.EqualValues(t, 3, (&pace{requests: 3}).intended())
	assert.EqualValues(t, 0, (&pace{requests: 3, duration: time.Hour}).intended(), "the time may end first")
	assert.EqualValues(t, 3, (&pace{requests: 3, duration: time.Hour, rate: 1}).intended())
}
