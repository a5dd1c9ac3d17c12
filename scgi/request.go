package scgi

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// metaVars are the RFC 3875 meta-variables that become fields of a request.
type metaVars struct {
	contentLength int64
	lengthText    string // contentLength as it came
	saysLength    bool   // the client said one
	contentType   string
	connection    string
	pragma        string
	host          string
	https         bool
	method        string
	pathInfo      string
	query         string
	remoteAddr    string
	remotePort    string
	scriptName    string
	serverName    string
	serverPort    string
	protocol      string
	uri           string
}

// headerVar is a request header as it came.
type headerVar struct{ name, value string }

// requestParts is memory for what belongs to a request.
type requestParts struct {
	url    url.URL
	values [6]string // of its header: as many as a conn has room for in its size class
}

// newRequest makes the request that a handler sees of a header's variables, with
// its parts where they may stay. It lacks its body. An error is a *ProtocolError:
// the variables are well formed, but no request can be made of them that a front
// end meant.
func newRequest(ctx context.Context, vars Vars, parts *requestParts) (*http.Request, error) {
	var meta metaVars
	var space [32]headerVar // not in meta, which escapes
	headers, err := meta.collect(vars, space[:0])
	if err != nil {
		return nil, err
	}
	if !validToken(meta.method) {
		return nil, &ProtocolError{Reason: "REQUEST_METHOD is no method: " + quote(meta.method)}
	}
	if err := meta.setURL(&parts.url); err != nil {
		return nil, err
	}
	r := (&http.Request{
		Method:        meta.method,
		URL:           &parts.url,
		Header:        meta.header(headers, parts.values[:0:len(parts.values)]),
		Body:          http.NoBody,
		ContentLength: meta.contentLength,
		Host:          meta.requestHost(),
		RemoteAddr:    meta.remote(),
		RequestURI:    meta.uri,
	}).WithContext(ctx)
	if r.RequestURI == "" {
		r.RequestURI = r.URL.RequestURI()
	}
	r.Proto, r.ProtoMajor, r.ProtoMinor = protocol(meta.protocol)
	r.Close = closes(r.ProtoMajor, r.ProtoMinor, meta.connection)
	if meta.https {
		// All that is known: the front end took the request in over TLS.
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	return r, nil
}

// collect sorts the variables by what they mean to a request, and adds HTTP_* to
// headers, but those that never become request headers.
func (m *metaVars) collect(vars Vars, headers []headerVar) ([]headerVar, error) {
	for block := vars.block; block != ""; {
		var name, value string
		name, value, block = cutVar(block)
		switch name {
		case "CONTENT_LENGTH":
			m.contentLength, _ = parseContentLength(value) // ReadHeader has checked it
			m.lengthText = value
		case "CONTENT_TYPE":
			m.contentType = value
		case "HTTPS":
			m.https = value != "" && !strings.EqualFold(value, "off")
		case "REQUEST_METHOD":
			m.method = value
		case "PATH_INFO":
			m.pathInfo = value
		case "QUERY_STRING":
			m.query = value
		case "REMOTE_ADDR":
			m.remoteAddr = value
		case "REMOTE_PORT":
			m.remotePort = value
		case "SCRIPT_NAME":
			m.scriptName = value
		case "SERVER_NAME":
			m.serverName = value
		case "SERVER_PORT":
			m.serverPort = value
		case "SERVER_PROTOCOL":
			m.protocol = value
		case "REQUEST_URI":
			m.uri = value
		case "HTTP_HOST":
			m.host = value
		case "HTTP_CONTENT_LENGTH":
			if err := m.sameLength(value); err != nil {
				return nil, err
			}
			m.saysLength = value != ""
		case "HTTP_CONNECTION":
			m.connection = value
			headers = append(headers, headerVar{name, value})
		case "HTTP_PRAGMA":
			m.pragma = value
			headers = append(headers, headerVar{name, value})
		case "HTTP_CONTENT_TYPE", // CONTENT_TYPE is that header
			"HTTP_PROXY",             // httpoxy: Go's HTTP client among others would take it for HTTP_PROXY
			"HTTP_TRANSFER_ENCODING": // the front end has undone it
		default:
			if strings.HasPrefix(name, "HTTP_") {
				headers = append(headers, headerVar{name, value})
			}
		}
	}
	return headers, nil
}

// sameLength compares the client's own Content-Length with CONTENT_LENGTH, which
// stands first and so is known. Only a front end's settings make them differ:
// nginx before 1.29.6 sends too small a CONTENT_LENGTH when it does not buffer
// requests, and any nginx sends 0 in a subrequest without the request's body. The
// answer is 500, because clients take a 400 for final.
func (m *metaVars) sameLength(value string) error {
	n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 63) // no sign
	if err == nil && int64(n) == m.contentLength || value == "" { // which is as none: RFC 3875, section 4.1
		return nil
	}
	return &ProtocolError{
		Reason: "CONTENT_LENGTH is " + m.lengthText + " but the client's Content-Length " + quote(value) +
			" (nginx before 1.29.6: scgi_request_buffering must be on; nginx's auth_request and mirror:" +
			` their location needs scgi_param HTTP_CONTENT_LENGTH "";)`,
		status: http.StatusInternalServerError,
	}
}

