//go:build unix

package scgi_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// This file has what the rows run on: a server, the front end before it, and clients.

// matrixColumn is a server and its front end.
type matrixColumn struct {
	matrixPlace
	front *frontend.Frontend

	mu       sync.Mutex // guards handlers
	handlers map[string]http.HandlerFunc
}

var _ http.Handler = (*matrixColumn)(nil)

// matrixCell is where a row and a column meet.
type matrixCell struct {
	*matrixColumn
	path string // of its handler
}

const (
	matrixMount = "/habitat"
	matrixSet   = "/set" // below the mount, where the front ends have settings that are not their default
)

// matrixPatience bounds waits that only a failure makes long.
const matrixPatience = time.Minute

// matrixConfigs are the front ends' settings. Those that are for the whole server let large request headers
// through, keep a download off nginx's disk, and shorten what a client has to wait that keeps its connection.
var matrixConfigs = map[frontend.Kind]frontend.Config{
	frontend.Nginx: {
		Server: `
			large_client_header_buffers 4 16k;
			scgi_max_temp_file_size 0;
			location ^~ /habitat/set/ {
				include scgi_params;
				scgi_buffer_size 16k;
				scgi_buffers 8 16k;
				scgi_pass windsock;
			}`,
	},
	frontend.Lighttpd: {
		Server: `
			server.max-request-field-size = 65535
			server.max-keep-alive-idle = 1`,
		Location: `
			$HTTP["url"] =~ "^/habitat/set/" {
				server.stream-response-body = 2
				scgi.server = ( "/habitat" => ( var.windsock_backend + (
					"check-local" => "disable",
					"tcp-fin-propagate" => "enable",
					"upgrade" => "enable",
				) ) )
			}`,
	},
	frontend.Apache: {
		Server:   `KeepAliveTimeout 1`,
		Location: `SetEnvIf Request_URI ^/habitat/set/ ap_trust_cgilike_cl`,
	},
}

// startMatrixColumn starts the server and its front end, and ends them with the test.
func startMatrixColumn(t *testing.T, place matrixPlace) *matrixColumn {
	t.Helper()
	frontend.Require(t, place.kind)
	address := "127.0.0.1:0"
	if place.network == "unix" {
		address = filepath.Join(frontend.SocketDir(t), "scgi.sock")
	}
	l, err := net.Listen(place.network, address)
	require.NoError(t, err)
	c := &matrixColumn{matrixPlace: place, handlers: make(map[string]http.HandlerFunc)}
	srv := &scgi.Server{
		Handler: scgi.StripMount(matrixMount, c),
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	require.NoError(t, srv.Start(l))
	t.Cleanup(func() { endMatrixServer(t, srv) })
	config := matrixConfigs[place.kind]
	config.Style = frontend.Full
	config.Backend = place.network + ":" + l.Addr().String()
	c.front = frontend.Start(t, place.kind, config)
	return c
}

// endMatrixServer expects that no request is left, and that none was malformed.
func endMatrixServer(t *testing.T, srv *scgi.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), matrixPatience)
	defer cancel()
	assert.NoError(t, srv.Shutdown(ctx))
	<-srv.Done()
	assert.Zero(t, srv.Stats().Malformed)
}

// ServeHTTP finds the handler by the path that StripMount has found.
func (c *matrixColumn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	h := c.handlers[r.URL.Path]
	c.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h(w, r)
}

// handle sets the cell's handler and returns its URL.
func (c *matrixCell) handle(h http.HandlerFunc) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[c.path] = h
	return c.front.URL + matrixMount + c.path
}

// matrixClient has a connection for each request, and takes answers as they come.
var matrixClient = newMatrixClient(false)

func newMatrixClient(keepAlive bool) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: !keepAlive, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       matrixPatience,
	}
}

// send sends a request with those header fields, names and values in turn.
func (c *matrixCell) send(t *testing.T, method, url string, body io.Reader, fields ...string) *http.Response {
	t.Helper()
	return c.sendBy(t, matrixClient, method, url, body, fields...)
}

// sendBy is send by another client. The answer's body is closed at the end of the test.
func (c *matrixCell) sendBy(
	t *testing.T, client *http.Client, method, url string, body io.Reader, fields ...string,
) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	resp, err := client.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() }) // it was only read
	return resp
}

// text returns the whole body of an answer.
func (c *matrixCell) text(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// dial connects to the front end, for what no client would do.
func (c *matrixCell) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", c.front.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // it may be closed already
	require.NoError(t, conn.SetDeadline(time.Now().Add(matrixPatience)))
	return conn
}

// awaitMatrix waits for what a handler sends.
func awaitMatrix[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(matrixPatience):
		require.FailNow(t, "the handler did not come to its end")
	}
	return v
}
