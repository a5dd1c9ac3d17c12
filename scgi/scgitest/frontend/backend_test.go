//go:build unix

package frontend

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// backend is the smallest SCGI server: a strict reader, and an answer a function gives.
type backend struct {
	net.Listener
	conns sync.WaitGroup
}

// answer handles one request; what it writes goes out as it is.
type answer func(net.Conn, request)

// serve runs a backend on a new address of the network until the test ends.
func serve(t *testing.T, network string, handle answer) *backend {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(SocketDir(t), "app.sock")
	}
	return serveOn(t, network, address, handle)
}

func serveOn(t *testing.T, network, address string, handle answer) *backend {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	b := &backend{Listener: l}
	b.conns.Go(func() { b.accept(t, handle) })
	t.Cleanup(b.stop)
	return b
}

func (b *backend) stop() {
	// Closing it twice, as tests that restart it do, is an error without meaning.
	_ = b.Close()
	b.conns.Wait()
}

// String is the address as in Config.Backend.
func (b *backend) String() string { return b.Addr().Network() + ":" + b.Addr().String() }

func (b *backend) accept(t *testing.T, handle answer) {
	for {
		conn, err := b.Accept()
		if err != nil {
			return
		}
		b.conns.Go(func() {
			defer conn.Close()
			r := bufio.NewReader(conn)
			// lighttpd connects without saying anything to see whether somebody is there.
			if _, err := r.Peek(1); err != nil {
				return
			}
			req, err := readRequest(r)
			if err != nil {
				t.Errorf("malformed request: %v", err)
				return
			}
			handle(conn, req)
		})
	}
}

// tell answers with the variables, a line each, and the body's length and hash.
func tell(conn net.Conn, req request) {
	var text strings.Builder
	text.WriteString("Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n")
	for _, v := range req.vars {
		fmt.Fprintf(&text, "%s=%s\n", v.name, v.value)
	}
	fmt.Fprintf(&text, "body=%d %x\n", len(req.body), sha256.Sum256(req.body))
	// The client sees what is missing.
	_, _ = conn.Write([]byte(text.String()))
}
