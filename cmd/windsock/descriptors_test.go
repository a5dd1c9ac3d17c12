package main_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file is about processes that may have few descriptors.

// limited is a command of windsock's under a limit of descriptors.
func limited(t testing.TB, limit int, args string) *exec.Cmd {
	t.Helper()
	return exec.Command("sh", "-c", fmt.Sprintf("ulimit -n %d; exec %s %s", limit, binary(t, buildFlags...), args))
}

// check says how many connections the limit has room for: two descriptors for each,
// beside what is open at rest and what CGI programs need.
func TestCheckDescriptors(t *testing.T) {
	for _, row := range []struct {
		limit          int
		args           string
		stdout, stderr string
	}{
		{256, "", "connections at once: 106, ", ""},
		{256, "--listen unix:a --listen unix:b", "connections at once: 105, ", ""},
		{1024, "--cgi /x=/bin/true", "connections at once: 297, ", ""},
		{50, "", "", "the limit of descriptors leaves 3 connections"},
	} {
		t.Run(fmt.Sprint(row.limit, row.args), func(t *testing.T) {
			cmd := limited(t, row.limit, "check "+row.args)
			cmd.Dir, cmd.Env = folder(t), surroundings()
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			assert.Equal(t, row.stderr == "", err == nil, "%s", &stderr)
			assert.Contains(t, stdout.String(), row.stdout)
			assert.Contains(t, stderr.String(), row.stderr)
		})
	}
}

// With few descriptors they do not run out: requests are answered or told to come
// again, and connections wait in the kernel's queue.
func TestFewDescriptors(t *testing.T) {
	dir := folder(t)
	p := launch(t, dir, limited(t, 64, "serve"))
	p.waitFor("\"message\":\"serving\"")
	client := &http.Client{Transport: p.transport()}
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			for j := range 10 {
				status, answer, err := post(client, "http://windsock/message", note(fmt.Sprint(i, "-", j)))
				assert.NoError(t, err)
				assert.Contains(t, []int{200, 503}, status, answer)
				resp, err := client.Get("http://windsock/messages?last=3")
				if assert.NoError(t, err) {
					assert.Contains(t, []int{200, 503}, resp.StatusCode)
					assert.NoError(t, resp.Body.Close())
				}
			}
		})
	}
	all.Wait()
	assert.NotContains(t, p.log.String(), "too many open files")
	assert.Zero(t, p.stop())
}

var stops = flag.Int("stops", 1, "how often windsock is stopped under overload, for each kind of listener")

// A stop under constant overload, by clients that come again and again and are many
// more than there are descriptors, is a stop in peace.
func TestStopUnderOverload(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			for range *stops {
				stopUnderOverload(t, network)
			}
		})
	}
}

func stopUnderOverload(t *testing.T, network string) {
	dir := folder(t)
	address := filepath.Join(dir, "w.sock")
	listen := "unix:" + address
	if network == "tcp" {
		listen = "tcp:127.0.0.1:0"
	}
	p := launch(t, dir, limited(t, 256, "serve --listen "+listen))
	p.waitFor("\"message\":\"serving\"")
	if network == "tcp" {
		address = regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(p.log.String())
	}
	crowd := scgitest.Crowd{
		Network: network, Address: address, Clients: crowdSize(t), Answer: "Status: ", Answers: 3000,
		Request: func(i int) []byte { return scgitest.Post("/message", note(fmt.Sprint("n", i))) },
	}
	answered := crowd.Start()
	defer crowd.Leave()
	select {
	case <-answered:
	case <-time.After(time.Minute):
		require.Fail(t, "it does not answer")
	}
	began := time.Now()
	assert.Zero(t, p.stop(), p.log)
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
