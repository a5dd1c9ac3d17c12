//go:build unix

package frontend

import (
	"fmt"
	"strings"
)

// oddRequests look wrong and are right.
var oddRequests = []handmade{
	{name: "odd-minimal", what: "nothing but what has to be there", data: get()},
	{name: "odd-example", what: "the example of the protocol's description", data: frame(block("CONTENT_LENGTH", "27", "SCGI", "1",
		"REQUEST_METHOD", "POST", "REQUEST_URI", "/deepthought")) + "What is the answer to life?"},
	{name: "odd-scgi-last", what: "SCGI is the last variable", data: frame(block("CONTENT_LENGTH", "0", "REQUEST_METHOD", "GET",
		"REQUEST_URI", "/habitat/", "SCGI", "1"))},
	{name: "odd-trailing-bytes", what: "more bytes than CONTENT_LENGTH: the rest is ignored", data: post() + get()},
	{name: "odd-get-with-body", what: "a GET with a body", data: frame(block("CONTENT_LENGTH", "7", "SCGI", "1",
		"REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/")) + postBody},

	{name: "odd-repeated-header", what: "HTTP_X_TAG three times: joined by a comma and a blank",
		data: get("HTTP_X_TAG", "a", "HTTP_X_TAG", "b", "HTTP_X_TAG", "a")},
	{name: "odd-repeated-cookie", what: "HTTP_COOKIE twice: joined by a semicolon and a blank", data: get("HTTP_COOKIE", "a=1", "HTTP_COOKIE", "b=2")},
	{name: "odd-repeated-same", what: "a variable twice with the same value, as after include scgi_params and an override",
		data: get("REQUEST_METHOD", "GET", "SCRIPT_NAME", "/habitat", "SCRIPT_NAME", "/habitat")},
	{name: "odd-repeated-other-case", what: "names that differ by case are different names",
		data: get("Request_Method", "POST", "request_uri", "/other")},
	{name: "odd-lower-case-names", what: "unknown names in lower case and with other characters, as Apache sends its environment's",
		data: get("proxy-scgi-pathinfo", "1", "no.gzip", "1", "a b=c", "d")},

	{name: "odd-empty-values", what: "empty values", data: get("QUERY_STRING", "", "CONTENT_TYPE", "", "HTTP_ACCEPT", "", "SERVER_NAME", "", "REMOTE_PORT", "")},
	{name: "odd-empty-address", what: "REMOTE_ADDR is empty", data: get("REMOTE_ADDR", "", "REMOTE_PORT", "")},
	{name: "odd-unix-address", what: "REMOTE_ADDR is `unix:`, as from nginx listening on a unix socket", data: get("REMOTE_ADDR", "unix:", "REMOTE_PORT", "")},
	{name: "odd-ipv6-address", what: "REMOTE_ADDR is an IPv6 address", data: get("REMOTE_ADDR", "2001:db8::1", "REMOTE_PORT", "49152")},
	{name: "odd-values-not-utf8", what: "values that are not UTF-8", data: get("HTTP_X_NAME", "\xff\xfe\x80", "PATH_INFO", "/caf\xe9")},
	{name: "odd-values-with-newlines", what: "CR and LF in values: they must not reach a header that is written",
		data: get("HTTP_X_NAME", "a\r\nSet-Cookie: b=c", "PATH_INFO", "/a\nb")},
	{name: "odd-https-on", what: "HTTPS is `on`", data: get("HTTPS", "on", "REQUEST_SCHEME", "https")},
	{name: "odd-https-off", what: "HTTPS is `off`: no TLS", data: get("HTTPS", "off")},
	{name: "odd-protocol-http2", what: "SERVER_PROTOCOL is `HTTP/2.0`", data: get("SERVER_PROTOCOL", "HTTP/2.0")},
	{name: "odd-protocol-included", what: "SERVER_PROTOCOL is `INCLUDED`, as from a server-side include", data: get("SERVER_PROTOCOL", "INCLUDED")},
	{name: "odd-host-with-at", what: "a Host with `@`", data: get("HTTP_HOST", "user@habitat.example")},

	{name: "odd-no-path-info", what: "SCRIPT_NAME but no PATH_INFO", data: get("SCRIPT_NAME", "/habitat")},
	{name: "odd-no-request-uri", what: "no REQUEST_URI: the path is SCRIPT_NAME, PATH_INFO and QUERY_STRING",
		data: frame(block("CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "SCRIPT_NAME", "/habitat", "PATH_INFO", "/a b", "QUERY_STRING", "x=1"))},
	{name: "odd-http-proxy", what: "HTTP_PROXY: dropped (httpoxy)", data: get("HTTP_PROXY", "http://evil.example/")},
	{name: "odd-transfer-encoding", what: "HTTP_TRANSFER_ENCODING beside a true CONTENT_LENGTH: no request header",
		data: post("HTTP_TRANSFER_ENCODING", "chunked")},
	{name: "odd-large-block", what: "a block of some 40 kB, as large as nginx's defaults let it become", data: get("HTTP_COOKIE", strings.Repeat("0123456789", 4000))},
	{name: "odd-many-variables", what: "1,000 variables", data: get(manyVariables()...)},
}

func manyVariables() []string {
	var vars []string
	for i := range 1000 {
		vars = append(vars, fmt.Sprintf("HTTP_X_%d", i), fmt.Sprint(i))
	}
	return vars
}
