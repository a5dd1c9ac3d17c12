//go:build linux

package scgi_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file is about a server with few descriptors under more clients than that.

const overloadedEnv = "SCGI_TEST_OVERLOADED"

// TestOverloadedProcess is the server, in a process of its own. It fails unless
// SIGTERM stops it in peace within ten seconds.
func TestOverloadedProcess(t *testing.T) {
	network := os.Getenv(overloadedEnv)
	if network == "" {
		return // this is not that process
	}
	stop, ignore := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer ignore()
	s := quiet(func(w http.ResponseWriter, r *http.Request) {
		_ = r.Context().Done() // it is watched, which takes a descriptor
		_, _ = io.Copy(w, r.Body)
	})
	s.MaxConns = 110 // half of 256, beside what is open at rest
	l := listen(t, network)
	require.NoError(t, s.Start(l))
	fmt.Println("address", l.Addr())
	<-stop.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	<-s.Done()
	require.Equal(t, scgi.ErrServerClosed, s.Err())
}

var stops = flag.Int("stops", 1, "how often a server is stopped under overload, for each kind of listener")

// Listeners of package net, which cannot be moved aside: the stop is one in peace.
func TestShutdownWithFewDescriptors(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			for range *stops {
				stopOverloaded(t, network)
			}
		})
	}
}

func stopOverloaded(t *testing.T, network string) {
	self, err := os.Executable()
	require.NoError(t, err)
	process := exec.CommandContext(t.Context(), "sh", "-c", "ulimit -n 256; exec "+self+" -test.run='^TestOverloadedProcess$'")
	process.Env = append(os.Environ(), overloadedEnv+"="+network)
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	var address string
	_, err = fmt.Fscanf(out, "address %s\n", &address)
	require.NoError(t, err)
	drained := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(out)
		drained <- string(text)
	}()

	crowd := scgitest.Crowd{
		Network: network, Address: address, Clients: crowdSize(t), Answer: ok200, Answers: 3000,
		Request: func(int) []byte { return scgitest.Post("/", "body") },
	}
	answered := crowd.Start()
	defer crowd.Leave()
	await(t, "3,000 answers", answered)
	began := time.Now()
	require.NoError(t, process.Process.Signal(syscall.SIGTERM))
	text := await(t, "the server's end", drained)
	assert.NoError(t, process.Wait(), text)
	t.Logf("%s: stopped in %v", network, time.Since(began))
}

// crowdSize is the number of clients, or less where the tests may have too few
// descriptors for them.
func crowdSize(t *testing.T) int {
	t.Helper()
	const want, others = 1500, 200
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	return int(min(limit.Cur-others, want))
}
