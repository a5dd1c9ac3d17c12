//go:build unix

package scgi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// nginxSubrequests asks /sub for /auth and /mirrored. What stands for %s says how.
const nginxSubrequests = `
	location = /auth     { auth_request /sub;                          include scgi_params; scgi_pass windsock; }
	location = /mirrored { mirror /sub; mirror_request_body off;       include scgi_params; scgi_pass windsock; }
	location = /sub      { internal; %s; scgi_param PATH_INFO /sub;    scgi_pass windsock; }
`

// startBehindNginx starts a server behind nginx, and returns that and the server's log.
func startBehindNginx(t *testing.T, locations string, h http.HandlerFunc) (*frontend.Frontend, *recorder) {
	t.Helper()
	frontend.Require(t, frontend.Nginx)
	l, err := net.Listen("unix", filepath.Join(frontend.SocketDir(t), "scgi.sock"))
	require.NoError(t, err)
	log := newRecorder()
	srv := &scgi.Server{Handler: scgi.StripMount("", h), Logger: log.logger()}
	require.NoError(t, srv.Start(l))
	t.Cleanup(func() { assert.NoError(t, srv.Shutdown(context.Background())) })
	return frontend.Start(t, frontend.Nginx, frontend.Config{Backend: "unix:" + l.Addr().String(), Server: locations}), log
}

// nginx's subrequests without the request's body work with the file in deploy/nginx.
func TestNginxSubrequest(t *testing.T) {
	seen := make(chan string, 2)
	front, log := startBehindNginx(t, strings.ReplaceAll(nginxSubrequests, "%s", "include windsock-subrequest.conf"),
		func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			seen <- r.Method + " " + r.URL.Path + " " + string(body) + strings.Join(r.Header["Content-Length"], "")
		})
	for _, path := range []string{"/auth", "/mirrored"} {
		resp, err := matrixClient.Post(front.URL+path, "text/plain", strings.NewReader("body"))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.ElementsMatch(t, []string{"POST /sub ", "POST " + path + " body4"}, []string{awaitMatrix(t, seen), awaitMatrix(t, seen)})
	}
	assert.Empty(t, log.matching("malformed"))
}

// Without it the answer is a 500, and the log says what to do.
func TestNginxSubrequestWithClientsLength(t *testing.T) {
	front, log := startBehindNginx(t, strings.ReplaceAll(nginxSubrequests, "%s", "include scgi_params"),
		func(http.ResponseWriter, *http.Request) { assert.Fail(t, "the request is not one to hand on") })
	resp, err := matrixClient.Post(front.URL+"/auth", "text/plain", strings.NewReader("body"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	assert.Len(t, log.matching("WARN", `CONTENT_LENGTH is 0 but the client's Content-Length "4"`, `scgi_param HTTP_CONTENT_LENGTH "";`), 1)
}
