package scgi_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// request makes a request of variables, "|" standing for NUL, behind the least.
func request(t testing.TB, vars string) (*http.Request, error) {
	t.Helper()
	return scgi.NewRequest(t.Context(), parse(t, block(least+vars)))
}

func TestRequestMethod(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "PROPFIND", "get", "X-Y.Z~1", "!#$%&'*+-.^_`"} {
		r, err := request(t, "REQUEST_URI|/|REQUEST_METHOD|"+method+"|")
		require.NoError(t, err, method)
		assert.Equal(t, method, r.Method)
	}
	for _, method := range []string{"", " GET", "GET ", "GE T", "G\nET", "GET/", "É", "\"", "GET\x01"} {
		_, err := request(t, "REQUEST_URI|/|REQUEST_METHOD|"+method+"|")
		assertMalformed(t, err, "REQUEST_METHOD", "%q", method)
	}
	_, err := request(t, "REQUEST_URI|/|")
	assertMalformed(t, err, "REQUEST_METHOD")
}

func assertMalformed(t *testing.T, err error, reason string, msgAndArgs ...any) {
	t.Helper()
	var malformed *scgi.ProtocolError
	if assert.ErrorAs(t, err, &malformed, msgAndArgs...) {
		assert.Contains(t, malformed.Reason, reason, msgAndArgs...)
	}
}

func TestRequestURL(t *testing.T) {
	for _, row := range []struct {
		name, vars string
		want       url.URL
		uri        string // RequestURI
	}{
		{"path", "REQUEST_URI|/a/b|", url.URL{Path: "/a/b"}, "/a/b"},
		{"query", "REQUEST_URI|/a?x=1&y=%20;z|QUERY_STRING|other|", url.URL{Path: "/a", RawQuery: "x=1&y=%20;z"}, "/a?x=1&y=%20;z"},
		{"empty query", "REQUEST_URI|/a?|", url.URL{Path: "/a", ForceQuery: true}, "/a?"},
		{"query of a question mark", "REQUEST_URI|/a??|", url.URL{Path: "/a", RawQuery: "?"}, "/a??"},
		{"encoded", "REQUEST_URI|/a%20b%c3%a9|", url.URL{Path: "/a bé", RawPath: "/a%20b%c3%a9"}, "/a%20b%c3%a9"},
		{"encoded slash", "REQUEST_URI|/a%2Fb/c|", url.URL{Path: "/a/b/c", RawPath: "/a%2Fb/c"}, "/a%2Fb/c"},
		{"two slashes are no host", "REQUEST_URI|//host/a|", url.URL{Path: "//host/a"}, "//host/a"},
		{"a colon is no scheme", "REQUEST_URI|/a:b@c|", url.URL{Path: "/a:b@c"}, "/a:b@c"},
		{"dots stay", "REQUEST_URI|/a/../b/./c|", url.URL{Path: "/a/../b/./c"}, "/a/../b/./c"},
		{"a fragment is path", "REQUEST_URI|/a#b|", url.URL{Path: "/a#b", RawPath: "/a#b"}, "/a#b"},
		{"not UTF-8", "REQUEST_URI|/\xff?\xfe|", url.URL{Path: "/\xff", RawPath: "/\xff", RawQuery: "\xfe"}, "/\xff?\xfe"},
		{"asterisk", "REQUEST_URI|*|", url.URL{Path: "*"}, "*"},
		{"absolute: host and scheme are dropped", "REQUEST_URI|http://evil.example/a%20b?x|HTTP_HOST|example.org|",
			url.URL{Path: "/a b", RawQuery: "x"}, "http://evil.example/a%20b?x"},
		{"absolute with user", "REQUEST_URI|https://u:p@evil.example:1/a|", url.URL{Path: "/a"}, "https://u:p@evil.example:1/a"},
		{"it wins over the others", "REQUEST_URI|/a|SCRIPT_NAME|/b|PATH_INFO|/c|QUERY_STRING|d|", url.URL{Path: "/a"}, "/a"},

		{"without: both", "SCRIPT_NAME|/s|PATH_INFO|/p|", url.URL{Path: "/s/p"}, "/s/p"},
		{"without: query", "SCRIPT_NAME|/s|QUERY_STRING|x=%20|", url.URL{Path: "/s", RawQuery: "x=%20"}, "/s?x=%20"},
		{"without: one", "PATH_INFO|/p|", url.URL{Path: "/p"}, "/p"},
		{"without: they are decoded already", "SCRIPT_NAME|/s|PATH_INFO|/p %2F?é|", url.URL{Path: "/s/p %2F?é"}, "/s/p%20%252F%3F%C3%A9"},
		{"without: empty is none", "REQUEST_URI||SCRIPT_NAME||PATH_INFO|/p|", url.URL{Path: "/p"}, "/p"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := request(t, "REQUEST_METHOD|GET|"+row.vars)
			require.NoError(t, err)
			want := row.want
			if want.RawPath == (&url.URL{Path: want.Path}).EscapedPath() {
				want.RawPath = "" // as net/url has it: only when the default differs
			}
			assert.Equal(t, want, *r.URL)
			assert.Empty(t, r.URL.Host)
			assert.Equal(t, row.uri, r.RequestURI)
		})
	}
}

