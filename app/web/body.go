package web

// This file is the body of a request. It is received whole, at its client's pace,
// before anything that others share is taken for it; then it is decoded by its
// Content-Encoding. Its size is limited before and after.

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/windsock-scgi/windsock/app/admission"
)

// maxZstdWindow is RFC 9659's: decoders "MUST support a Window_Size of up
// to and including 8 MB", and encoders must not ask for more. A decoder
// sets it aside at once, however short the body is.
const maxZstdWindow = 8 << 20

// bodyLimits bound a body.
type bodyLimits struct {
	wire    int64 // bytes as they arrive
	decoded int64 // bytes after decoding; at least wire
}

// body is a request's body as it arrived.
type body struct {
	wire   []byte
	err    error       // why it ended early; nil when it is whole
	decode openDecoder // nil when it has no Content-Encoding
	limits bodyLimits
	share  *admission.Share // holds it in memory
}

// openDecoder begins to decode a body.
type openDecoder func(wire io.Reader) (io.ReadCloser, error)

// receiveBody reads a request's body. The error is that of a request that is
// refused for its size, its encoding or for want of memory. A body that ends
// early is returned, with the reason.
func receiveBody(w http.ResponseWriter, r *http.Request, limits bodyLimits, share *admission.Share) (*body, error) {
	decode, err := decoderFor(strings.Join(r.Header.Values("Content-Encoding"), ","))
	if err != nil {
		return nil, err
	}
	if r.ContentLength > limits.wire {
		return nil, &http.MaxBytesError{Limit: limits.wire}
	}
	paced := io.NopCloser(admission.Paced(w, r))
	wire, err := share.ReadAll(http.MaxBytesReader(w, paced, limits.wire), r.ContentLength)
	if err != nil {
		if isRefused(err) {
			return nil, err
		}
		err = fmt.Errorf("reading the body: %w", err)
	}
	return &body{wire, err, decode, limits, share}, nil
}

func isRefused(err error) bool {
	var refused *admission.Refused
	return errors.As(err, &refused)
}

// decoderFor finds the decoder for a Content-Encoding. It is nil for none. RFC
// 9110, section 8.4.1: the names are case-insensitive, and "A recipient SHOULD
// consider "x-gzip" to be equivalent to "gzip"". Several encodings on top of each
// other are not supported.
func decoderFor(encoding string) (openDecoder, error) {
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

func openZstd(wire io.Reader) (io.ReadCloser, error) {
	decoder, err := zstd.NewReader(wire,
		zstd.WithDecoderConcurrency(1), // no goroutines
		zstd.WithDecoderMaxWindow(maxZstdWindow),
		zstd.WithDecodeBuffersBelow(0), // a short body is not decoded all at once, past its limit
	)
	if err != nil {
		return nil, err
	}
	return decoder.IOReadCloser(), nil
}

// decoded returns the body without its Content-Encoding. With an error it returns
// what came before the fault. It enters gate before it decodes, since a decoder
// takes memory of its own, and leaves it after; gate may be nil when its caller
// holds such a place.
func (b *body) decoded(ctx context.Context, gate *admission.Gate) ([]byte, error) {
	if b.decode == nil {
		return b.wire, b.err
	}
	if gate != nil {
		leave, err := gate.Enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	text, err := b.decodeAll()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), isRefused(err):
		return text, err
	case b.err != nil: // whatever the decoder made of the early end
		return text, b.err
	case err != nil:
		return text, &statusError{status: http.StatusBadRequest, detail: undecodable(err)}
	}
	return text, nil
}

func (b *body) decodeAll() ([]byte, error) {
	if len(b.wire) == 0 {
		return nil, io.ErrUnexpectedEOF // zstd takes it for a whole stream of no frames
	}
	decoder, err := b.decode(bytes.NewReader(b.wire))
	if err != nil {
		return nil, err
	}
	defer decoder.Close() // nothing was written: there is nothing to lose
	return b.share.ReadAll(http.MaxBytesReader(nil, decoder, b.limits.decoded), b.limits.decoded)
}

// undecodable says what a decoder's error means to a client.
func undecodable(err error) string {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return "The body needs a window of more than 8 MiB to decode, which RFC 9659 rules out."
	}
	return "The body is not what its Content-Encoding says, or is damaged."
}
