package scgitest

import (
	"slices"
	"strconv"
	"strings"
)

// Request returns the bytes of a request: a header of the given names and
// values, in turn, as they are, and the body. Nothing is checked or added, so
// that a test can say what no front end would.
func Request(body string, namesAndValues ...string) []byte {
	block := ""
	if len(namesAndValues) > 0 {
		block = strings.Join(namesAndValues, "\x00") + "\x00"
	}
	return Netstring(block, body)
}

// Netstring returns the bytes of a request with that header block.
func Netstring(block, body string) []byte {
	return []byte(strconv.Itoa(len(block)) + ":" + block + "," + body)
}

// Get returns the bytes of a plain GET.
func Get(uri string) []byte {
	return Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", uri,
		"SERVER_PROTOCOL", "HTTP/1.1", "REMOTE_ADDR", "192.0.2.7", "HTTP_HOST", "example.org")
}

// Post returns the bytes of a plain POST.
func Post(uri, body string) []byte {
	return Request(body, "CONTENT_LENGTH", strconv.Itoa(len(body)), "SCGI", "1", "REQUEST_METHOD", "POST",
		"REQUEST_URI", uri, "SERVER_PROTOCOL", "HTTP/1.1", "REMOTE_ADDR", "192.0.2.7", "HTTP_HOST", "example.org")
}

// Split cuts raw bytes into chunks of n, the last one maybe shorter.
func Split(raw []byte, n int) [][]byte { return slices.Collect(slices.Chunk(raw, n)) }