func TestRequestURLRefused(t *testing.T) {
	for _, row := range []struct{ name, vars, reason string }{
		{"nothing", "", "no REQUEST_URI"},
		{"all empty", "REQUEST_URI||SCRIPT_NAME||PATH_INFO||", "no REQUEST_URI"},
		{"query alone", "QUERY_STRING|x|", "no REQUEST_URI"},
		{"bad escape", "REQUEST_URI|/%zz|", "REQUEST_URI"},
		{"cut escape", "REQUEST_URI|/a%2|", "REQUEST_URI"},
		{"relative", "REQUEST_URI|a/b|", "REQUEST_URI"},
		{"query only", "REQUEST_URI|?a|", "REQUEST_URI"},
		{"line feed", "REQUEST_URI|/a\nb|", "REQUEST_URI"},
		{"line feed in the query", "REQUEST_URI|/a?\r\nb|", "REQUEST_URI"},
		{"DEL in the query", "REQUEST_URI|/a?\x7f|", "REQUEST_URI"},
		{"SCRIPT_NAME without a slash", "SCRIPT_NAME|s|PATH_INFO|/p|", "SCRIPT_NAME"},
		{"PATH_INFO without a slash", "PATH_INFO|p|", "PATH_INFO"},
		{"line feed in QUERY_STRING", "PATH_INFO|/p|QUERY_STRING|a\r\nb|", "QUERY_STRING"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := request(t, "REQUEST_METHOD|GET|"+row.vars)
			assertMalformed(t, err, row.reason)
		})
	}
}

func TestRequestHost(t *testing.T) {
	for _, row := range []struct{ vars, want string }{
		{"", ""},
		{"HTTP_HOST|example.org|", "example.org"},
		{"HTTP_HOST|example.org:8080|SERVER_NAME|other|SERVER_PORT|1|", "example.org:8080"},
		{"HTTP_HOST|user@example.org|", "user@example.org"},
		{"SERVER_NAME|example.org|", "example.org"},
		{"HTTP_HOST||SERVER_NAME|example.org|SERVER_PORT|8080|", "example.org:8080"},
		{"SERVER_NAME|example.org|SERVER_PORT|80|", "example.org"},
		{"SERVER_NAME|example.org|SERVER_PORT|80|HTTPS|off|", "example.org"},
		{"SERVER_NAME|example.org|SERVER_PORT|80|HTTPS|on|", "example.org:80"},
		{"SERVER_NAME|example.org|SERVER_PORT|443|HTTPS|on|", "example.org"},
		{"SERVER_NAME|example.org|SERVER_PORT|443|", "example.org:443"},
		{"SERVER_NAME|example.org|SERVER_PORT|443|HTTPS|off|", "example.org:443"},
		{"SERVER_NAME|::1|SERVER_PORT|8080|", "[::1]:8080"},
		{"SERVER_NAME|[::1]|SERVER_PORT|8080|", "[::1]:8080"},
		{"SERVER_NAME||SERVER_PORT|8080|", ""},
	} {
		r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|http://not.this/|"+row.vars)
		require.NoError(t, err)
		assert.Equal(t, row.want, r.Host, row.vars)
		assert.NotContains(t, r.Header, "Host")
	}
}

