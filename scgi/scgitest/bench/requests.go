//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"

	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// This file is one request, as nginx sends it by each protocol: a POST with 22
// variables and 260 bytes of body.

var body = strings.Repeat("0123456789", 26)

// vars are names and values in turn.
var vars = []string{
	"CONTENT_LENGTH", "260", "REQUEST_METHOD", "POST", "REQUEST_URI", "/habitat/message?x=1", "QUERY_STRING", "x=1",
	"CONTENT_TYPE", "application/json", "DOCUMENT_URI", "/habitat/message", "DOCUMENT_ROOT", "/usr/share/nginx/html",
	"SCGI", "1", "SERVER_PROTOCOL", "HTTP/1.1", "REQUEST_SCHEME", "https", "HTTPS", "on", "REMOTE_ADDR", "192.0.2.7",
	"REMOTE_PORT", "34308", "SERVER_PORT", "443", "SERVER_NAME", "example.org", "HTTP_HOST", "example.org",
	"SCRIPT_NAME", "/habitat", "PATH_INFO", "/message",
	"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "HTTP_ACCEPT", "*/*",
	"HTTP_AUTHORIZATION", "Bearer " + strings.Repeat("0123456789abcdef", 12), "HTTP_CONTENT_LENGTH", "260",
}

func scgiRequest() []byte { return scgitest.Request(body, vars...) }

// httpRequest is the same as a client sends it, or nginx by proxy_pass.
func httpRequest(keep bool) []byte {
	r, err := http.NewRequest(http.MethodPost, "http://example.org/habitat/message?x=1", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]string{
		"HTTP_USER_AGENT": "User-Agent", "HTTP_ACCEPT": "Accept", "HTTP_AUTHORIZATION": "Authorization"} {
		for i := 0; i < len(vars); i += 2 {
			if vars[i] == name {
				r.Header.Set(value, vars[i+1])
			}
		}
	}
	r.Close = !keep
	var raw bytes.Buffer
	if err := r.Write(&raw); err != nil {
		panic(err)
	}
	return raw.Bytes()
}

// fcgiRequest is the same by FastCGI 1.0.
func fcgiRequest(keep bool) []byte {
	var out, params bytes.Buffer
	record := func(kind byte, content []byte) {
		head := []byte{1, kind, 0, 1, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(head[4:], uint16(len(content)))
		out.Write(head)
		out.Write(content)
	}
	length := func(n int) {
		if n < 128 {
			params.WriteByte(byte(n))
			return
		}
		_ = binary.Write(&params, binary.BigEndian, uint32(n)|1<<31) // cannot fail
	}
	for i := 0; i < len(vars); i += 2 {
		length(len(vars[i]))
		length(len(vars[i+1]))
		params.WriteString(vars[i] + vars[i+1])
	}
	begin := []byte{0, 1, 0, 0, 0, 0, 0, 0} // a responder
	if keep {
		begin[2] = 1
	}
	record(1, begin)
	record(4, params.Bytes())
	record(4, nil)
	record(5, []byte(body))
	record(5, nil)
	return out.Bytes()
}

// message is a message for POST /message, each one another, and made just now.
func message() string {
	text := `{"callsign":"BENCH","type":"LISTENER_INFO","time_created":` + timeMark + `,"time_uploaded":` + timeMark + `,` +
		`"data":{"name":"` + varyingMark + `"}}`
	return text + strings.Repeat(" ", max(0, 260-len(text)))
}

// messageRequest posts it, by SCGI or, through nginx, by HTTP.
func messageRequest(scgi bool) []byte {
	m := message()
	if !scgi {
		return fmt.Appendf(nil, "POST /message HTTP/1.1\r\nHost: example.org\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(m), m)
	}
	mine := append([]string{}, vars...)
	for i := 0; i < len(mine); i += 2 {
		switch mine[i] {
		case "CONTENT_LENGTH", "HTTP_CONTENT_LENGTH":
			mine[i+1] = fmt.Sprint(len(m))
		case "REQUEST_URI":
			mine[i+1] = "/message"
		case "SCRIPT_NAME":
			mine[i+1] = ""
		}
	}
	return scgitest.Request(m, mine...)
}
