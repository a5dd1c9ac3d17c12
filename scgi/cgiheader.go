package scgi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Bounds on the header of an answer.
const (
	maxAnswerHeader = 64 << 10
	maxAnswerFields = 256
)

var (
	errNoAnswer     = fmt.Errorf("scgi: the application closed without an answer: %w", io.ErrUnexpectedEOF)
	errLargeAnswer  = errors.New("scgi: the header of the application's answer is too large")
	errAnswerHeader = errors.New("scgi: the application's answer does not begin with a header")
)

// readAnswerHeader reads the header block of an answer, RFC 3875, section 6:
// fields that end in LF or CRLF, up to the first empty line, no folding. As nginx
// does, it also takes an HTTP status line as the first line, which wins over a
// Status field. The status is 0 when neither gives it.
func readAnswerHeader(r *bufio.Reader) (status int, reason string, header http.Header, err error) {
	header = make(http.Header)
	statusLine := false
	for size, fields := 0, 0; ; fields++ {
		line, err := readLine(r, maxAnswerHeader-size)
		switch {
		case errors.Is(err, io.EOF) && fields == 0:
			return 0, "", nil, errNoAnswer
		case err != nil:
			return 0, "", nil, unexpected(err)
		case len(line) == 0 && fields > 0:
			return status, reason, header, nil
		case fields == maxAnswerFields:
			return 0, "", nil, errLargeAnswer
		}
		size += len(line)
		if fields == 0 && bytes.HasPrefix(line, []byte("HTTP/")) {
			if status, reason, statusLine = parseStatusLine(string(line)); !statusLine {
				return 0, "", nil, badAnswerLine(fields, line)
			}
			continue
		}
		key, value, ok := parseField(string(line))
		switch {
		case !ok:
		case key != "Status":
			header[key] = append(header[key], value)
		case !statusLine:
			status, reason, ok = parseStatus(value)
		}
		if !ok {
			return 0, "", nil, badAnswerLine(fields, line)
		}
	}
}

// badAnswerLine says which line of an answer is not one of a header.
func badAnswerLine(before int, line []byte) error {
	return fmt.Errorf("%w: line %d is %s", errAnswerHeader, before+1, quote(string(line)))
}

// isMalformed reports whether an answer came, but one that is none.
func isMalformed(err error) bool {
	return errors.Is(err, errAnswerHeader) || errors.Is(err, errLargeAnswer) || errors.As(err, new(*ProtocolError))
}

// readLine reads a line of at most max bytes, without its end.
func readLine(r *bufio.Reader, max int) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(long)+len(part) > max {
			return nil, errLargeAnswer
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if errors.Is(err, io.EOF) && len(long)+len(part) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		line := part
		if long != nil {
			line = append(long, part...)
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		return bytes.TrimSuffix(line, []byte("\r")), nil
	}
}

// parseField parses a header field, "name: value", and makes the name canonical.
func parseField(line string) (key, value string, ok bool) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !validToken(name) {
		return "", "", false
	}
	return http.CanonicalHeaderKey(name), strings.Trim(value, " \t"), true
}

// parseStatusLine parses "HTTP/1.1 404 Not Found": RFC 9112, section 4.
func parseStatusLine(line string) (status int, reason string, ok bool) {
	version, rest, _ := strings.Cut(line, " ")
	if _, _, ok := http.ParseHTTPVersion(version); !ok {
		return 0, "", false
	}
	return parseStatus(strings.TrimLeft(rest, " "))
}

// parseStatus parses "404 Not Found"; the reason may be missing.
func parseStatus(s string) (status int, reason string, ok bool) {
	code, reason, _ := strings.Cut(s, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 100 {
		return 0, "", false
	}
	return status, strings.TrimSpace(reason), true
}
