package scgi

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
)

// ReadResponse reads the answer to r from an SCGI application, as a front end
// does. r may be nil, which means a GET. The status is that of the Status field or,
// as nginx has it, of an HTTP status line before all fields; without either it is
// 200, with a Location 302. The body ends with its Content-Length, before which
// an end of input is io.ErrUnexpectedEOF, or with the input; closing it does not
// close the input. Header blocks over 64 KiB or 256 fields are an error. SCGI has
// no interim answers (1xx but 101); up to 5 are passed over where an application
// sends them all the same.
//
// ReadResponse reports io.ErrUnexpectedEOF when the input ends within the
// header.
func ReadResponse(br *bufio.Reader, r *http.Request) (*http.Response, error) {
	status, reason, header, err := readFinalHeader(br)
	switch {
	case err != nil:
		return nil, err
	case status != 0:
	case header.Get("Location") != "":
		status = http.StatusFound
	default:
		status = http.StatusOK
	}
	resp := &http.Response{
		Status:        strconv.Itoa(status) + " " + orElse(reason, http.StatusText(status)),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		ContentLength: -1,
		Close:         true, // SCGI has no second request
		Request:       r,
	}
	for _, length := range header["Content-Length"] {
		n, err := parseContentLength(length)
		if err != nil {
			return nil, &ProtocolError{Reason: "in the answer: " + err.Error()}
		}
		if resp.ContentLength >= 0 && resp.ContentLength != n {
			return nil, &ProtocolError{Reason: "in the answer: a second Content-Length with another value"}
		}
		resp.ContentLength = n
	}
	resp.Body = answerBody(br, r, resp)
	return resp, nil
}

// maxInterim is how many interim answers are passed over, as net/http has it.
const maxInterim = 5

// readFinalHeader reads up to the header that counts.
func readFinalHeader(br *bufio.Reader) (status int, reason string, header http.Header, err error) {
	for range maxInterim + 1 {
		status, reason, header, err = readAnswerHeader(br)
		if err != nil || status == 0 || status >= 200 || status == http.StatusSwitchingProtocols {
			return status, reason, header, err
		}
	}
	return 0, "", nil, &ProtocolError{Reason: "in the answer: more than " + strconv.Itoa(maxInterim) + " interim answers (1xx)"}
}

func answerBody(br *bufio.Reader, r *http.Request, resp *http.Response) io.ReadCloser {
	switch {
	case r != nil && r.Method == http.MethodHead:
		return http.NoBody
	case resp.StatusCode == http.StatusSwitchingProtocols:
		// As net/http has it. Else a proxy that writes this answer adds a
		// Connection: close, and nobody finds the Upgrade.
		resp.ContentLength, resp.Close = 0, false
		return io.NopCloser(br)
	case !bodyAllowed(resp.StatusCode):
		resp.ContentLength = 0
		return http.NoBody
	case resp.ContentLength >= 0:
		return io.NopCloser(&wholeReader{br, resp.ContentLength})
	}
	return io.NopCloser(br)
}

// wholeReader reads exactly so many bytes, and knows when there were fewer.
type wholeReader struct {
	r         io.Reader
	remaining int64
}

func (w *wholeReader) Read(p []byte) (int, error) {
	if w.remaining == 0 {
		return 0, io.EOF
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.remaining)])
	w.remaining -= int64(n)
	if w.remaining > 0 && err != nil {
		return n, unexpected(err)
	}
	return n, nil
}
