package scgi

import (
	"net/http"
	"strings"
)

// commonKeys spares the usual request headers the making of their name.
var commonKeys = func() map[string]string {
	keys := make(map[string]string)
	for _, key := range []string{
		"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Access-Control-Request-Headers",
		"Access-Control-Request-Method", "Authorization", "Cache-Control", "Cf-Connecting-Ip", "Connection",
		"Content-Encoding", "Content-Language", "Content-Md5", "Cookie", "Date", "Dnt", "Expect", "Forwarded", "From",
		"Http2-Settings", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
		"If-Unmodified-Since", "Keep-Alive", "Last-Event-Id", "Max-Forwards", "Origin", "Pragma", "Priority",
		"Proxy-Authorization", "Range", "Referer", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform",
		"Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User", "Sec-Gpc", "Sec-Websocket-Extensions",
		"Sec-Websocket-Key", "Sec-Websocket-Protocol", "Sec-Websocket-Version", "Te", "Traceparent", "Tracestate",
		"Trailer", "Upgrade", "Upgrade-Insecure-Requests", "User-Agent", "Via", "X-Forwarded-For", "X-Forwarded-Host",
		"X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id", "X-Requested-With",
	} {
		keys[headerVarName(key)] = key
	}
	return keys
}()

// headerVarName is the variable of a request header: RFC 3875, section 4.1.18.
func headerVarName(key string) string {
	return "HTTP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
}

// headerKey is the other way: the canonical key of the header that a variable
// called HTTP_* carries, or "" when no header can have such a name, or must not
// come from such a variable, however that is spelled (HTTP_Proxy, say).
func headerKey(name string) string {
	if key, ok := commonKeys[name]; ok {
		return key
	}
	key := strings.ReplaceAll(name[len("HTTP_"):], "_", "-")
	if !validToken(key) {
		return ""
	}
	switch key = http.CanonicalHeaderKey(key); key {
	case "Content-Length", "Content-Type", "Host", "Proxy", "Transfer-Encoding":
		return ""
	}
	return key
}

// validToken reports whether s is a token of RFC 9110, section 5.6.2: what a
// method and a field name are made of.
func validToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenBytes = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		t[c] = true
	}
	return t
}()
