package scgi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxLocalRedirects bounds those in a row.
const maxLocalRedirects = 10

// localRedirect is in the context of a request that a local redirect has made.
type localRedirect struct {
	vars  Vars
	count int // how many there were in a row
}

type localRedirectKey struct{}

// redirect serves a local redirect as if the client had asked for that.
func (w *CGIWriter) redirect() error {
	location := w.block.location
	next := &localRedirect{count: 1}
	if last, ok := w.Request.Context().Value(localRedirectKey{}).(*localRedirect); ok {
		next.count += last.count
	}
	if next.count > maxLocalRedirects {
		return w.fail(&ProtocolError{Reason: inCGIOutput + "more than " + strconv.Itoa(maxLocalRedirects) +
			" local redirects in a row, the last to " + quote(location)})
	}
	u := new(url.URL)
	if err := parseRequestURI(u, location); err != nil {
		return w.fail(&ProtocolError{Reason: inCGIOutput + "Location is no path: " + quote(location)})
	}
	method := http.MethodGet
	if w.Request.Method == http.MethodHead {
		method = http.MethodHead
	}
	next.vars = redirectedVars(Env(w.Request), method, location, u)
	r := w.Request.Clone(context.WithValue(w.Request.Context(), localRedirectKey{}, next))
	r.Method, r.URL, r.RequestURI = method, u, location
	r.Body, r.ContentLength = http.NoBody, 0
	for _, key := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Expect"} {
		r.Header.Del(key)
	}
	w.LocalRedirect.ServeHTTP(w.Response, r)
	return nil
}

// redirectedVars is the environment of a local redirect. Where SCRIPT_NAME, the
// mount, is above the new path, it stands.
func redirectedVars(vars Vars, method, location string, u *url.URL) Vars {
	if vars == (Vars{}) {
		return vars // the request did not come over SCGI
	}
	var b strings.Builder
	add := func(name, value string) {
		b.WriteString(name + "\x00" + value + "\x00")
	}
	add("CONTENT_LENGTH", "0")
	add("REQUEST_METHOD", method)
	add("REQUEST_URI", location)
	add("QUERY_STRING", u.RawQuery)
	for name, value := range vars.All() {
		switch name {
		case "CONTENT_LENGTH", "REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", // above
			"CONTENT_TYPE", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_ENCODING",
			"HTTP_TRANSFER_ENCODING", "HTTP_EXPECT", // of the body, which has been used
			"DOCUMENT_URI", "PATH_INFO", "PATH_TRANSLATED", "SCRIPT_FILENAME", "proxy-scgi-pathinfo": // of the old path
		case "SCRIPT_NAME":
			if rest := cutMount(u.Path, value); rest != u.Path || value == "" {
				add("SCRIPT_NAME", value)
				add("PATH_INFO", rest)
			}
		default:
			add(name, value)
		}
	}
	return Vars{b.String()}
}
