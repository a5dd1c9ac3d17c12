package scgi

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// defaultMaxHeaderBytes is the bound on a header block when none is given.
// nginx sends up to some 40 kB and lighttpd up to 8 kB; only Apache can be
// configured to send more.
const defaultMaxHeaderBytes = 64 << 10

// ProtocolError says that a peer did not speak SCGI as it should.
type ProtocolError struct {
	Offset int    // in bytes, from the start of the request; 0 when no single place is wrong
	Reason string // what is wrong there, and often what to look at

	status int // of the server's answer; 0 means 400
}

func (e *ProtocolError) Error() string {
	if e.Offset == 0 {
		return "scgi: " + e.Reason
	}
	return "scgi: at byte " + strconv.Itoa(e.Offset) + ": " + e.Reason
}

// ReadHeader reads the header of one SCGI request, a netstring of variables,
// and leaves r at the first byte of the body. Of the header block at most max
// bytes are taken: 0 means 64 KiB, -1 no limit but 999,999,999 bytes. Memory
// grows with what arrives, never by the length that the peer claims.
//
// It is strict, as the specification allows it to be: the length has no sign
// and no leading zero, CONTENT_LENGTH stands first and is a decimal number,
// SCGI is 1. Repeated variables are merged. Request headers (HTTP_*) are joined
// with ", ", cookies with "; ", as RFC 9110, section 5.3, and RFC 6265, section
// 5.4, have it; any other variable, and HTTP_HOST and HTTP_CONTENT_LENGTH, may
// come again only with the same value. A second CONTENT_LENGTH or SCGI is refused.
//
// The error is io.EOF when the peer closed without a byte (a probe),
// io.ErrUnexpectedEOF when it stopped midway, a [*ProtocolError] when it sent
// something else than a header, and else the reader's.
//
// See https://python.ca/scgi/protocol.txt.
func ReadHeader(r *bufio.Reader, max int) (Vars, error) {
	length, digits, err := readLength(r, min(limitOr(max, defaultMaxHeaderBytes), maxLength))
	if err != nil {
		return Vars{}, err
	}
	block, terminator, err := readBlock(r, length)
	if err != nil {
		return Vars{}, unexpected(err)
	}
	start := digits + len(":")
	if terminator != ',' {
		return Vars{}, &ProtocolError{Offset: start + length, Reason: "no comma where the header's length says it ends"}
	}
	return parseBlock(block, start)
}

// Bounds that keep a length within an int everywhere.
const (
	maxLengthDigits = 9
	maxLength       = 999_999_999
)

// readLength reads the netstring's length and its colon.
func readLength(r *bufio.Reader, max int) (length, digits int, err error) {
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil && digits == 0:
			return 0, 0, err
		case err != nil:
			return 0, 0, unexpected(err)
		case c == ':' && digits > 0:
			return length, digits, nil
		case c < '0' || c > '9':
			return 0, 0, &ProtocolError{Offset: digits, Reason: notLength(c, digits, r)}
		case digits == 1 && length == 0:
			return 0, 0, &ProtocolError{Offset: 0, Reason: "the header's length has a leading zero"}
		}
		length = length*10 + int(c-'0')
		digits++
		if length > max || digits > maxLengthDigits {
			return 0, 0, &ProtocolError{Reason: "the header is longer than the limit of " + strconv.Itoa(max) + " bytes",
				status: http.StatusRequestHeaderFieldsTooLarge}
		}
	}
}

// notLength says what a peer seems to speak whose request does not start with
// a length, since the wrong protocol is the commonest mistake in a front end's
// configuration.
func notLength(c byte, digits int, r *bufio.Reader) string {
	if digits > 0 {
		return "the header's length holds something else than digits and a colon"
	}
	next, _ := r.Peek(min(5, r.Buffered()))
	switch {
	case c == 'P' && string(next) == "ROXY ", c == '\r':
		return "this is a PROXY protocol header, which is not turned on for this peer"
	case c >= 'A' && c <= 'Z':
		return "this is HTTP, not SCGI: does the front end use its SCGI module (nginx: scgi_pass, not proxy_pass)?"
	case c == 0x00:
		return "this is uwsgi, not SCGI: does the front end use its SCGI module (nginx: scgi_pass, not uwsgi_pass)?"
	case c == 0x01:
		return "this is FastCGI, not SCGI: does the front end use its SCGI module (nginx: scgi_pass, not fastcgi_pass)?"
	case c == 0x16:
		return "this is TLS, not SCGI: TLS ends at the front end"
	}
	return "the request does not start with the length of its header"
}

