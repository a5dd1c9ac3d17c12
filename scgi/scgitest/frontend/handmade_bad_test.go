//go:build unix

package frontend

import "strings"

// badRequests have one fault each.
var badRequests = []handmade{
	// The netstring's length.
	{"length-leading-zero", "the length is `065`", "400", "0" + get()},
	{"length-plus-sign", "the length begins with `+`", "400", "+" + get()},
	{"length-minus-sign", "the length begins with `-`", "400", "-" + get()},
	{"length-leading-blank", "a blank before the length", "400", " " + get()},
	{"length-trailing-blank", "a blank after the length", "400", strings.Replace(get(), ":", " :", 1)},
	{"length-newline", "a line feed after the length", "400", strings.Replace(get(), ":", "\n:", 1)},
	{"length-empty", "no digits before the colon", "400", ":" + getBlock + ","},
	{"length-hexadecimal", "the length in hexadecimal digits", "400", "0x41:" + getBlock + ","},
	{"length-letters", "letters in place of the length", "400", "abc:" + getBlock + ","},
	{"length-other-digits", "the length in Arabic digits, which are digits for Unicode but not here", "400", "٦٥:" + getBlock + ","},
	{"length-no-colon", "the colon after the length is missing", "400", strings.Replace(get(), ":", "", 1)},
	{"length-zero", "an empty block: even CONTENT_LENGTH is missing", "400", "0:,"},
	{"length-20-digits", "the length is 2^64 too large, so right for who does not look for overflow", "431", "18446744073709551681:" + getBlock + ","},
	{"length-100-digits", "a length of 100 digits", "431", strings.Repeat("7", 100) + ":" + getBlock + ","},
	{"length-over-the-limit", "the length is 2^32 too large: over any limit, and right for who counts in 32 bits", "431", "4294967361:" + getBlock + ","},
	{"length-too-short", "the length is one too small: the block's last NUL is where the comma should be", "400", "64:" + getBlock + ","},
	{"length-too-long", "the length is one too large: the comma is in the block, and the body's first byte where the comma should be", "400",
		"74:" + postBlock + "," + postBody},

	// The block's end and its pairs.
	{"comma-missing", "the body follows the block without a comma", "400", strings.Replace(post(), ",", "", 1)},
	{"comma-replaced", "a semicolon in place of the comma", "400", strings.Replace(get(), ",", ";", 1)},
	{"comma-newline", "CRLF in place of the comma", "400", strings.Replace(get(), ",", "\r\n", 1)},
	{"last-nul-missing", "the last value has no NUL", "400", frame(strings.TrimSuffix(getBlock, "\x00"))},
	{"name-empty", "a variable without a name", "400", get("", "value")},
	{"name-and-value-empty", "two NULs at the end of the block", "400", get("", "")},
	{"name-without-value", "the last name has no value", "400", frame(getBlock + "HTTP_ACCEPT\x00")},
	{"block-of-one-nul", "a block of a single NUL", "400", "1:\x00,"},
	{"block-of-text", "variables as lines of text", "400", frame("CONTENT_LENGTH=0\nSCGI=1\nREQUEST_METHOD=GET\nREQUEST_URI=/habitat/\n")},

	// CONTENT_LENGTH.
	{"content-length-missing", "no CONTENT_LENGTH", "400", frame(block("SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/"))},
	{"content-length-not-first", "SCGI before CONTENT_LENGTH", "400",
		frame(block("SCGI", "1", "CONTENT_LENGTH", "0", "REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/"))},
	{"content-length-lower-case", "`content_length`, another name", "400",
		frame(block("content_length", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/"))},
	{"content-length-empty", "CONTENT_LENGTH is empty", "400",
		frame(block("CONTENT_LENGTH", "", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/"))},
	{"content-length-leading-zero", "CONTENT_LENGTH is `07`", "400", contentLength("07")},
	{"content-length-plus-sign", "CONTENT_LENGTH is `+7`", "400", contentLength("+7")},
	{"content-length-minus-sign", "CONTENT_LENGTH is `-7`", "400", contentLength("-7")},
	{"content-length-blank", "CONTENT_LENGTH begins with a blank", "400", contentLength(" 7")},
	{"content-length-newline", "CONTENT_LENGTH ends in a line feed", "400", contentLength("7\n")},
	{"content-length-letters", "CONTENT_LENGTH is `7x`", "400", contentLength("7x")},
	{"content-length-fraction", "CONTENT_LENGTH is `7.0`", "400", contentLength("7.0")},
	{"content-length-list", "CONTENT_LENGTH is `7, 7`, as proxies join headers", "400", contentLength("7, 7")},
	{"content-length-63-bits", "CONTENT_LENGTH is 2^63, negative for who does not look for overflow", "400", contentLength("9223372036854775808")},
	{"content-length-64-bits", "CONTENT_LENGTH is 2^64 too large, so right for who does not look for overflow", "400", contentLength("18446744073709551623")},
	{"content-length-twice", "CONTENT_LENGTH twice, with the same value", "400", post("CONTENT_LENGTH", "7")},
	{"content-length-twice-different", "CONTENT_LENGTH twice, with different values", "400", post("CONTENT_LENGTH", "70")},
	{"content-length-disagrees", "HTTP_CONTENT_LENGTH says more, as behind nginx with scgi_request_buffering off", "500", post("HTTP_CONTENT_LENGTH", "60000")},

	// The other variables.
	{"scgi-missing", "no SCGI, as behind nginx without include scgi_params", "400",
		frame(block("CONTENT_LENGTH", "0", "REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/"))},
	{"scgi-2", "SCGI is 2", "400", strings.Replace(get(), "SCGI\x001", "SCGI\x002", 1)},
	{"scgi-01", "SCGI is 01", "400",
		frame(block("CONTENT_LENGTH", "0", "SCGI", "01", "REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/"))},
	{"scgi-empty", "SCGI is empty", "400",
		frame(block("CONTENT_LENGTH", "0", "SCGI", "", "REQUEST_METHOD", "GET", "REQUEST_URI", "/habitat/"))},
	{"scgi-twice", "SCGI twice, with the same value", "400", get("SCGI", "1")},
	{"repeated-uri", "REQUEST_URI twice, with different values", "400", get("REQUEST_URI", "/habitat/other")},
	{"repeated-address", "REMOTE_ADDR twice, with different values", "400", get("REMOTE_ADDR", "127.0.0.1", "REMOTE_ADDR", "192.0.2.1")},
	{"method-missing", "no REQUEST_METHOD", "400", frame(block("CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_URI", "/habitat/"))},
	{"path-missing", "neither REQUEST_URI nor SCRIPT_NAME nor PATH_INFO", "400", frame(block("CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET"))},

	// Other protocols.
	{"http-request", "HTTP/1.1", "400", "GET / HTTP/1.1\r\nHost: habitat.example\r\nConnection: close\r\n\r\n"},
	{"http2-preface", "HTTP/2", "400", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
	{"fastcgi-request", "FastCGI: FCGI_BEGIN_REQUEST", "400", "\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
	{"uwsgi-request", "uwsgi: one variable", "400", "\x00\x11\x00\x00\x0e\x00REQUEST_METHOD\x03\x00GET"},
	{"tls-client-hello", "the beginning of a TLS handshake", "400", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"},
	{"proxy-protocol-1", "a PROXY header where none is expected", "400", "PROXY TCP4 192.0.2.1 127.0.0.1 49152 4000\r\n" + get()},
	{"proxy-protocol-2", "a binary PROXY header where none is expected", "400", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" + get()},
	{"json", "the bare message, without SCGI", "400", postBody},

	// The peer has gone away before the header block was whole.
	{"cut-in-length", "ends within the length", "none", "6"},
	{"cut-after-length", "ends before the colon", "none", "65"},
	{"cut-after-colon", "ends after the colon", "none", "65:"},
	{"cut-in-name", "ends within a name", "none", get()[:len("65:CONTENT_LEN")]},
	{"cut-in-value", "ends within a value", "none", get()[:len(get())-len("tat/\x00,")]},
	{"cut-before-last-nul", "ends before the last NUL", "none", get()[:len(get())-2]},
	{"cut-before-comma", "ends before the comma", "none", get()[:len(get())-1]},
	{"cut-length-too-long", "the length is larger than all that follows", "none", "100:" + getBlock + ","},

	// The header block is sound, and the peer has gone away before the body was whole.
	{"cut-body-missing", "no body", "none", frame(postBlock)},
	{"cut-body-short", "the body's last byte is missing", "none", strings.TrimSuffix(post(), "}")},
	{"cut-body-huge", "CONTENT_LENGTH is 2^63-1, and 7 bytes follow", "none", contentLength("9223372036854775807")},
}
