//go:build unix

package scgi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// This file has the rows about what a request brings to its handler.

func checkGet(t *testing.T, c *matrixCell) {
	seen := make(chan *http.Request, 1)
	url := c.handle(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		_, _ = io.WriteString(w, "hello") // the client sees what is missing
	})
	resp := c.send(t, "GET", url+"?a=1&b=%20", nil, "Authorization", "Bearer token", "Proxy", "http://evil.example/")
	assert.Equal(t, "200 OK", resp.Status)
	assert.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
	assert.Equal(t, "hello", c.text(t, resp))

	r := awaitMatrix(t, seen)
	assert.Equal(t, "GET", r.Method)
	assert.Equal(t, "/get?a=1&b=%20", r.URL.String())
	assert.Equal(t, "/habitat/get?a=1&b=%20", r.RequestURI)
	assert.Equal(t, "HTTP/1.1", r.Proto)
	assert.Equal(t, "Bearer token", r.Header.Get("Authorization"))
	assert.Empty(t, r.Header.Get("Proxy"))
	assert.Nil(t, r.TLS)
	assert.Equal(t, "/get", scgi.Env(r).Get("PATH_INFO"))
	assert.Regexp(t, `^127\.0\.0\.1(:\d+)?$`, r.Host)
	if c.kind != frontend.Nginx {
		assert.Equal(t, c.front.Addr, r.Host)
	}
	host, port, err := net.SplitHostPort(r.RemoteAddr)
	assert.NoError(t, err)
	assert.Equal(t, "127.0.0.1", host)
	assert.NotEqual(t, "0", port)
}

func checkEncodedPath(t *testing.T, c *matrixCell) { c.checkPath(t) }

func checkEncodedPathOfApache(t *testing.T, c *matrixCell) {
	apache := &matrixCell{c.matrixColumn, "/a%2Fb cé"}
	apache.checkPath(t)
}

// checkPath expects that the handler of the cell's path is found by an encoded one.
func (c *matrixCell) checkPath(t *testing.T) {
	t.Helper()
	c.handle(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RequestURI) // the client sees what is missing
	})
	const uri = matrixMount + "/a%2Fb%20c%C3%A9"
	resp := c.send(t, "GET", c.front.URL+uri, nil)
	require.Equal(t, "200 OK", resp.Status)
	assert.Equal(t, uri, c.text(t, resp))
}

func checkRepeatedHeader(t *testing.T, c *matrixCell) {
	url := c.handle(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Header["X-Tag"]) })
	resp := c.send(t, "GET", url, nil, "X-Tag", "a", "X-Tag", "b")
	assert.Equal(t, `["a, b"]`, c.text(t, resp))
}

func checkRepeatedCookie(t *testing.T, c *matrixCell) {
	assert.Equal(t, "[a=1 b=2]", c.cookies(t))
}

func checkRepeatedCookieOfApache(t *testing.T, c *matrixCell) {
	assert.Equal(t, `[a="1, b=2"]`, c.cookies(t))
}

// cookies shows which cookies a handler finds in two fields.
func (c *matrixCell) cookies(t *testing.T) string {
	t.Helper()
	url := c.handle(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Cookies()) })
	return c.text(t, c.send(t, "GET", url, nil, "Cookie", "a=1", "Cookie", "b=2"))
}

// largeFields are 4 KiB of header each, and a little more.
func largeFields(n int) []string {
	var fields []string
	for i := range n {
		fields = append(fields, "X-Large-"+strconv.Itoa(i), strings.Repeat("x", 4<<10))
	}
	return fields
}

func checkLargeHeader(t *testing.T, c *matrixCell) {
	url := c.handle(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Large-") {
				n += len(r.Header.Get(name))
			}
		}
		fmt.Fprint(w, n)
	})
	assert.Equal(t, "40960", c.text(t, c.send(t, "GET", url, nil, largeFields(10)...)))
}

// checkLargerHeaderRefused shows that the front end refuses what is over its own limit.
func checkLargerHeaderRefused(t *testing.T, c *matrixCell) {
	status := map[frontend.Kind]int{frontend.Nginx: 400, frontend.Lighttpd: 431}[c.kind]
	url := c.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	assert.Equal(t, status, c.send(t, "GET", url, nil, largeFields(20)...).StatusCode)
}

// echoBody answers with the request's body, once it is read.
func echoBody(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength != int64(len(body)) {
		http.Error(w, fmt.Sprint(err, r.ContentLength, len(body)), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	_, _ = w.Write(body) // the client sees what is missing
}

// countingText is long, and no part of it is like another.
var countingText = func() string {
	var sb strings.Builder
	for i := range 50_000 {
		fmt.Fprintln(&sb, i)
	}
	return sb.String()
}()

func checkPost(t *testing.T, c *matrixCell) {
	url := c.handle(echoBody)
	for _, body := range []string{"", "a", countingText} {
		resp := c.send(t, "POST", url, strings.NewReader(body), "Content-Type", "text/x-counting")
		assert.Equal(t, "200 OK", resp.Status)
		assert.Equal(t, "text/x-counting", resp.Header.Get("Content-Type"))
		assert.True(t, c.text(t, resp) == body)
	}
}

// unknownLength hides a body's length from the client, which then sends it chunked.
type unknownLength struct{ io.Reader }

func checkChunked(t *testing.T, c *matrixCell) {
	resp := c.send(t, "POST", c.handle(echoBody), unknownLength{strings.NewReader(countingText)})
	assert.Equal(t, "200 OK", resp.Status)
	assert.True(t, c.text(t, resp) == countingText)
}

func checkChunkedRefused(t *testing.T, c *matrixCell) {
	resp := c.send(t, "POST", c.handle(echoBody), unknownLength{strings.NewReader("a")})
	assert.Equal(t, http.StatusLengthRequired, resp.StatusCode)
}