func TestRequestRemoteAddr(t *testing.T) {
	for _, row := range []struct{ vars, want string }{
		{"", ""},
		{"REMOTE_ADDR||REMOTE_PORT|5|", ""},
		{"REMOTE_ADDR|192.0.2.7|REMOTE_PORT|5|", "192.0.2.7:5"},
		{"REMOTE_ADDR|192.0.2.7|REMOTE_PORT||", "192.0.2.7:0"},
		{"REMOTE_ADDR|192.0.2.7|", "192.0.2.7:0"},
		{"REMOTE_ADDR|2001:db8::7|REMOTE_PORT|5|", "[2001:db8::7]:5"},
		{"REMOTE_ADDR|unix:|REMOTE_PORT||", "[unix:]:0"},
	} {
		r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|/|"+row.vars)
		require.NoError(t, err)
		assert.Equal(t, row.want, r.RemoteAddr, row.vars)
		if r.RemoteAddr != "" {
			_, _, err := net.SplitHostPort(r.RemoteAddr)
			assert.NoError(t, err)
		}
	}
}

func TestRequestTLS(t *testing.T) {
	for vars, want := range map[string]bool{
		"": false, "HTTPS||": false, "HTTPS|off|": false, "HTTPS|OFF|": false, "HTTPS|Off|": false,
		"HTTPS|on|": true, "HTTPS|ON|": true, "HTTPS|1|": true, "REQUEST_SCHEME|https|": false,
	} {
		r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|/|"+vars)
		require.NoError(t, err)
		assert.Equal(t, want, r.TLS != nil, vars)
		if r.TLS != nil {
			assert.True(t, r.TLS.HandshakeComplete)
		}
	}
}

func TestRequestProto(t *testing.T) {
	for vars, want := range map[string]string{
		"SERVER_PROTOCOL|HTTP/1.0|": "HTTP/1.0 1 0", "SERVER_PROTOCOL|HTTP/1.1|": "HTTP/1.1 1 1",
		"SERVER_PROTOCOL|HTTP/2.0|": "HTTP/2.0 2 0", "SERVER_PROTOCOL|HTTP/3.0|": "HTTP/3.0 3 0",
		"SERVER_PROTOCOL|INCLUDED|": "HTTP/1.0 1 0", "SERVER_PROTOCOL||": "HTTP/1.0 1 0", "": "HTTP/1.0 1 0",
		"SERVER_PROTOCOL|HTTP/1.1\r\n|": "HTTP/1.0 1 0",
	} {
		r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|/|"+vars)
		require.NoError(t, err)
		assert.Equal(t, want, fmt.Sprint(r.Proto, " ", r.ProtoMajor, " ", r.ProtoMinor), vars)
	}
}

func TestRequestHeader(t *testing.T) {
	for _, row := range []struct {
		name, vars string
		want       http.Header
	}{
		{"none", "", http.Header{}},
		{"common and other", "HTTP_USER_AGENT|curl|HTTP_X_MY_OWN|a|HTTP_LAST_EVENT_ID|7|",
			http.Header{"User-Agent": {"curl"}, "X-My-Own": {"a"}, "Last-Event-Id": {"7"}}},
		{"empty value", "HTTP_ACCEPT||", http.Header{"Accept": {""}}},
		{"content type", "CONTENT_TYPE|text/plain|", http.Header{"Content-Type": {"text/plain"}}},
		{"empty content type", "CONTENT_TYPE||", http.Header{}},
		{"content type, twice told", "CONTENT_TYPE|text/plain|HTTP_CONTENT_TYPE|text/html|", http.Header{"Content-Type": {"text/plain"}}},
		{"content type of the client alone", "HTTP_CONTENT_TYPE|text/html|", http.Header{}},
		{"no length", "", http.Header{}},
		{"the client's length", "HTTP_CONTENT_LENGTH|0|", http.Header{"Content-Length": {"0"}}},
		{"an empty length is none", "HTTP_CONTENT_LENGTH||", http.Header{}},
		{"no-cache", "HTTP_PRAGMA|no-cache|", http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"no-cache"}}},
		{"no-cache and Cache-Control", "HTTP_PRAGMA|no-cache|HTTP_CACHE_CONTROL|max-age=0|",
			http.Header{"Pragma": {"no-cache"}, "Cache-Control": {"max-age=0"}}},
		{"another Pragma", "HTTP_PRAGMA|x|", http.Header{"Pragma": {"x"}}},
		{"httpoxy", "HTTP_PROXY|http://evil.example|HTTP_PROXY_AUTHORIZATION|a|", http.Header{"Proxy-Authorization": {"a"}}},
		{"transfer encoding", "HTTP_TRANSFER_ENCODING|chunked|", http.Header{}},
		{"host", "HTTP_HOST|example.org|", http.Header{}},
		{"in other cases and with hyphens", "HTTP_Proxy|a|HTTP_proxy|b|HTTP_Content_Length|9|HTTP_content-length|9|" +
			"HTTP_TRANSFER-ENCODING|chunked|HTTP_Content_Type|a|HTTP_host|evil.example|", http.Header{}},
		{"not headers", "http_x|a|HTTPS|on|HTTP|a|HTTP_|b|REMOTE_USER|c|", http.Header{}},
		{"no header has such a name", "HTTP_A B|a|HTTP_X:Y|b|HTTP_É|c|HTTP_X\n|d|", http.Header{}},
		{"repeated", "HTTP_X_TAG|a|HTTP_X_TAG|b|HTTP_COOKIE|a=1|HTTP_COOKIE|b=2|",
			http.Header{"X-Tag": {"a, b"}, "Cookie": {"a=1; b=2"}}},
		{"two names of one header", "HTTP_X_TAG|a|HTTP_X-TAG|b|HTTP_x_tag|c|", http.Header{"X-Tag": {"a", "b", "c"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|/|"+row.vars)
			require.NoError(t, err)
			assert.Equal(t, row.want, r.Header)
		})
	}
}

