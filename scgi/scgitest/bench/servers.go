//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
)

// This file is the servers in Go. Each runs in a process of its own and answers
// everything with OK.

// answer is the handler of all of them.
func answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // what was not sent shows in the answer
	_, _ = io.WriteString(w, "OK")
}

// wrapped hides a listener's kind.
type wrapped struct{ net.Listener }

// serve runs until a signal ends it. With BENCH_PROFILE it writes a profile.
func serve(kind, address string) error {
	if path := os.Getenv("BENCH_PROFILE"); path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	network, rest, _ := strings.Cut(address, ":")
	l, err := net.Listen(network, rest)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go serveOn(kind, l)
	<-ctx.Done()
	return nil
}

func serveOn(kind string, l net.Listener) {
	var err error
	switch h := http.HandlerFunc(answer); kind {
	case "scgi":
		err = newSCGI(h).Serve(l)
	case "scgi-portable":
		err = newSCGI(h).Serve(wrapped{l})
	case "http":
		err = (&http.Server{Handler: h}).Serve(l)
	case "fcgi":
		err = fcgi.Serve(l, h)
	case "plain":
		err = servePlain(l)
	}
	panic(fmt.Sprintf("bench: %s: %v", kind, err))
}

func newSCGI(h http.Handler) *scgi.Server {
	// Idle connections are to stay, with the deadline that others have.
	return &scgi.Server{Handler: h, ReadHeaderTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)}
}

// servePlain is what Go's net costs by itself: it reads once and looks at nothing.
func servePlain(l net.Listener) error {
	whole := []byte("Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			var buf [4 << 10]byte
			if _, err := c.Read(buf[:]); err == nil {
				_, _ = c.Write(whole) // the load sees what is missing
			}
		}()
	}
}
