package main_test

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// A stop does not wait for batches that have no place yet: half of the grace later they
// are told to come again, and those that are being stored have the other half.
func TestStopWithWaitingBatches(t *testing.T) {
	const places, waiting = 8, 12
	dir := folder(t)
	p := serve(t, dir, "--grace", "6s")
	release := lockStore(t, storeIn(dir))
	answers := make(chan string, places+waiting)
	for n := range places + waiting {
		conn, err := net.Dial("unix", filepath.Join(dir, "data", "windsock.sock"))
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write(scgitest.Post("/messages", note(fmt.Sprint("batch", n))))
		require.NoError(t, err)
		go func() {
			answer, _ := io.ReadAll(conn) // an answer that breaks off is none
			answers <- string(answer)
		}()
	}
	p.signal(syscall.SIGTERM)
	for range waiting {
		assert.Contains(t, <-answers, "Status: 503 ")
	}
	release()
	for range places {
		assert.True(t, strings.HasPrefix(<-answers, "Status: "))
	}
	assert.Zero(t, p.wait(), "the stop was not forced")
}
