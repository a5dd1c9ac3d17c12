package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/windsock-scgi/windsock/cmd/internal/front"
	"github.com/windsock-scgi/windsock/cmd/internal/program"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

// startFront serves HTTP on hostPort for development, and hands it on to the same
// SCGI address that a real front end uses, which by now is listened on at actual.
func startFront(ctx context.Context, hostPort, addr string, actual net.Addr, logger *slog.Logger) (*front.Front, error) {
	transport, err := transportTo(addr)
	if err != nil {
		return nil, fmt.Errorf("--http: the first --listen address: %w", err)
	}
	transport.Address = actual.String()  // a port 0 has become one
	transport.MaxBufferedBody = 16 << 20 // more than is taken: the refusal is the application's
	f, err := front.Start(ctx, front.Config{Address: hostPort, Transport: transport, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("--http: %w", err)
	}
	return f, nil
}

// transportTo is a transport to whoever listens at an address.
func transportTo(addr string) (*scgi.Transport, error) {
	remote, err := listen.ParseRemote(addr)
	if err != nil {
		return nil, program.UsageError{Err: err}
	}
	return &scgi.Transport{Network: remote.Network, Address: remote.Address}, nil
}

// explain tells a person what to do next.
func explain(w io.Writer, http net.Addr) {
	fmt.Fprintf(w, `
windsock listens. Post a message from another terminal:

  curl -d '{"callsign":"G8XYZ","type":"LISTENER_INFO","time_created":%[2]d,"time_uploaded":%[2]d,"data":{"name":"Alice"}}' http://%[1]s/message

and read it back, there or in a browser:

  curl http://%[1]s/messages

or see each as it is stored:

  curl -N http://%[1]s/messages/stream

Ctrl-C stops it.

`, http, time.Now().Unix())
}