// The header's values share memory; a handler that appends must not see that.
func TestRequestHeaderValuesAreApart(t *testing.T) {
	r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|/|HTTP_A|1|HTTP_B|2|HTTP_C|3|")
	require.NoError(t, err)
	r.Header.Add("A", "more")
	r.Header.Add("B", "more")
	assert.Equal(t, http.Header{"A": {"1", "more"}, "B": {"2", "more"}, "C": {"3"}}, r.Header)
}

// Every common header has the key that net/http would give it.
func TestRequestHeaderKeysAreCanonical(t *testing.T) {
	for _, key := range []string{"Accept", "Content-Encoding", "Dnt", "Etag", "Http2-Settings", "If-None-Match",
		"Sec-Ch-Ua", "Sec-Websocket-Key", "Te", "X-Real-Ip", "X-Forwarded-For", "Www-Authenticate", "X-B3-Traceid"} {
		r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|/|HTTP_"+strings.ToUpper(strings.ReplaceAll(key, "-", "_"))+"|v|")
		require.NoError(t, err)
		assert.Equal(t, []string{http.CanonicalHeaderKey(key)}, slices.Collect(maps.Keys(r.Header)))
	}
}

func TestRequestContentLength(t *testing.T) {
	for _, row := range []struct {
		length, client string
		ok             bool
	}{
		{"7", "", true}, {"7", "7", true}, {"0", "0", true}, {"9223372036854775807", "9223372036854775807", true},
		{"9057", "60000", false}, {"0", "3000000", false}, {"7", "6", false}, {"7", "x", false}, {"7", "-7", false},
		{"7", "+7", false}, {"7", "7, 7", false}, {"7", "18446744073709551623", false},
	} {
		vars := "CONTENT_LENGTH|" + row.length + "|SCGI|1|REQUEST_METHOD|POST|REQUEST_URI|/|"
		if row.client != "" {
			vars += "HTTP_CONTENT_LENGTH|" + row.client + "|"
		}
		r, err := scgi.NewRequest(t.Context(), parse(t, block(vars)))
		if !row.ok {
			assertMalformed(t, err, "scgi_request_buffering", vars)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, row.length, fmt.Sprint(r.ContentLength))
		assert.Equal(t, http.Header{"Content-Length": {row.length}}, r.Header)
	}
}

