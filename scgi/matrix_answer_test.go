//go:build unix

package scgi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// This file has the rows about answers that are short and whole.

func sayHello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Tag", "a")
	_, _ = io.WriteString(w, "hello") // the client sees what is missing
}

func checkHead(t *testing.T, c *matrixCell) {
	url := c.handle(sayHello)
	get, head := c.send(t, "GET", url, nil), c.send(t, "HEAD", url, nil)
	assert.Equal(t, "200 OK", head.Status)
	assert.Equal(t, "hello", c.text(t, get))
	assert.Empty(t, c.text(t, head))
	get.Header.Del("Date")
	head.Header.Del("Date")
	assert.Equal(t, get.Header, head.Header)
	assert.EqualValues(t, len("hello"), head.ContentLength)
}

func checkHeadWithoutLength(t *testing.T, c *matrixCell) {
	head := c.send(t, "HEAD", c.handle(sayHello), nil)
	assert.Equal(t, "a", head.Header.Get("X-Tag"))
	assert.EqualValues(t, -1, head.ContentLength)
}

func checkEmpty(t *testing.T, c *matrixCell) {
	resp := c.send(t, "GET", c.handle(func(http.ResponseWriter, *http.Request) {}), nil)
	assert.Equal(t, "200 OK", resp.Status)
	assert.Empty(t, c.text(t, resp))
	assert.NotContains(t, resp.Header, "Content-Type")
}

func checkNoContent(t *testing.T, c *matrixCell) {
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	resp := c.send(t, "DELETE", url, nil)
	assert.Equal(t, "204 No Content", resp.Status)
	assert.Empty(t, c.text(t, resp))
	assert.NotContains(t, resp.Header, "Content-Type")
}

func checkRedirect(t *testing.T, c *matrixCell) {
	url := c.handle(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) })
	resp := c.send(t, "GET", url, nil)
	assert.Equal(t, "302 Found", resp.Status)
	assert.Equal(t, "/x", resp.Header.Get("Location"))
	assert.Contains(t, c.text(t, resp), "Found")
}

// serveCountingText serves a file that has an entity tag.
func serveCountingText(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", `"counting"`)
	http.ServeContent(w, r, "counting.txt", time.Unix(1_000_000_000, 0), strings.NewReader(countingText))
}

func checkNotModified(t *testing.T, c *matrixCell) {
	resp := c.send(t, "GET", c.handle(serveCountingText), nil, "If-None-Match", `"counting"`)
	assert.Equal(t, "304 Not Modified", resp.Status)
	assert.Equal(t, `"counting"`, resp.Header.Get("Etag"))
	assert.Empty(t, c.text(t, resp))
}

func checkRange(t *testing.T, c *matrixCell) {
	url := c.handle(serveCountingText)
	resp := c.send(t, "GET", url, nil, "Range", "bytes=1000-99999")
	assert.Equal(t, "206 Partial Content", resp.Status)
	assert.Equal(t, fmt.Sprintf("bytes 1000-99999/%d", len(countingText)), resp.Header.Get("Content-Range"))
	assert.True(t, c.text(t, resp) == countingText[1000:100_000])

	resp = c.send(t, "GET", url, nil, "Range", "bytes=1000000-")
	assert.Equal(t, http.StatusRequestedRangeNotSatisfiable, resp.StatusCode)
	assert.Equal(t, fmt.Sprintf("bytes */%d", len(countingText)), resp.Header.Get("Content-Range"))
}

func checkSetCookies(t *testing.T, c *matrixCell) {
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	})
	assert.Equal(t, []string{"a=1", "b=2"}, c.send(t, "GET", url, nil).Header["Set-Cookie"])
}

// sayTall sends a header of more than 4096 bytes.
func sayTall(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Tall", strings.Repeat("x", 5000))
	sayHello(w, r)
}

func checkTallHeader(t *testing.T, c *matrixCell) {
	resp := c.send(t, "GET", c.handle(sayTall), nil)
	assert.Equal(t, "200 OK", resp.Status)
	assert.Len(t, resp.Header.Get("X-Tall"), 5000)
	assert.Equal(t, "hello", c.text(t, resp))
}

func checkTallHeaderRefused(t *testing.T, c *matrixCell) {
	assert.Equal(t, http.StatusBadGateway, c.send(t, "GET", c.handle(sayTall), nil).StatusCode)
}

func checkTooLarge(t *testing.T, c *matrixCell) {
	c.checkEarly(t, http.StatusRequestEntityTooLarge, 30<<20)
}

func checkUnauthorized(t *testing.T, c *matrixCell) {
	c.checkEarly(t, http.StatusUnauthorized, 1<<20)
}

// checkEarly posts a body that the handler does not read. The client goes on sending it when the answer has
// come, as simple clients do, unlike net/http's.
func (c *matrixCell) checkEarly(t *testing.T, status, length int) {
	t.Helper()
	reason := strings.Repeat(http.StatusText(status)+"\n", 100)
	c.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Www-Authenticate", "Bearer")
		http.Error(w, reason, status)
	})
	conn := c.dial(t)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = fmt.Fprintf(conn, "POST %s%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", matrixMount, c.path, length)
		piece := bytes.Repeat([]byte("a"), 64<<10)
		for rest := length; rest > 0; rest -= len(piece) {
			if _, err := conn.Write(piece[:min(rest, len(piece))]); err != nil {
				return // the front end has its reasons; its answer tells
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, status, resp.StatusCode)
	assert.Equal(t, "Bearer", resp.Header.Get("Www-Authenticate"))
	assert.Equal(t, reason+"\n", c.text(t, resp))
	require.NoError(t, conn.Close())
	<-sent
}
