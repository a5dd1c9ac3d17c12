//go:build unix

package scgi_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// Slow clients (Slowloris) hold connections by sending a header a byte a second.
// They are cut at the header's deadline, and cost little and nobody else until
// then.

// slowHeader is a header that takes longer to dribble than any deadline here.
var slowHeader = scgitest.Get("/slow")

// Each of 200 is cut at exactly its deadline, and others are answered meanwhile.
func TestSlowClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			clients = 200
			timeout = 10 * time.Second
		)
		srv := &scgi.Server{ReadHeaderTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "OK")
		})}
		l := startMemory(t, srv)
		var all sync.WaitGroup
		for range clients {
			start := time.Now()
			c := l.connect(t)
			all.Go(func() {
				for _, b := range slowHeader {
					if _, err := c.Write([]byte{b}); err != nil {
						break
					}
					time.Sleep(time.Second)
				}
			})
			all.Go(func() {
				answer, err := io.ReadAll(c)
				assert.Equal(t, timeout, time.Since(start))
				assert.Empty(t, answer, "a header that misses its deadline gets no answer")
				if !errors.Is(err, syscall.ECONNRESET) {
					assert.NoError(t, err)
				}
			})
			time.Sleep(7 * time.Millisecond)
		}
		for srv.Stats().Open > 0 {
			before := time.Now()
			assert.True(t, strings.HasSuffix(l.ask(t, scgitest.Get("/fast")), "\r\n\r\nOK"))
			assert.Equal(t, before, time.Now(), "at once")
			time.Sleep(250 * time.Millisecond)
		}
		all.Wait()
		assert.EqualValues(t, clients, srv.Stats().Malformed)
	})
}

// maxSlowMemory is what a slow client may cost the server.
const maxSlowMemory = 10 << 10

// BenchmarkSlowClients lets a process of its own hold 10,000 connections, so that
// what is measured here is the server's share only.
func BenchmarkSlowClients(b *testing.B) {
	for _, network := range []string{"unix", "tcp"} {
		b.Run(network, func(b *testing.B) {
			clients := slowClients(b)
			for b.Loop() {
				besiege(b, network, clients)
			}
			b.ReportMetric(float64(clients), "conns")
		})
	}
}

// slowClients is how many connections the limit on descriptors allows, which
// package syscall has raised as far as it may be.
func slowClients(b *testing.B) int {
	b.Helper()
	const want, others = 10_000, 200
	var limit syscall.Rlimit
	require.NoError(b, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < want+others {
		b.Logf("RLIMIT_NOFILE is %d: fewer than %d connections", limit.Cur, want)
		return int(limit.Cur) - others
	}
	return want
}

// besiege runs one attack, from the first connection until the last is cut.
func besiege(b *testing.B, network string, clients int) {
	b.Helper()
	s := scgitest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }))
	s.Network = network
	s.Config.ReadHeaderTimeout = 5 * time.Second
	s.Config.Logger = slog.New(slog.DiscardHandler)
	s.Start()
	defer s.Close()

	runtime.GC() // twice, with the one to come: what an attack before this one left in pools goes too
	debug.FreeOSMemory()
	before := newFootprint(b)
	var heap, resident float64
	cut, fast := slowAttack(b, network, s.Address, clients, func() {
		heap, resident = newFootprint(b).since(before, s.Config.Stats().Open)
	})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(heap, "heap+stack-B/conn")
	b.ReportMetric(resident, "resident-B/conn")
	b.ReportMetric(cut.first.Seconds(), "first-cut-s")
	b.ReportMetric(cut.last.Seconds(), "last-cut-s")
	b.ReportMetric(float64(fast.answered), "answered")
	switch {
	case heap == 0 || heap > maxSlowMemory || resident > maxSlowMemory:
		b.Fatalf("a connection costs %.0f bytes of heap and stack, %.0f of resident memory", heap, resident)
	case cut.n != clients || s.Config.Stats().Malformed != uint64(clients):
		b.Fatalf("of %d connections %d were cut, %d by the server's count", clients, cut.n, s.Config.Stats().Malformed)
	case fast.answered == 0 || fast.failed > 0:
		b.Fatalf("of the others %d were answered and %d were not", fast.answered, fast.failed)
	}
}

// footprint is what this process takes of the machine's memory.
type footprint struct{ heap, resident uint64 }