// Close is net/http's: RFC 9112, section 9.3.
func TestRequestClose(t *testing.T) {
	for vars, want := range map[string]bool{
		"SERVER_PROTOCOL|HTTP/1.1|":                                         false,
		"SERVER_PROTOCOL|HTTP/1.1|HTTP_CONNECTION|close|":                   true,
		"SERVER_PROTOCOL|HTTP/1.1|HTTP_CONNECTION|keep-alive|":              false,
		"SERVER_PROTOCOL|HTTP/1.1|HTTP_CONNECTION|X-Hop ,\t CLOSE\t,|":      true,
		"SERVER_PROTOCOL|HTTP/1.1|HTTP_CONNECTION|not-close, close-not|":    false,
		"SERVER_PROTOCOL|HTTP/1.1|HTTP_CONNECTION|Upgrade|":                 false,
		"SERVER_PROTOCOL|HTTP/1.0|":                                         true,
		"SERVER_PROTOCOL|HTTP/1.0|HTTP_CONNECTION|Keep-Alive|":              false,
		"SERVER_PROTOCOL|HTTP/1.0|HTTP_CONNECTION|keep-alive|":              false,
		"SERVER_PROTOCOL|HTTP/1.0|HTTP_CONNECTION|keep-alive, close|":       true,
		"SERVER_PROTOCOL|HTTP/2.0|":                                         false,
		"SERVER_PROTOCOL|HTTP/0.9|HTTP_CONNECTION|keep-alive|":              true,
		"SERVER_PROTOCOL|INCLUDED|HTTP_CONNECTION|keep-alive|":              false,
		"SERVER_PROTOCOL|HTTP/1.1|HTTP_CONNECTION|a|HTTP_CONNECTION|close|": true,
	} {
		r, err := request(t, "REQUEST_METHOD|GET|REQUEST_URI|/|"+vars)
		require.NoError(t, err)
		assert.Equal(t, want, r.Close, vars)
	}
}

// What the handler sees of a request that came over a connection.
func TestRequestServed(t *testing.T) {
	type (
		key     struct{}
		connKey struct{}
	)
	var seen *http.Request
	l := startMemory(t, &scgi.Server{
		BaseContext: func(l net.Listener) context.Context { return context.WithValue(context.Background(), key{}, l) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = r
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "body", string(body))
			_, err = r.Body.Read(make([]byte, 1))
			assert.Equal(t, io.EOF, err)
			assert.NoError(t, r.Body.Close())
			_, err = r.Body.Read(make([]byte, 1))
			assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
			assert.NotNil(t, r.Context().Value(key{}))
			assert.NotNil(t, r.Context().Value(connKey{}))
			assert.Equal(t, memoryAddr{}, r.Context().Value(http.LocalAddrContextKey))
			derived := r.WithContext(context.WithValue(r.Context(), key{}, 1))
			assert.Equal(t, "4", scgi.Env(derived).Get("CONTENT_LENGTH"))
		}),
	})
	answer := l.ask(t, scgitest.Post("/a?b", "body"))
	assert.True(t, strings.HasPrefix(answer, "Status: 200 OK\r\n"), answer)
	assert.Equal(t, int64(4), seen.ContentLength)
	assert.Equal(t, "/a", seen.URL.Path)
	assert.Equal(t, "example.org", seen.Host)
	assert.Equal(t, "192.0.2.7:0", seen.RemoteAddr)
	assert.Equal(t, "HTTP/1.1", scgi.Env(seen).Get("SERVER_PROTOCOL"), "the environment may be kept")
	assert.ErrorIs(t, seen.Context().Err(), context.Canceled, "and the context is over")
	assert.Empty(t, pairs(scgi.Env(new(http.Request).WithContext(t.Context()))), "another's request has none")
}

// A request without a body has one that is empty.
func TestRequestNoBody(t *testing.T) {
	l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, http.NoBody, r.Body)
		assert.Zero(t, r.ContentLength)
	})})
	assert.Contains(t, l.ask(t, scgitest.Get("/")), "200 OK")
}

