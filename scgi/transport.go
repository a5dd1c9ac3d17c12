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
// Each request has a connection of its own, as SCGI has it, which ends with the
// answer's body or when that is closed: so close it. Bodies stream both ways, and
// an answer that comes before the whole request was sent is taken. When a request's
// context ends, the connection does. A path with a NUL (%00), which SCGI cannot
// carry, is answered 400 without a connection.
//
// Network and Address, or DialContext, must be set; of all other fields the zero
// value works. A Transport is safe for concurrent use; its fields must not be
// changed while it is used.
type Transport struct {
	// Network and Address say where the application listens, as for net.Dial:
	// "unix" and a path, "tcp" and host:port.
	Network, Address string

	// Mount is the part of the path that is sent as SCRIPT_NAME; PATH_INFO is
	// what follows it. Empty means none.
	Mount string

	// DialContext makes the connection, within a timeout of its own and of the
	// request's context; nil means a net.Dialer with 30 s.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// ResponseHeaderTimeout bounds the wait for the answer's header once the
	// request was sent with its body, or could not be sent any further. 0 and
	// negative values mean no bound but the request's context. The error is a
	// net.Error with Timeout.
	ResponseHeaderTimeout time.Duration

	// MaxBufferedBody bounds a request's body of unknown length, which SCGI
	// cannot stream: it is held whole, and over the bound the request fails with
	// an [*http.MaxBytesError]. 0 means 1 MiB, a negative value that such a body
	// must be empty.
	MaxBufferedBody int64
}

var _ http.RoundTripper = (*Transport)(nil)

const (
	defaultMaxBufferedBody = 1 << 20
	dialTimeout            = 30 * time.Second // as http.DefaultTransport has it
)

// RoundTrip implements http.RoundTripper. The answer may come before the
// request was sent whole; the connection is closed with the answer's body.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := context.Cause(r.Context()); err != nil {
		closeBody(r)
		return nil, err
	}
	if strings.IndexByte(r.URL.Path, 0) >= 0 {
		closeBody(r)
		return badRequest(r)
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
		return nil, orCause(r.Context(), err)
	}
	x := newExchange(r, conn, t.ResponseHeaderTimeout)
	go x.send(strings.TrimRight(t.Mount, "/"))
	resp, err := x.receive()
	if err != nil {
		_ = x.Close()
		return nil, x.why(err)
	}
	resp.Request = asked
	return resp, nil
}

// badRequest is the answer to a path that SCGI cannot carry, since a NUL ends each
// variable. nginx, too, answers 400 to %00.
func badRequest(r *http.Request) (*http.Response, error) {
	return ReadResponse(bufio.NewReader(bytes.NewReader(plainAnswer(http.StatusBadRequest))), r)
}

func (t *Transport) dial(ctx context.Context) (net.Conn, error) {
	if t.DialContext != nil {
		return t.DialContext(ctx, t.Network, t.Address)
	}
	if t.Network == "" || t.Address == "" {
		return nil, errors.New("scgi: the Transport has no Network and Address to connect to")
	}
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, t.Network, t.Address)
}

// withLength gives a request whose body's length is known.
func (t *Transport) withLength(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength > 0 {
		return r, nil
	}
	most := max(t.MaxBufferedBody, 0)
	if t.MaxBufferedBody == 0 {
		most = defaultMaxBufferedBody
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
		return r, fmt.Errorf("scgi: a body of unknown length is longer than the %d bytes that are held for it: %w", most, &http.MaxBytesError{Limit: most})
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
