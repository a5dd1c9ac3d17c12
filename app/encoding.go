package app

// This file is the body of a request as its Content-Encoding has it: decoded
// while it is read, within limits before and after.

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxZstdWindow is RFC 9659's: decoders "MUST support a Window_Size of up
	// to and including 8 MB", and encoders must not ask for more. A decoder
	// sets it aside at once, however short the body is.
	maxZstdWindow = 8 << 20
	// maxZstdDecoders is how many windows there are at most at one time.
	maxZstdDecoders = 8
)

// zstdSlots has room for one entry a decoder at work. Nobody keeps one while
// waiting for a client, so whoever waits for one gets it soon.
var zstdSlots = make(chan struct{}, maxZstdDecoders)

// bodyLimits bound a body.
type bodyLimits struct {
	wire    int64         // bytes as they arrive
	decoded int64         // bytes after decoding; at least wire
	time    time.Duration // from its first byte to its last
}

// openBody returns a request's body as it is without its Content-Encoding. What
// Read returns, answerTo knows; a body that is cut off never ends in io.EOF.
// Whoever opens it closes it.
func openBody(w http.ResponseWriter, r *http.Request, limits bodyLimits) (io.ReadCloser, error) {
	decode, err := decoderFor(strings.Join(r.Header.Values("Content-Encoding"), ","))
	if err != nil {
		return nil, err
	}
	if r.ContentLength > limits.wire {
		return nil, &http.MaxBytesError{Limit: limits.wire}
	}
	// Not every server behind the handler has deadlines (a test's has none).
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(limits.time))
	wire := &wireBody{r: http.MaxBytesReader(w, r.Body, limits.wire)}
	if decode == nil {
		return io.NopCloser(wire), nil
	}
	decoded, err := decode(wire)
	if err != nil {
		return nil, wire.cause(err)
	}
	body := struct {
		io.Reader
		io.Closer
	}{&decodedBody{wire, decoded}, decoded}
	return http.MaxBytesReader(w, body, limits.decoded), nil
}

// decoderFor finds what undoes a Content-Encoding: nil when it is none. RFC
// 9110, section 8.4.1: the names are case-insensitive, and "A recipient SHOULD
// consider "x-gzip" to be equivalent to "gzip"". Two on top of each other
// nobody sends.
func decoderFor(encoding string) (func(io.Reader) (io.ReadCloser, error), error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return nil, nil
	case "gzip", "x-gzip":
		return openGzip, nil
	case "zstd":
		return openZstd, nil
	}
	return nil, &statusError{
		status: http.StatusUnsupportedMediaType,
		detail: "The body's Content-Encoding is not one that is taken here: gzip, zstd, or none.",
		header: http.Header{"Accept-Encoding": {"gzip, zstd, identity"}},
	}
}

func openGzip(wire io.Reader) (io.ReadCloser, error) { return gzip.NewReader(wire) }

// openZstd waits for the whole body first: the window that decoding takes must
// not wait for a slow client.
func openZstd(wire io.Reader) (io.ReadCloser, error) {
	var whole bytes.Buffer
	if _, err := whole.ReadFrom(wire); err != nil {
		return nil, err
	}
	if whole.Len() == 0 {
		return nil, io.ErrUnexpectedEOF // the decoder takes it for a whole stream of no frames
	}
	zstdSlots <- struct{}{}
	decoder, err := zstd.NewReader(&whole,
		zstd.WithDecoderConcurrency(1), // no goroutines
		zstd.WithDecoderMaxWindow(maxZstdWindow),
		zstd.WithDecodeBuffersBelow(0), // or a short body is decoded whole at once
	)
	if err != nil {
		<-zstdSlots
		return nil, err
	}
	return &zstdBody{decoder}, nil
}

// zstdBody is a decoder that has a slot until it is closed, once.
type zstdBody struct{ *zstd.Decoder }

func (b *zstdBody) Close() error {
	b.Decoder.Close()
	<-zstdSlots
	return nil
}

// wireBody is a body as it arrives. It remembers what it ended with, since a
// decoder on top may make something else of it.
type wireBody struct {
	r   io.Reader
	err error
}

func (b *wireBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = fmt.Errorf("reading the body: %w", err)
		err = b.err
	}
	return n, err
}

// cause returns why decoding failed: because of what arrived, or because it
// stopped arriving.
func (b *wireBody) cause(err error) error {
	if b.err != nil {
		return b.err
	}
	return &statusError{status: http.StatusBadRequest, detail: undecodable(err)}
}

// undecodable says what a decoder's error means to a client.
func undecodable(err error) string {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return "The body needs a window of more than 8 MiB to decode, which RFC 9659 rules out."
	}
	return "The body is not what its Content-Encoding says, or is damaged."
}

// decodedBody gives every error its cause.
type decodedBody struct {
	wire    *wireBody
	decoded io.Reader
}

func (b *decodedBody) Read(p []byte) (int, error) {
	n, err := b.decoded.Read(p)
	// An end is believed only when the wire came to its end too.
	if err != nil && (err != io.EOF || b.wire.err != nil) {
		err = b.wire.cause(err)
	}
	return n, err
}