// readBlock reads a block of n bytes and the byte behind it.
func readBlock(r *bufio.Reader, n int) (block string, terminator byte, err error) {
	if n < r.Size() {
		b, err := r.Peek(n + 1)
		if err != nil {
			return "", 0, err
		}
		block, terminator = string(b[:n]), b[n]
		_, err = r.Discard(n + 1)
		return block, terminator, err
	}
	var sb strings.Builder
	for sb.Len() < n {
		if _, err := r.Peek(1); err != nil {
			return "", 0, err
		}
		b, _ := r.Peek(min(n-sb.Len(), r.Buffered()))
		sb.Write(b)
		if _, err := r.Discard(len(b)); err != nil {
			return "", 0, err
		}
	}
	terminator, err = r.ReadByte()
	return sb.String(), terminator, err
}

// parseBlock checks a header block, in one pass and without a copy, and merges
// what is repeated. The block starts at byte start of the request.
func parseBlock(block string, start int) (Vars, error) {
	var (
		seen     nameSet
		repeated bool
		scgi     bool
	)
	fail := func(pos int, reason string) (Vars, error) {
		return Vars{}, &ProtocolError{Offset: start + pos, Reason: reason}
	}
	for pos := 0; pos < len(block); {
		nameLen := strings.IndexByte(block[pos:], 0)
		if nameLen < 0 {
			return fail(pos, "the header ends within a name")
		}
		if nameLen == 0 {
			return fail(pos, "a variable without a name")
		}
		valuePos := pos + nameLen + 1
		valueLen := strings.IndexByte(block[valuePos:], 0)
		if valueLen < 0 {
			return fail(valuePos, "the header ends within a value")
		}
		name, value := block[pos:pos+nameLen], block[valuePos:valuePos+valueLen]
		switch {
		case pos == 0 && name != "CONTENT_LENGTH":
			return fail(pos, "the first variable is "+quote(name)+", not CONTENT_LENGTH")
		case pos == 0:
			if _, err := parseContentLength(value); err != nil {
				return fail(valuePos, err.Error())
			}
		case name == "SCGI":
			if scgi = value == "1"; !scgi {
				return fail(valuePos, "the variable SCGI is "+quote(value)+", not 1")
			}
		}
		repeated = seen.add(block, pos, nameLen) || repeated
		pos = valuePos + valueLen + 1
	}
	if block == "" {
		return fail(0, "the header is empty: CONTENT_LENGTH and SCGI are missing")
	}
	if !scgi {
		return fail(len(block), "there is no variable SCGI (nginx: include scgi_params)")
	}
	if repeated {
		return mergeRepeated(block, start)
	}
	return Vars{block}, nil
}

// parseContentLength parses RFC 3875's CONTENT_LENGTH as strictly as SCGI
// has it: ASCII digits, always there. A leading zero is nobody's habit, and
// two readings of one length are how requests are smuggled.
func parseContentLength(s string) (int64, error) {
	if s == "" {
		return 0, errors.New("CONTENT_LENGTH is empty")
	}
	if s[0] == '0' && s != "0" {
		return 0, errors.New("CONTENT_LENGTH has a leading zero: " + quote(s))
	}
	var n int64
	for i := range len(s) {
		digit := int64(s[i]) - '0'
		if digit < 0 || digit > 9 {
			return 0, errors.New("CONTENT_LENGTH is no decimal number: " + quote(s))
		}
		if n > (math.MaxInt64-digit)/10 {
			return 0, errors.New("CONTENT_LENGTH is too large: " + quote(s))
		}
		n = n*10 + digit
	}
	return n, nil
}

// quote shows what a peer sent in a message of ours: bounded, and on one line.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// limitOr gives a limit's meaning: zero is the default, a negative one none.
func limitOr(limit, byDefault int) int {
	switch {
	case limit == 0:
		return byDefault
	case limit < 0:
		return math.MaxInt
	}
	return limit
}

// unexpected turns an end of input that comes midway into the error for that.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
