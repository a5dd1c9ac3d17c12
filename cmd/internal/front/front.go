// Package front is an HTTP front end for development: plain HTTP, handed on over
// SCGI as a real front end does, so that what works here works there.
package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"syscall"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
)

// Config says what a Front does.
type Config struct {
	Address     string // HOST:PORT to listen on
	Transport   *scgi.Transport
	Logger      *slog.Logger
	LogRequests bool // a line each
}

// Front is a front end that runs. REMOTE_ADDR is the true peer: nothing that
// clients say in Forwarded or X-Forwarded-* is believed or handed on.
type Front struct {
	server   *http.Server
	listener net.Listener
	ended    chan struct{}
	err      error // once ended is closed
}

// Limits, as of a front end that faces the world. Bodies and answers have none in
// time, since uploads and event streams live long.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 60 << 10 // scgi.Server takes 64 KiB, with what is added
)

// Start listens and serves until Stop. ctx bounds the opening of the listener.
func Start(ctx context.Context, c Config) (*Front, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, err
	}
	if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
		c.Logger.Warn("the development front end is not on loopback: it has no TLS, and everybody who reaches it can use the application",
			"address", addr.String())
	}
	f := &Front{
		server: &http.Server{
			Handler:           c.handler(),
			ReadHeaderTimeout: readHeaderTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
		},
		listener: l,
		ended:    make(chan struct{}),
	}
	go func() {
		defer close(f.ended)
		if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			f.err = err
		}
	}()
	return f, nil
}

// Addr is the address that is listened on: a port 0 has become one.
func (f *Front) Addr() net.Addr { return f.listener.Addr() }

// Ended is closed when nothing is listened on any more.
func (f *Front) Ended() <-chan struct{} { return f.ended }

// Stop waits for requests that are under way until ctx ends, then breaks them
// off, which is an error.
func (f *Front) Stop(ctx context.Context) error {
	err := f.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, f.server.Close())
	}
	<-f.ended
	return errors.Join(err, f.err)
}

func (c *Config) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: c.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery = r.In.URL.RawQuery // as it came, which is not for a front end to judge
			if r.Out.Body != nil && r.Out.Body != http.NoBody {
				r.Out.Body = clientBody{r.Out.Body}
			}
		},
		ErrorHandler: c.fail,
		ErrorLog:     slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn),
	}
	if !c.LogRequests {
		return proxy
	}
	return c.logged(proxy)
}

// fail answers in place of the application, which has not answered or has not been
// asked.
func (c *Config) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		w.WriteHeader(http.StatusBadGateway) // to a client that has gone away
		return
	}
	status := statusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	c.Logger.Warn("no answer from the application", "method", r.Method, "uri", r.URL.RequestURI(), "status", status, "error", err.Error())
	http.Error(w, fmt.Sprintf("%d %s: the front end's log says why", status, http.StatusText(status)), status)
}

// statusOf is the status for a request that failed with err.
func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	var broken bodyError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &broken):
		return http.StatusBadRequest
	case errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE): // no descriptor left to connect with
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}
