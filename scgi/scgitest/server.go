// Package scgitest helps to test SCGI applications, as net/http/httptest helps
// to test HTTP ones: a server on a temporary unix socket, a client for it, and
// raw bytes for what no client would send.
package scgitest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
)

// Server is an SCGI server that listens on a temporary unix socket, or on a TCP
// port of the loopback interface.
type Server struct {
	// Config may be changed between NewUnstartedServer and Start.
	Config *scgi.Server

	// Network and Address say where it listens, for net.Dial. To test over TCP
	// set Network to "tcp" before Start.
	Network, Address string

	folder string // of the socket
}

// NewServer starts a server that answers through h. The caller closes it.
func NewServer(h http.Handler) *Server {
	s := NewUnstartedServer(h)
	s.Start()
	return s
}

// NewUnstartedServer makes a server to be configured before Start.
func NewUnstartedServer(h http.Handler) *Server {
	return &Server{Config: &scgi.Server{Handler: h}, Network: "unix"}
}

// Start starts the server. It panics when it cannot listen, as httptest does.
func (s *Server) Start() {
	l, err := s.listen()
	if err == nil {
		s.Address = l.Addr().String()
		err = s.Config.Start(l)
	}
	if err != nil {
		panic(fmt.Sprintf("scgitest: %v", err))
	}
}

func (s *Server) listen() (net.Listener, error) {
	if s.Network == "tcp" {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	// Not in the test's own folder: a socket's path has 107 bytes at most.
	folder, err := os.MkdirTemp("", "scgi")
	if err != nil {
		return nil, err
	}
	s.folder = folder
	return net.Listen("unix", filepath.Join(folder, "s"))
}

// closeTimeout is how long Close waits for requests to finish.
const closeTimeout = 5 * time.Second

// Close shuts the server down and waits until no handler runs any more. It
// panics when one does not return, since a test would leak it.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.Config.Shutdown(ctx) // what it could not wait for is broken off now
	select {
	case <-s.Config.Done():
	case <-time.After(closeTimeout):
		panic("scgitest: a handler does not return though its connection is closed")
	}
	if s.folder != "" {
		_ = os.RemoveAll(s.folder) // a leftover in the temporary folder is no failure
	}
}

// Transport returns a transport to the server.
func (s *Server) Transport() *scgi.Transport {
	return &scgi.Transport{Network: s.Network, Address: s.Address}
}

// Client returns a client of which every request goes to the server, whatever
// host its URL names. It follows no redirects.
func (s *Server) Client() *http.Client {
	return &http.Client{
		Transport:     s.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Dial connects to the server.
func (s *Server) Dial() (net.Conn, error) { return net.Dial(s.Network, s.Address) }

// Send sends raw bytes, each chunk by a write of its own, and returns all that
// comes back until the server closes. What came before an error is returned
// with it; that the server stops reading is none.
func (s *Server) Send(chunks ...[]byte) ([]byte, error) {
	conn, err := s.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, chunk := range chunks {
			if _, err := conn.Write(chunk); err != nil {
				return // the server has its reasons; its answer tells
			}
		}
	}()
	answer, err := io.ReadAll(conn)
	<-sent
	return answer, err
}