// setURL makes the request's URL in origin form, without scheme and host.
// REQUEST_URI is the one variable that every front end sends as the client
// sent it; SCRIPT_NAME and PATH_INFO are decoded, and often missing.
func (m *metaVars) setURL(u *url.URL) error {
	if m.uri != "" {
		return parseRequestURI(u, m.uri)
	}
	path := m.scriptName + m.pathInfo
	switch {
	case path == "":
		return &ProtocolError{Reason: "no REQUEST_URI, SCRIPT_NAME or PATH_INFO says what is asked for"}
	case path[0] != '/':
		return &ProtocolError{Reason: "SCRIPT_NAME and PATH_INFO are no path: " + quote(path)}
	case !plainQuery(m.query):
		return &ProtocolError{Reason: "QUERY_STRING is no query: " + quote(m.query)}
	}
	*u = url.URL{Path: path, RawQuery: m.query}
	return nil
}

// parseRequestURI parses a request target. Host and scheme of the absolute
// form are dropped: which host is meant is the front end's word, in HTTP_HOST.
func parseRequestURI(u *url.URL, uri string) error {
	if plainPath(uri) {
		path, query, hasQuery := strings.Cut(uri, "?")
		*u = url.URL{Path: path, RawQuery: query, ForceQuery: hasQuery && query == ""}
		return nil
	}
	parsed, err := url.ParseRequestURI(uri)
	if err != nil {
		return &ProtocolError{Reason: "REQUEST_URI is no request target: " + quote(uri)}
	}
	*u = url.URL{Path: parsed.Path, RawPath: parsed.RawPath, RawQuery: parsed.RawQuery, ForceQuery: parsed.ForceQuery}
	return nil
}

// plainPath reports whether a request target is a path that needs no decoding,
// and maybe a query. Nearly all are; the others are net/url's.
func plainPath(uri string) bool {
	if uri[0] != '/' {
		return false
	}
	for i := range len(uri) {
		if uri[i] == '?' {
			return plainQuery(uri[i+1:])
		}
		if !plainPathBytes[uri[i]] {
			return false
		}
	}
	return true
}

// plainPathBytes are those that net/url leaves as they are in a path, both ways.
var plainPathBytes = func() (t [256]bool) {
	for _, c := range []byte("$&+,-./0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~") {
		t[c] = true
	}
	return t
}()

// plainQuery reports whether a query is one to net/url: all but control bytes.
func plainQuery(query string) bool {
	for i := range len(query) {
		if query[i] < ' ' || query[i] == 0x7f {
			return false
		}
	}
	return true
}

// requestHost is the host that the client asked for.
func (m *metaVars) requestHost() string {
	switch {
	case m.host != "":
		return m.host
	case m.serverPort == "" || m.serverName == "":
		return m.serverName
	case m.serverPort == "80" && !m.https || m.serverPort == "443" && m.https:
		return m.serverName
	}
	return net.JoinHostPort(strings.Trim(m.serverName, "[]"), m.serverPort)
}

// remote is the client's address, with port 0 when the front end does not say
// which: so net.SplitHostPort works on it as it does under net/http.
func (m *metaVars) remote() string {
	if m.remoteAddr == "" {
		return ""
	}
	port := m.remotePort
	if port == "" {
		port = "0"
	}
	return net.JoinHostPort(m.remoteAddr, port)
}

// protocol is what the client spoke to the front end: HTTP/1.0 for what is not
// HTTP at all, such as Apache's INCLUDED.
func protocol(s string) (proto string, major, minor int) {
	if s == "HTTP/1.1" {
		return s, 1, 1
	}
	if major, minor, ok := http.ParseHTTPVersion(s); ok {
		return s, major, minor
	}
	return "HTTP/1.0", 1, 0
}

// closes reports whether the client ends its connection after this request, as
// net/http's Request.Close has it: RFC 9112, section 9.3.
func closes(major, minor int, connection string) bool {
	switch {
	case major < 1 || hasToken(connection, "close"):
		return true
	case major == 1 && minor == 0:
		return !hasToken(connection, "keep-alive")
	}
	return false
}

// hasToken reports whether a list of tokens, RFC 9110, section 5.6.1, has that one
// in any case.
func hasToken(list, token string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		if strings.EqualFold(strings.Trim(item, " \t"), token) {
			return true
		}
	}
	return false
}

// header makes the request's header, with its values in space if there is enough. A
// joined value stays one value: it is what the client meant, and what net/http's
// own parser gives for one line.
func (m *metaVars) header(vars []headerVar, space []string) http.Header {
	saysLength := m.saysLength || m.contentLength > 0
	n := len(vars)
	if m.contentType != "" {
		n++
	}
	if saysLength {
		n++
	}
	h := make(http.Header, n)
	values := space
	if n > cap(values) {
		values = make([]string, 0, n)
	}
	add := func(key, value string) {
		if old := h[key]; old != nil {
			h[key] = append(old, value)
			return
		}
		values = append(values, value)
		h[key] = values[len(values)-1 : len(values) : len(values)]
	}
	if m.contentType != "" {
		add("Content-Type", m.contentType)
	}
	if saysLength {
		add("Content-Length", m.lengthText)
	}
	for _, v := range vars {
		if key := headerKey(v.name); key != "" {
			add(key, v.value)
		}
	}
	if m.pragma == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{m.pragma} // as net/http does: RFC 7234, section 5.4
	}
	return h
}
