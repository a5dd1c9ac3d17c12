//go:build unix

package scgi_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This file has the rows about answers that break off.

func checkPanicBefore(t *testing.T, c *matrixCell) {
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Tag", "a")
		panic("on purpose")
	})
	resp := c.send(t, "GET", url, nil)
	assert.Equal(t, "500 Internal Server Error", resp.Status)
	assert.NotContains(t, resp.Header, "X-Tag")
	assert.Equal(t, "Internal Server Error\n", c.text(t, resp))
}

// brokenPart is what a handler sends before it panics: more than the server holds back.
var brokenPart = countingText[:10_000]

func checkPanicWithLength(t *testing.T, c *matrixCell) {
	url := c.handle(panicWithLength)
	c.eachClient(t, func(t *testing.T, client *http.Client) {
		resp := c.sendBy(t, client, "GET", url, nil)
		_, err := io.ReadAll(resp.Body)
		// What the front end has not read when a reset comes is lost, and with it maybe the header.
		assert.True(t, err != nil || resp.StatusCode >= 500, resp.Status)
	})
}

func panicWithLength(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", strconv.Itoa(2*len(brokenPart)))
	_, _ = io.WriteString(w, brokenPart) // the client sees what is missing
	panic("on purpose")
}

func checkPanicUnseenWithLength(t *testing.T, c *matrixCell) {
	assert.True(t, c.text(t, c.send(t, "GET", c.handle(panicWithLength), nil)) == brokenPart)
}

// checkPanicWithoutLength breaks an answer off that the client is reading.
func checkPanicWithoutLength(t *testing.T, c *matrixCell) {
	received := make(chan struct{}, 1)
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Accel-Buffering", "no")
		_, _ = io.WriteString(w, brokenPart) // the client sees what is missing
		w.(http.Flusher).Flush()
		select {
		case <-received:
		case <-t.Context().Done(): // the client has failed
		}
		panic("on purpose")
	})
	c.eachClient(t, func(t *testing.T, client *http.Client) {
		resp := c.sendBy(t, client, "GET", url, nil)
		require.Equal(t, "200 OK", resp.Status)
		assert.True(t, readString(t, resp.Body, len(brokenPart)) == brokenPart)
		received <- struct{}{}
		_, err := resp.Body.Read(make([]byte, 1))
		assert.True(t, err != nil && !errors.Is(err, io.EOF), "%v", err)
	})
}

func checkPanicUnseen(t *testing.T, c *matrixCell) {
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, brokenPart) // the client sees what is missing
		panic("on purpose")
	})
	resp := c.send(t, "GET", url, nil)
	assert.Equal(t, "200 OK", resp.Status)
	assert.True(t, c.text(t, resp) == brokenPart)
}

// eachClient runs a check by a client that has a connection for each request, and by one that would use it
// again: some front ends then leave it open when an answer breaks off.
func (c *matrixCell) eachClient(t *testing.T, check func(*testing.T, *http.Client)) {
	t.Run("close", func(t *testing.T) { check(t, matrixClient) })
	t.Run("keep alive", func(t *testing.T) {
		client := newMatrixClient(true)
		defer client.CloseIdleConnections()
		check(t, client)
	})
}
