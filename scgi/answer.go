package scgi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// answerFields is what a header block says of the body behind it.
type answerFields struct {
	length  int64 // Content-Length; -1 while it is not known
	unsized bool  // the handler wants no Content-Length
	typed   bool  // no Content-Type is to be guessed
}

// appendFields appends the beginning of a header block: the Status field of RFC
// 3875, section 6.3.3, and of the header what may be sent. Content-Length and a
// guessed Content-Type follow in end.
func appendFields(b []byte, status int, header http.Header) ([]byte, answerFields) {
	fields := answerFields{length: -1}
	b = appendStatus(b, status)
	var few [16]string
	keys := few[:0]
	var options []string // of Connection, which an upgrade keeps
	for key, values := range header {
		keys = append(keys, key)
		if status != http.StatusSwitchingProtocols && strings.EqualFold(key, "Connection") {
			options = append(options, values...)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		name := http.CanonicalHeaderKey(key) // front ends take a name in any case
		switch values := header[key]; {
		case name == "Content-Length":
			fields.length, fields.unsized = declaredLength(status, values), len(values) == 0
			continue
		case name == "Content-Type", name == "Content-Encoding" && len(values) > 0 && values[0] != "":
			fields.typed = true
		}
		if !sendable(name, status) || isConnectionOption(name, options) {
			continue
		}
		for _, value := range header[key] {
			b = appendField(b, key, value)
		}
	}
	return b, fields
}

func appendStatus(b []byte, status int) []byte {
	b = append(b, "Status: "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else {
		b = append(b, "Unnamed"...) // front ends want some reason
	}
	return append(b, "\r\n"...)
}

// declaredLength is the Content-Length that a handler set, where an answer of
// that status has one; -1 for none, and for what is no length.
func declaredLength(status int, values []string) int64 {
	if len(values) != 1 || !bodyAllowed(status) {
		return -1
	}
	n, err := strconv.ParseUint(strings.TrimSpace(values[0]), 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

// sendable reports whether a header field of a handler goes to the front end.
// Hop-by-hop fields do not: nginx and Apache would let chunked framing leak
// into the body, lighttpd and Apache pass Connection on. Status is ours, and
// Location with 200 is a redirect to nginx and lighttpd, an internal one to
// Apache. A 304 has no Content-Type, as in net/http: the client's copy has one.
func sendable(key string, status int) bool {
	switch key {
	case "Content-Type":
		return status != http.StatusNotModified
	case "Connection", "Upgrade":
		return status == http.StatusSwitchingProtocols
	case "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Status":
		return false
	case "Location":
		return status != http.StatusOK
	}
	return !strings.HasPrefix(key, http.TrailerPrefix) && validToken(key)
}

// isConnectionOption reports whether one of the values of a Connection field names
// that field. It is hop-by-hop then: RFC 9110, section 7.6.1.
func isConnectionOption(key string, options []string) bool {
	return slices.ContainsFunc(options, func(list string) bool { return hasToken(list, key) })
}

func appendField(b []byte, key, value string) []byte {
	b = append(b, key...)
	b = append(b, ": "...)
	b = appendValue(b, value)
	return append(b, "\r\n"...)
}

// appendValue appends a field's value: CR and LF would end the field (and NUL
// ends more than that in a C program), so each becomes a blank.
func appendValue(b []byte, value string) []byte {
	start := len(b)
	b = append(b, strings.Trim(value, " \t\r\n")...)
	for i, c := range b[start:] {
		if c == '\r' || c == '\n' || c == 0 {
			b[start+i] = ' '
		}
	}
	return b
}

// end appends what is left of a header block, now that the beginning of the
// body is known. A type is guessed from that, and never without it.
func (f *answerFields) end(b, body []byte) []byte {
	if !f.typed && len(body) > 0 {
		b = append(b, "Content-Type: "...)
		b = append(b, http.DetectContentType(body)...)
		b = append(b, "\r\n"...)
	}
	if f.length >= 0 {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, f.length, 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// bodyAllowed reports whether an answer of that status has a body: RFC 9110,
// section 6.4.1.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// plainAnswer is a whole answer that says only its status.
func plainAnswer(status int) []byte {
	body := http.StatusText(status) + "\n"
	b, fields := appendFields(nil, status, http.Header{"Content-Type": {"text/plain; charset=utf-8"}})
	fields.length = int64(len(body))
	return append(fields.end(b, nil), body...)
}
