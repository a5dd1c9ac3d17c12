//go:build unix

package scgi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This file has the rows about answers that are long, or take long.

const (
	downloadSize = 1 << 30
	downloadHeap = 32 << 20 // some 3 MiB are in use, the test's own among them
)

// downloadPiece is what a download is made of.
var downloadPiece = bytes.Repeat([]byte("0123456789abcdef"), 4<<10)

func checkDownload(t *testing.T, c *matrixCell) {
	var peak uint64
	ended := make(chan error, 1)
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		peak, err = writeDownload(w)
		ended <- err
	})
	resp := c.send(t, "GET", url, nil)
	require.Equal(t, "200 OK", resp.Status)
	assert.EqualValues(t, downloadSize, resp.ContentLength)
	n, err := io.CopyBuffer(&downloadReader{}, resp.Body, make([]byte, 256<<10))
	require.NoError(t, err)
	assert.EqualValues(t, downloadSize, n)
	require.NoError(t, awaitMatrix(t, ended))
	assert.Less(t, peak, uint64(downloadHeap))
}

// writeDownload writes the pieces and returns the largest heap that it has seen meanwhile.
func writeDownload(w http.ResponseWriter) (peak uint64, err error) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(downloadSize))
	for i := range downloadSize / len(downloadPiece) {
		if _, err := w.Write(downloadPiece); err != nil {
			return peak, err
		}
		if i%256 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	return peak, nil
}

// downloadReader takes the pieces and nothing else. Of each part that it gets it looks at the beginning: the
// race detector makes all of it slow.
type downloadReader struct{ taken int64 }

func (r *downloadReader) Write(p []byte) (int, error) {
	rest := downloadPiece[r.taken%int64(len(downloadPiece)):]
	n := min(len(p), len(rest), 64)
	if !bytes.Equal(p[:n], rest[:n]) {
		return 0, errors.New("this is not what was sent")
	}
	r.taken += int64(len(p))
	return len(p), nil
}

// checkEvents reads each event while the handler waits for that before it sends the next.
func checkEvents(t *testing.T, c *matrixCell) {
	const events = 3
	confirmed := make(chan struct{}, events)
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no")
		for i := range events {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-confirmed:
			case <-t.Context().Done(): // the client has failed
				return
			}
		}
	})
	resp := c.send(t, "GET", url, nil)
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	for i := range events {
		assert.Equal(t, fmt.Sprintf("data: %d\n\n", i), readString(t, resp.Body, len("data: 0\n\n")))
		confirmed <- struct{}{}
	}
	assert.Empty(t, c.text(t, resp))
}

// readString reads so many bytes and no more.
func readString(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	got := make([]byte, n)
	_, err := io.ReadFull(r, got)
	require.NoError(t, err)
	return string(got)
}

func checkGone(t *testing.T, c *matrixCell) {
	c.leave(t, func(http.ResponseWriter) {})
}

func checkGoneByWriting(t *testing.T, c *matrixCell) {
	c.leave(t, func(w http.ResponseWriter) {
		for {
			if _, err := w.Write(downloadPiece); err != nil {
				return
			}
		}
	})
}

// leave closes the client's connection when the answer has begun, and expects the request's context to end
// when the handler has then done something.
func (c *matrixCell) leave(t *testing.T, then func(http.ResponseWriter)) {
	t.Helper()
	left, ended := make(chan struct{}), make(chan error, 1)
	url := c.handle(func(w http.ResponseWriter, r *http.Request) {
		over := r.Context().Done()
		w.Header().Set("X-Accel-Buffering", "no")
		sayHello(w, r)
		w.(http.Flusher).Flush()
		select {
		case <-left:
			then(w)
		case <-over:
		case <-t.Context().Done(): // the client has failed
		}
		select {
		case <-over:
		case <-t.Context().Done():
		}
		ended <- r.Context().Err()
	})
	resp := c.send(t, "GET", url, nil)
	assert.Equal(t, "hello", readString(t, resp.Body, len("hello")))
	require.NoError(t, resp.Body.Close())
	close(left)
	assert.ErrorIs(t, awaitMatrix(t, ended), context.Canceled)
}
