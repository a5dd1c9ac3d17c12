package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

// front is the development front end: plain HTTP, handed on over the same SCGI
// socket that a real front end uses, so that what works here works there.
type front struct {
	server   *http.Server
	listener net.Listener
	ended    chan struct{}
}

// startFront serves HTTP on hostPort and hands it on to the SCGI address, which
// by now is listened on at actual.
func startFront(hostPort, addr string, actual net.Addr, logger *slog.Logger) (*front, error) {
	transport, err := transportTo(addr)
	if err != nil {
		return nil, fmt.Errorf("--http: the first --listen address: %w", err)
	}
	transport.Address = actual.String()  // a port 0 has become one
	transport.MaxBufferedBody = 16 << 20 // more than is taken: the refusal is the application's
	l, err := net.Listen("tcp", hostPort)
	if err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	f := &front{
		server: &http.Server{
			Handler: &httputil.ReverseProxy{
				Transport: transport,
				// No X-Forwarded-For is believed: REMOTE_ADDR is the true peer.
				Rewrite:  func(r *httputil.ProxyRequest) {},
				ErrorLog: errorLog,
			},
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          errorLog,
		},
		listener: l,
		ended:    make(chan struct{}),
	}
	go func() {
		defer close(f.ended)
		_ = f.server.Serve(l) // http.ErrServerClosed; the SCGI side is what matters
	}()
	return f, nil
}

// transportTo is a transport to whoever listens at an address.
func transportTo(addr string) (*scgi.Transport, error) {
	remote, err := listen.ParseRemote(addr)
	if err != nil {
		return nil, usageError{err}
	}
	return &scgi.Transport{Network: remote.Network, Address: remote.Address}, nil
}

// explain tells a person what to do next.
func (f *front) explain(w io.Writer) {
	fmt.Fprintf(w, `
windsock listens. Post a message from another terminal:

  curl -d '{"callsign":"G8XYZ","type":"LISTENER_INFO","time_created":%[2]d,"time_uploaded":%[2]d,"data":{"name":"Alice"}}' http://%[1]s/message

and read it back, there or in a browser:

  curl http://%[1]s/messages

or see each as it is stored:

  curl -N http://%[1]s/messages/stream

Ctrl-C stops it.

`, f.listener.Addr(), time.Now().Unix())
}

func (f *front) stop(ctx context.Context) error {
	err := f.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, f.server.Close())
	}
	<-f.ended
	return err
}