func TestStripMount(t *testing.T) {
	for _, row := range []struct {
		name, mount, vars string
		path, raw         string // r.URL.Path and RawPath
	}{
		{"PATH_INFO", "/habitat", "REQUEST_URI|/habitat/a|SCRIPT_NAME|/habitat|PATH_INFO|/a|", "/a", ""},
		{"PATH_INFO, no mount given", "", "REQUEST_URI|/habitat/a|SCRIPT_NAME|/habitat|PATH_INFO|/a|", "/a", ""},
		{"mount with a slash at its end", "/habitat/", "REQUEST_URI|/habitat/a|SCRIPT_NAME|/habitat|PATH_INFO|/a|", "/a", ""},
		{"empty PATH_INFO", "/habitat", "REQUEST_URI|/habitat|SCRIPT_NAME|/habitat|PATH_INFO||", "/", ""},
		{"empty PATH_INFO, no mount given", "", "REQUEST_URI|/habitat|SCRIPT_NAME|/habitat|PATH_INFO||", "/", ""},
		{"PATH_INFO of a slash", "/habitat", "REQUEST_URI|/habitat/|SCRIPT_NAME|/habitat|PATH_INFO|/|", "/", ""},
		{"PATH_INFO, decoded", "/habitat", "REQUEST_URI|/habitat/a%2Fb%20c|SCRIPT_NAME|/habitat|PATH_INFO|/a/b c|", "/a/b c", ""},
		{"PATH_INFO, a percent sign", "/habitat", "REQUEST_URI|/habitat/100%2525|SCRIPT_NAME|/habitat|PATH_INFO|/100%25|", "/100%25", ""},
		{"PATH_INFO like the mount", "/habitat", "REQUEST_URI|/habitat/habitat/a|SCRIPT_NAME|/habitat|PATH_INFO|/habitat/a|", "/habitat/a", ""},
		{"PATH_INFO rewritten", "/habitat", "REQUEST_URI|/old/a|SCRIPT_NAME|/habitat|PATH_INFO|/a|", "/a", ""},

		{"Apache: encoded", "/habitat", "REQUEST_URI|/habitat/a%20b|SCRIPT_NAME|/habitat/a b|PATH_INFO|/a%20b|", "/a b", ""},
		{"Apache: encoded, no mount given", "", "REQUEST_URI|/habitat/a%20b|SCRIPT_NAME|/habitat/a b|PATH_INFO|/a%20b|", "/a b", ""},
		{"Apache: encoded twice is decoded once", "/habitat", "REQUEST_URI|/habitat/100%2525|SCRIPT_NAME|/habitat/100%25|PATH_INFO|/100%2525|", "/100%25", ""},
		{"Apache: encoded, an odd path", "/habitat", "REQUEST_URI|//evil.example/..//habitat/x/../a%20b|SCRIPT_NAME|/habitat/a b|PATH_INFO|/a%20b|", "/a b", ""},
		{"Apache: encoded, an odd path below the mount", "/habitat", "REQUEST_URI|/habitat/x/..//a%20b|SCRIPT_NAME|/habitat/a b|PATH_INFO|/a%20b|proxy-scgi-pathinfo|1|", "/a b", ""},
		{"Apache: what cannot be decoded", "/habitat", "REQUEST_URI|/habitat/a|SCRIPT_NAME|/habitat|PATH_INFO|/%zz|proxy-scgi-pathinfo|1|", "/%zz", ""},
		{"Apache: plain", "/habitat", "REQUEST_URI|/habitat/a|SCRIPT_NAME|/habitat|PATH_INFO|/a|proxy-scgi-pathinfo|1|", "/a", ""},
		{"Apache: no PATH_INFO", "/habitat", "REQUEST_URI|/habitat/a%20b|SCRIPT_NAME|/habitat/a b|", "/a b", ""},

		{"lighttpd: one segment too many", "/habitat", "REQUEST_URI|/habitat/a/b|SCRIPT_NAME|/habitat/a|PATH_INFO|/b|", "/a/b", ""},
		{"lighttpd: all of it", "/habitat", "REQUEST_URI|/habitat/a|SCRIPT_NAME|/habitat/a|", "/a", ""},
		{"lighttpd: all of it, empty", "/habitat", "REQUEST_URI|/habitat/a|SCRIPT_NAME|/habitat/a|PATH_INFO||", "/a", ""},
		{"lighttpd: a slash too many", "/habitat", "REQUEST_URI|/habitat/|SCRIPT_NAME|/habitat/|PATH_INFO||", "/", ""},
		{"whole segments only", "/habitat", "REQUEST_URI|/habitation/b|SCRIPT_NAME|/habitation|PATH_INFO|/b|", "/b", ""},

		{"everything is in PATH_INFO", "/habitat", "REQUEST_URI|/habitat/a|SCRIPT_NAME||PATH_INFO|/habitat/a|", "/a", ""},
		{"everything is in PATH_INFO, the mount alone", "/habitat", "REQUEST_URI|/habitat|SCRIPT_NAME||PATH_INFO|/habitat|", "/", ""},
		{"everything is in PATH_INFO, no mount given", "", "REQUEST_URI|/habitat/a|SCRIPT_NAME||PATH_INFO|/habitat/a|", "/habitat/a", ""},
		{"PATH_INFO not under the mount", "/habitat", "REQUEST_URI|/other/a|SCRIPT_NAME||PATH_INFO|/other/a|", "/other/a", ""},

		{"nginx: nothing", "/habitat", "REQUEST_URI|/habitat/a?b|", "/a", ""},
		{"nginx: nothing, encoded", "/habitat", "REQUEST_URI|/habitat/a%2Fb%20c|", "/a/b c", "/a%2Fb%20c"},
		{"nginx: nothing, the mount alone", "/habitat", "REQUEST_URI|/habitat|", "/", ""},
		{"nginx: nothing, the mount and a slash", "/habitat", "REQUEST_URI|/habitat/|", "/", ""},
		{"nginx: nothing, not under the mount", "/habitat", "REQUEST_URI|/habitation/a|", "/habitation/a", ""},
		{"nginx: nothing, mount encoded by the client", "/habitat", "REQUEST_URI|/h%61bitat/a%2Fb|", "/a/b", ""},
		{"nginx: nothing, no mount given", "", "REQUEST_URI|/habitat/a|", "/habitat/a", ""},
		{"nginx: SCRIPT_NAME, no mount given", "", "REQUEST_URI|/habitat/a%20b|SCRIPT_NAME|/habitat|", "/a b", ""},
		{"a mount of two segments", "/a/b", "REQUEST_URI|/a/b/c|", "/c", ""},
		{"a mount to be encoded", "/a b", "REQUEST_URI|/a%20b/c%2Fd|", "/c/d", "/c%2Fd"},
		{"no REQUEST_URI", "/habitat", "SCRIPT_NAME|/habitat|PATH_INFO|/a b|", "/a b", ""},
		{"asterisk", "/habitat", "REQUEST_URI|*|", "/*", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			called := false
			l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, whole *http.Request) {
				before := *whole.URL
				scgi.StripMount(row.mount, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					called = true
					assert.Equal(t, row.path, r.URL.Path)
					assert.Equal(t, row.raw, r.URL.RawPath)
					if row.raw == "" { // or it would win over Path
						assert.Equal(t, (&url.URL{Path: r.URL.Path}).EscapedPath(), r.URL.EscapedPath())
					}
					assert.Equal(t, whole.URL.RawQuery, r.URL.RawQuery)
					assert.Equal(t, whole.RequestURI, r.RequestURI)
					assert.Equal(t, whole.Header, r.Header)
				})).ServeHTTP(w, whole)
				assert.Equal(t, before, *whole.URL, "the request is not changed")
			})})
			l.ask(t, scgitest.Netstring(block(least+"REQUEST_METHOD|GET|"+row.vars), ""))
			assert.True(t, called)
		})
	}
}