func newFootprint(b *testing.B) (f footprint) {
	b.Helper()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.heap = m.HeapInuse + m.StackInuse
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if errors.Is(err, os.ErrNotExist) {
		return f // this is not Linux
	}
	require.NoError(b, err)
	_, rss, _ := strings.Cut(string(rollup), "\nRss:")
	_, err = fmt.Sscan(rss, &f.resident)
	require.NoError(b, err)
	f.resident <<= 10
	return f
}

func (f footprint) since(before footprint, n int) (heap, resident float64) {
	return (float64(f.heap) - float64(before.heap)) / float64(n), (float64(f.resident) - float64(before.resident)) / float64(n)
}

// slowCuts are slow clients that the server cut off without an answer, and how long
// they lived.
type slowCuts struct {
	n           int
	first, last time.Duration
}

// fastAnswers are what became of the fast client's requests.
type fastAnswers struct{ answered, failed int }

// What the attacking process is told by, and what it tells.
const (
	slowClientsEnv  = "SCGI_TEST_SLOW_CLIENTS" // network, address, how many
	slowClientsOpen = "slow clients: open"
	slowClientsOver = "slow clients: over" // with the numbers of cuts and answers
)

// slowAttack runs the attacking process, and calls open when all its connections are
// there and have sent something.
func slowAttack(b *testing.B, network, address string, clients int, open func()) (c slowCuts, a fastAnswers) {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	process := exec.CommandContext(b.Context(), self, "-test.run=^TestSlowClientsProcess$")
	process.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", slowClientsEnv, network, address, clients))
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, process.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == slowClientsOpen {
			open()
		}
		if numbers, ok := strings.CutPrefix(lines.Text(), slowClientsOver); ok {
			_, err = fmt.Sscan(numbers, &c.n, &c.first, &c.last, &a.answered, &a.failed)
		}
	}
	require.NoError(b, errors.Join(err, process.Wait()))
	return c, a
}

// TestSlowClientsProcess is the attacking process.
func TestSlowClientsProcess(t *testing.T) {
	var network, address string
	var clients int
	if _, err := fmt.Sscan(os.Getenv(slowClientsEnv), &network, &address, &clients); err != nil {
		t.Skip("only a benchmark runs this")
	}
	var (
		mu     sync.Mutex // guards all
		all    slowCuts
		slow   sync.WaitGroup
		others sync.WaitGroup
	)
	conns := make([]net.Conn, clients)
	for i := range conns {
		start := time.Now()
		conns[i] = dialPatiently(t, network, address)
		slow.Go(func() {
			n, err := io.Copy(io.Discard, conns[i])
			age := time.Since(start)
			if n > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				return // that is no cut
			}
			mu.Lock()
			defer mu.Unlock()
			if all.n++; all.first == 0 || age < all.first {
				all.first = age
			}
			all.last = max(all.last, age)
		})
	}
	over := make(chan struct{})
	others.Go(func() { dribbleHeader(conns, over) })
	var fast fastAnswers
	others.Go(func() { fast = askMeanwhile(network, address, over) })
	slow.Wait()
	close(over)
	others.Wait()
	fmt.Println(slowClientsOver, all.n, int64(all.first), int64(all.last), fast.answered, fast.failed)
}

// dialPatiently connects, again when the queue of a unix socket is full.
func dialPatiently(t *testing.T, network, address string) net.Conn {
	t.Helper()
	for {
		c, err := net.Dial(network, address)
		if err == nil {
			return c
		}
		require.ErrorIs(t, err, syscall.EAGAIN)
		<-time.After(time.Millisecond)
	}
}

// dribbleHeader sends the header to each, a byte a second.
func dribbleHeader(conns []net.Conn, over <-chan struct{}) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for i := range slowHeader {
		for _, c := range conns {
			_, _ = c.Write(slowHeader[i : i+1]) // that it was cut is seen by its reader
		}
		if i == 2 {
			fmt.Println(slowClientsOpen)
		}
		select {
		case <-second.C:
		case <-over:
			return
		}
	}
}

// askMeanwhile sends one whole request after the other.
func askMeanwhile(network, address string, over <-chan struct{}) (a fastAnswers) {
	client := http.Client{Transport: &scgi.Transport{Network: network, Address: address}}
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for {
		if err := askFast(&client); err != nil {
			a.failed++
			fmt.Fprintln(os.Stderr, "slow clients: a fast one:", err)
		} else {
			a.answered++
		}
		select {
		case <-pace.C:
		case <-over:
			return a
		}
	}
}

func askFast(client *http.Client) error {
	resp, err := client.Get("http://example.org/fast")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != "OK" {
		err = fmt.Errorf("the answer is %q", body)
	}
	return err
}
