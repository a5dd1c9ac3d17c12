package front

import (
	"errors"
	"io"
)

// clientBody is a request's body as the client sends it. It marks its errors, such as
// that of broken chunking, so that they are told from the application's.
type clientBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = bodyError{err}
	}
	return n, err
}

// bodyError says that a client did not send its request's body as it should.
type bodyError struct{ error }

// Unwrap is for package errors.
func (e bodyError) Unwrap() error { return e.error }
