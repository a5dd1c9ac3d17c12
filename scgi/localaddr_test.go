package scgi_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// http.LocalAddrContextKey is the address that the front end names, and the
// connection's own where it names none.
func TestLocalAddr(t *testing.T) {
	at := func(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }
	own := memoryAddr{}
	for _, row := range []struct {
		addr, port string
		want       net.Addr
	}{
		{"192.0.2.1", "443", at("192.0.2.1", 443)},
		{"2001:db8::1", "8080", at("2001:db8::1", 8080)},
		{"[2001:db8::1]", "8080", at("2001:db8::1", 8080)},
		{"::ffff:127.0.0.1", "80", at("127.0.0.1", 80)},
		{"fe80::1%eth0", "80", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 80}},
		{"192.0.2.1", "", at("192.0.2.1", 0)},
		{"192.0.2.1", "65536", at("192.0.2.1", 0)},
		{"192.0.2.1", "-1", at("192.0.2.1", 0)},
		{"", "80", own},
		{"unix:/run/nginx.sock", "", own},
		{"localhost", "80", own},
	} {
		var got any
		l := startMemory(t, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			r = r.WithContext(context.WithValue(r.Context(), testKey{}, 1)) // as middleware has it
			got = r.Context().Value(http.LocalAddrContextKey)
		})})
		l.ask(t, scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET", "REQUEST_URI", "/",
			"SERVER_ADDR", row.addr, "SERVER_PORT", row.port))
		require.Implements(t, (*net.Addr)(nil), got)
		assert.Equal(t, fmt.Sprintf("%T %v", row.want, row.want), fmt.Sprintf("%T %v", got, got), "%v", row)
	}
}

type testKey struct{}

// Behind a front end of Go's, which hands its request's context on, an application sees
// what it would see in that front end's place.
func TestLocalAddrThroughTransport(t *testing.T) {
	for _, network := range serverNetworks {
		seen := make(chan any, 1)
		s := startOn(t, network, &scgi.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen <- r.Context().Value(http.LocalAddrContextKey)
		})})
		front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: toApp, Transport: s.Transport()})
		t.Cleanup(front.Close)
		resp, err := front.Client().Get(front.URL)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		at, err := url.Parse(front.URL)
		require.NoError(t, err)
		addr, ok := (<-seen).(*net.TCPAddr)
		require.True(t, ok)
		assert.Equal(t, at.Host, addr.String())
	}
}
