package listen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderTimeout is how long a peer may take for its PROXY header. The
// specification asks for three seconds at least, for a packet to be sent again.
const proxyHeaderTimeout = 5 * time.Second

// wrap wraps the connections of those peers, and only those, that speak the
// PROXY protocol. It must not wait for the header.
func (l *Listener) wrap(c net.Conn) net.Conn {
	o := &l.address.options
	if !o.proxyUnix && !contains(o.proxy, c.RemoteAddr()) {
		return c
	}
	return newProxyConn(c, func(err error) {
		l.refuse("listen: a peer that proxy= names sent no valid PROXY header", c.RemoteAddr(), "error", err)
	})
}

// proxyConn is a connection that begins with a PROXY header. It mends what its
// reader hides: a peer that goes away or is too slow within the header is seen
// as that, and the half-close and linger of the connection work.
type proxyConn struct {
	net.Conn // reader, without what else that can do
	reader   *proxyproto.Conn
	head     *headConn
	bad      func(error) // is told, once, of a header that is none
	once     sync.Once
}

func newProxyConn(c net.Conn, bad func(error)) *proxyConn {
	head := &headConn{Conn: c}
	// The policy: who gets here must send a header. The package's own policies
	// go by address and would refuse every peer of a unix socket.
	reader := proxyproto.NewConn(head,
		proxyproto.WithPolicy(proxyproto.REQUIRE),
		proxyproto.SetReadHeaderTimeout(proxyHeaderTimeout))
	return &proxyConn{Conn: reader, reader: reader, head: head, bad: bad}
}

// Read reads what follows the header. Before a complete header it is io.EOF for
// a peer that closes without a byte, io.ErrUnexpectedEOF for one that closes
// within the header, and os.ErrDeadlineExceeded for one that is too slow.
func (c *proxyConn) Read(p []byte) (int, error) {
	n, err := c.reader.Read(p)
	if err == nil || c.reader.ProxyHeader() != nil {
		return n, err
	}
	return n, c.headerError(err)
}

// headerError says why there was no header. The reader calls it missing
// whatever happened.
func (c *proxyConn) headerError(err error) error {
	switch {
	case c.head.cut != nil:
		return c.head.cut
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	}
	c.once.Do(func() { c.bad(err) })
	return fmt.Errorf("listen: no valid PROXY header: %w", err)
}

// CloseWrite closes the connection's writing half.
func (c *proxyConn) CloseWrite() error {
	half, ok := c.head.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// SetLinger is that of a TCP connection.
func (c *proxyConn) SetLinger(seconds int) error {
	tcp, ok := c.head.Conn.(*net.TCPConn)
	if !ok {
		return errors.ErrUnsupported
	}
	return tcp.SetLinger(seconds)
}

// File is a copy of a TCP connection's descriptor, to watch it for its end: what
// it reads lacks what was read with the header.
func (c *proxyConn) File() (*os.File, error) {
	tcp, ok := c.head.Conn.(*net.TCPConn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return tcp.File()
}

// headConn hands on the beginning of a connection in one piece: go-proxyproto
// gives a version 1 header up that does not come whole, and the specification
// (section 2) recommends to be tolerant. It has set the deadline for it.
type headConn struct {
	net.Conn
	begun bool
	cut   error // how the connection ended within the beginning
}

func (c *headConn) Read(p []byte) (int, error) {
	if c.begun {
		return c.Conn.Read(p)
	}
	c.begun = true
	for n := 0; ; {
		m, err := c.Conn.Read(p[n:])
		n += m
		if err != nil {
			c.cut = err
			if n > 0 && errors.Is(err, io.EOF) {
				c.cut = io.ErrUnexpectedEOF
			}
			return n, err
		}
		if n == len(p) || !incomplete(p[:n]) {
			return n, nil
		}
	}
}

// maxV1 is the longest header of version 1, line end included.
const maxV1 = 107

// incomplete reports whether the first bytes may become a signature, or are a
// header of version 1 whose line has not ended yet.
func incomplete(b []byte) bool {
	if bytes.HasPrefix(b, proxyproto.SIGV1) {
		return len(b) < maxV1 && bytes.IndexByte(b, '\n') < 0
	}
	return bytes.HasPrefix(proxyproto.SIGV1, b) || len(b) < len(proxyproto.SIGV2) && bytes.HasPrefix(proxyproto.SIGV2, b)
}
