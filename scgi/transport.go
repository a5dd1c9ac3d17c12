package scgi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Transport sends HTTP requests to an SCGI application: it is a front end's
// half of the protocol as an http.RoundTripper, for http.Client and
// httputil.ReverseProxy. Scheme and host of a request's URL say nothing about
// where it goes, only what the application is told.
//
// Each request has a connection of its own, as SCGI has it. A Transport is safe
// for concurrent use; its fields must not be changed while it is used.
type Transport struct {
	// Network and Address say where the application listens, as for net.Dial:
	// "unix" and a path, "tcp" and host:port.
	Network, Address string

	// Mount is the part of the path that is sent as SCRIPT_NAME; PATH_INFO is
	// what follows it. Empty means none.
	Mount string

	// DialContext makes the connection; nil means a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// ResponseHeaderTimeout bounds the wait for the answer's header, from the
	// connection on. 0 and negative values mean no bound but the request's
	// context.
	ResponseHeaderTimeout time.Duration

	// MaxBufferedBody bounds a request's body of unknown length, which SCGI
	// cannot stream: it is held whole, and over the bound the request fails.
	// 0 means 1 MiB, a negative value that such a body always fails.
	MaxBufferedBody int64
}

var _ http.RoundTripper = (*Transport)(nil)

const defaultMaxBufferedBody = 1 << 20

// RoundTrip implements http.RoundTripper. The answer may come before the
// request was sent whole; the connection is closed with the answer's body.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := context.Cause(r.Context()); err != nil {
		closeBody(r)
		return nil, err
	}
	asked := r
	r, err := t.withLength(closedOnce(r))
	if err != nil {
		closeBody(r)
		return nil, err
	}
	conn, err := t.dial(r.Context())
	if err != nil {
		closeBody(r)
		return nil, err
	}
	x := &exchange{r: r, conn: conn, failed: make(chan error, 1)}
	x.stop = context.AfterFunc(r.Context(), x.breakOff)
	go x.send(strings.TrimRight(t.Mount, "/"))
	resp, err := x.receive(t.ResponseHeaderTimeout)
	if err != nil {
		_ = x.Close()
		return nil, x.why(err)
	}
	resp.Request = asked
	return resp, nil
}

func (t *Transport) dial(ctx context.Context) (net.Conn, error) {
	if t.DialContext != nil {
		return t.DialContext(ctx, t.Network, t.Address)
	}
	var d net.Dialer
	return d.DialContext(ctx, t.Network, t.Address)
}

// withLength gives a request whose body's length is known.
func (t *Transport) withLength(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength > 0 {
		return r, nil
	}
	most := t.MaxBufferedBody
	if most == 0 {
		most = defaultMaxBufferedBody
	}
	if most < 0 {
		return r, errUnknownLength
	}
	stop := context.AfterFunc(r.Context(), func() { closeBody(r) }) // which wakes the read of it
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if !stop() {
		return r, context.Cause(r.Context())
	}
	if err != nil {
		return r, fmt.Errorf("scgi: reading the request's body: %w", err)
	}
	if int64(len(body)) > most {
		return r, fmt.Errorf("scgi: a body of unknown length is longer than the %d bytes that are held for it", most)
	}
	closeBody(r)
	held := r.Clone(r.Context())
	held.ContentLength = int64(len(body))
	held.Body = http.NoBody
	if len(body) > 0 {
		held.Body = io.NopCloser(bytes.NewReader(body))
	}
	return held, nil
}

// closedOnce gives a request whose body may be closed by several at once: by who
// sends it, by who is done with the answer and by the context.
func closedOnce(r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	r = r.WithContext(r.Context()) // a copy
	r.Body = &onceCloser{ReadCloser: r.Body}
	return r
}

type onceCloser struct {
	io.ReadCloser
	once sync.Once
}

// Close implements io.Closer.
func (c *onceCloser) Close() (err error) {
	c.once.Do(func() { err = c.ReadCloser.Close() })
	return err
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // it was only read
	}
}

// exchange is one request and its answer on a connection, and the answer's body.
type exchange struct {
	r      *http.Request
	conn   net.Conn
	stop   func() bool // ends the watch on the request's context
	body   io.Reader
	failed chan error // why the request was not sent whole; holds one
}

// send writes the request, and ends with it or with the connection, or when a
// body that blocks returns. An application that answers early may well have
// stopped reading; so an error counts only when there is no answer.
func (x *exchange) send(mount string) {
	defer closeBody(x.r)
	to := &sink{w: x.conn}
	if err := writeRequest(to, x.r, mount); err != nil {
		x.failed <- err
		if !to.failed {
			_ = x.conn.Close() // the request cannot be completed, so no answer will come
		}
	}
}

// sink tells the errors of writing from those of what is written.
type sink struct {
	w      io.Writer
	failed bool
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.failed = s.failed || err != nil
	return n, err
}

// receive reads the answer's header.
func (x *exchange) receive(timeout time.Duration) (*http.Response, error) {
	if timeout > 0 {
		_ = x.conn.SetReadDeadline(time.Now().Add(timeout))
	}
	resp, err := ReadResponse(bufio.NewReader(x.conn), x.r)
	if err != nil {
		select {
		case err = <-x.failed:
		default:
		}
		return nil, err
	}
	if timeout > 0 {
		_ = x.conn.SetReadDeadline(time.Time{})
	}
	x.body = resp.Body
	resp.Body = x
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = upgraded{x}
	}
	return resp, nil
}

// Read implements io.Reader.
func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = x.why(err)
	}
	return n, err
}

// why is the reason behind an error: the request's context, once that has ended.
func (x *exchange) why(err error) error {
	if cause := context.Cause(x.r.Context()); cause != nil {
		return cause
	}
	return err
}

// Close ends the exchange.
func (x *exchange) Close() error {
	x.stop()
	x.breakOff()
	return nil
}

// breakOff ends both directions, a read of the request's body included.
func (x *exchange) breakOff() {
	_ = x.conn.Close() // the answer has been taken, or is not wanted
	closeBody(x.r)
}

// upgraded is the body of a 101: a way to talk to the application both ways.
type upgraded struct{ *exchange }

var _ io.ReadWriteCloser = upgraded{}

// Write implements io.Writer.
func (u upgraded) Write(p []byte) (int, error) { return u.conn.Write(p) }