// Behind every front end and configuration the application sees the same path.
func TestStripMountCorpus(t *testing.T) {
	for name, raw := range corpus(t, "good") {
		_, kind, _ := strings.Cut(strings.TrimSuffix(name, ".scgi"), "-")
		kind = strings.TrimPrefix(strings.TrimPrefix(kind, "stock-"), "slash-")
		want, ok := map[string]string{"get": "/messages", "head": "/messages", "mount": "/", "repeated": "/messages",
			"cookie": "/messages", "post": "/message", "chunked": "/message", "encoded": "/a/b cé"}[kind]
		if !ok {
			continue // made by hand
		}
		t.Run(name, func(t *testing.T) {
			if name == "apache-encoded.scgi" {
				want = "/a%2Fb cé" // AllowEncodedSlashes NoDecode: what Apache itself makes of it
			}
			got := ""
			l := startMemory(t, &scgi.Server{Handler: scgi.StripMount("/habitat", http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) { got = r.URL.Path }))})
			l.ask(t, raw)
			assert.Equal(t, want, got)
		})
	}
}

// Without SCGI under it StripMount goes by the URL.
func TestStripMountOfAnotherServer(t *testing.T) {
	r, err := http.NewRequest("GET", "/habitat/a", nil)
	require.NoError(t, err)
	scgi.StripMount("/habitat", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/a", r.URL.Path)
	})).ServeHTTP(nil, r)
}
