package scgi

import (
	"errors"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// AppendHeader appends the header of an SCGI request, a netstring of the
// variables in the order in which they come, and returns the extended buffer.
// It writes only what [ReadHeader] takes (CONTENT_LENGTH first, SCGI=1, no empty
// name, no NUL) and otherwise returns a [*ProtocolError] and dst as it was.
func AppendHeader(dst []byte, vars iter.Seq2[string, string]) ([]byte, error) {
	var block []byte
	for name, value := range vars {
		if strings.IndexByte(name, 0) >= 0 || strings.IndexByte(value, 0) >= 0 {
			return dst, &ProtocolError{Reason: "a NUL in the variable " + quote(name)}
		}
		block = append(block, name...)
		block = append(block, 0)
		block = append(block, value...)
		block = append(block, 0)
	}
	if _, err := parseBlock(string(block), 0); err != nil {
		return dst, err
	}
	dst = strconv.AppendInt(dst, int64(len(block)), 10)
	dst = append(dst, ':')
	dst = append(dst, block...)
	return append(dst, ','), nil
}

// errUnknownLength: SCGI says a body's length before the body.
var errUnknownLength = errors.New("scgi: the length of the request's body is not known")

// WriteRequest writes r as an SCGI request. It takes what an outgoing request
// takes for an http.Client: Method, the URL's path and query, Host or URL.Host,
// Header, Body and ContentLength, which must be known; and what a front end
// adds: Proto, RemoteAddr, TLS and, where its context has it from a server, the TCP
// address under http.LocalAddrContextKey. RequestURI means nothing here. An empty
// RemoteAddr is sent as 127.0.0.1, the client itself. Everything is in
// PATH_INFO, nothing in SCRIPT_NAME. Headers with an underscore in their name
// are dropped, since a variable could not tell them from those with a hyphen.
func WriteRequest(w io.Writer, r *http.Request) error { return writeRequest(w, r, "") }

// writeRequest is WriteRequest for an application under a mount.
func writeRequest(w io.Writer, r *http.Request, mount string) error {
	length := r.ContentLength
	if r.Body == nil || r.Body == http.NoBody {
		length = 0
	} else if length <= 0 {
		return errUnknownLength
	}
	head, err := AppendHeader(nil, requestVars(r, length, mount))
	if err != nil {
		return err
	}
	if length == 0 {
		_, err := w.Write(head)
		return err
	}
	const small = 32 << 10
	if length <= small {
		whole := append(head, make([]byte, length)...)
		if _, err := io.ReadFull(r.Body, whole[len(head):]); err != nil {
			return unexpected(err)
		}
		_, err := w.Write(whole)
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	if _, err := io.CopyN(w, r.Body, length); err != nil {
		return unexpected(err)
	}
	return nil
}

// requestVars gives the variables of a request, as a front end would.
func requestVars(r *http.Request, length int64, mount string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		_ = yield("CONTENT_LENGTH", strconv.FormatInt(length, 10)) &&
			yield("SCGI", "1") &&
			yield("REQUEST_METHOD", orElse(r.Method, http.MethodGet)) &&
			yieldTarget(r, mount, yield) &&
			yieldEnds(r, yield) &&
			yieldHeader(r, length, yield)
	}
}

func yieldTarget(r *http.Request, mount string, yield func(name, value string) bool) bool {
	path := orElse(r.URL.Path, "/")
	pathInfo := cutMount(path, mount)
	if mount == "" || pathInfo == path {
		mount = ""
	}
	return yield("REQUEST_URI", r.URL.RequestURI()) &&
		yield("SCRIPT_NAME", mount) &&
		yield("PATH_INFO", pathInfo) &&
		yield("QUERY_STRING", r.URL.RawQuery) &&
		yield("SERVER_PROTOCOL", orElse(r.Proto, "HTTP/1.1"))
}

// yieldEnds gives the two ends of the connection that the client has.
func yieldEnds(r *http.Request, yield func(name, value string) bool) bool {
	name, addr, port := serverEnd(r)
	remoteAddr, remotePort, err := net.SplitHostPort(orElse(r.RemoteAddr, "127.0.0.1:0"))
	if err != nil {
		remoteAddr, remotePort = r.RemoteAddr, "0"
	}
	return yield("SERVER_NAME", name) &&
		yield("SERVER_PORT", port) &&
		(addr == "" || yield("SERVER_ADDR", addr)) &&
		yield("REMOTE_ADDR", remoteAddr) &&
		yield("REMOTE_PORT", remotePort) &&
		((r.TLS == nil && r.URL.Scheme != "https") || yield("HTTPS", "on"))
}

// serverEnd is the client's connection as seen from this side. Name and port are the
// Host's, but where the server that took the request in is known by its TCP address,
// the port is its: RFC 3875, section 4.1.15. Otherwise addr is empty.
func serverEnd(r *http.Request) (name, addr, port string) {
	host := requestHost(r)
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, "80"
		if r.TLS != nil || r.URL.Scheme == "https" {
			port = "443"
		}
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local == nil || len(local.IP) == 0 {
		return name, "", port
	}
	if local.Port > 0 {
		port = strconv.Itoa(local.Port)
	}
	return name, local.AddrPort().Addr().Unmap().String(), port
}

func yieldHeader(r *http.Request, length int64, yield func(name, value string) bool) bool {
	if saysLength(r) && !yield("HTTP_CONTENT_LENGTH", strconv.FormatInt(length, 10)) {
		return false
	}
	if contentType := r.Header.Get("Content-Type"); contentType != "" && !yield("CONTENT_TYPE", contentType) {
		return false
	}
	if host := requestHost(r); host != "" && !yield("HTTP_HOST", host) {
		return false
	}
	for _, key := range slices.Sorted(maps.Keys(r.Header)) {
		switch http.CanonicalHeaderKey(key) {
		case "Content-Length", "Content-Type", "Host", "Proxy", "Transfer-Encoding":
			continue
		}
		if !validToken(key) || strings.Contains(key, "_") || len(r.Header[key]) == 0 {
			continue
		}
		name := headerVarName(key)
		if !yield(name, joinValues(r.Header[key], separator(name))) {
			return false
		}
	}
	return true
}

// saysLength reports whether a client says the length of such a request's body, even
// of none: RFC 9110, section 8.6.
func saysLength(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return len(r.Header["Content-Length"]) > 0
}

var newlineToBlank = strings.NewReplacer("\r", " ", "\n", " ")

// joinValues makes one value of a header's, each written as net/http does: no
// blanks around it, no newline in it.
func joinValues(values []string, separator string) string {
	clean := make([]string, len(values))
	for i, value := range values {
		clean[i] = strings.Trim(newlineToBlank.Replace(value), " \t")
	}
	return strings.Join(clean, separator)
}

func requestHost(r *http.Request) string { return orElse(r.Host, r.URL.Host) }

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
