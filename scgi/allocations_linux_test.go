//go:build !race

package scgi_test

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// A request of a browser's size and its answer take 8 allocations and 2.5 KB, with
// all that the connection needs. The client here takes none.
func TestAllocations(t *testing.T) {
	s := startOn(t, "unix", &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what is missing shows in the answer
		_, _ = io.WriteString(w, "OK")
	})})
	raw := scgitest.Netstring(nginxBlock, nginxBody)
	addr := &syscall.SockaddrUnix{Name: s.Address}
	answer := make([]byte, 4<<10)
	request := func() {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err == nil {
			err = syscall.Connect(fd, addr)
		}
		if err == nil {
			_, err = syscall.Write(fd, raw)
		}
		n := 0
		for m := 1; m > 0 && err == nil; n += m {
			m, err = syscall.Read(fd, answer[n:])
		}
		if err != nil || !bytes.HasSuffix(answer[:n], []byte("\r\n\r\nOK")) || syscall.Close(fd) != nil {
			t.Errorf("%q %v", answer[:max(n, 0)], err)
		}
	}
	const warm, runs = 200, 2000
	for range warm {
		request()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	allocations := testing.AllocsPerRun(runs, request)
	runtime.ReadMemStats(&after)
	require.False(t, t.Failed())
	assert.LessOrEqual(t, allocations, 8.0)
	assert.LessOrEqual(t, (after.TotalAlloc-before.TotalAlloc)/runs, uint64(2560))
	t.Logf("%.0f allocations, %d bytes", allocations, (after.TotalAlloc-before.TotalAlloc)/runs)
}
