package scgi_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// nginxBlock is what nginx sends for a POST of a browser's size: 22 variables,
// some 700 bytes.
var nginxBlock = block("CONTENT_LENGTH|260|REQUEST_METHOD|POST|REQUEST_URI|/habitat/message?x=1|QUERY_STRING|x=1|" +
	"CONTENT_TYPE|application/json|DOCUMENT_URI|/habitat/message|DOCUMENT_ROOT|/usr/share/nginx/html|SCGI|1|SERVER_PROTOCOL|HTTP/1.1|" +
	"REQUEST_SCHEME|https|HTTPS|on|REMOTE_ADDR|192.0.2.7|REMOTE_PORT|34308|SERVER_PORT|443|SERVER_NAME|example.org|" +
	"HTTP_HOST|example.org|SCRIPT_NAME|/habitat|PATH_INFO|/message|" +
	"HTTP_USER_AGENT|Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0|HTTP_ACCEPT|*/*|" +
	"HTTP_AUTHORIZATION|Bearer " + strings.Repeat("0123456789abcdef", 12) + "|HTTP_CONTENT_LENGTH|260|")

var nginxBody = strings.Repeat("0123456789", 26)

// BenchmarkParseHeader is one pass over a block that is there already.
func BenchmarkParseHeader(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(nginxBlock)))
	var vars scgi.Vars
	for b.Loop() {
		var err error
		if vars, err = scgi.ParseBlock(nginxBlock, 4); err != nil {
			b.Fatal(err)
		}
	}
	require.Len(b, pairs(vars), 22)
	require.Equal(b, "/message", vars.Get("PATH_INFO"))
}

// BenchmarkReadHeader adds the netstring and the copy out of the read buffer.
func BenchmarkReadHeader(b *testing.B) {
	raw := scgitest.Netstring(nginxBlock, nginxBody)
	br := bufio.NewReaderSize(nil, 4<<10)
	in := bytes.NewReader(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(nginxBlock)))
	var vars scgi.Vars
	for b.Loop() {
		in.Reset(raw)
		br.Reset(in)
		var err error
		if vars, err = scgi.ReadHeader(br, 0); err != nil {
			b.Fatal(err)
		}
	}
	require.Len(b, pairs(vars), 22)
}

// BenchmarkNewRequest makes the *http.Request of it.
func BenchmarkNewRequest(b *testing.B) {
	vars := parse(b, nginxBlock)
	b.ReportAllocs()
	var r *http.Request
	for b.Loop() {
		var err error
		if r, err = scgi.NewRequest(context.Background(), vars); err != nil {
			b.Fatal(err)
		}
	}
	require.Equal(b, "/habitat/message", r.URL.Path)
	require.Len(b, r.Header, 5)
}

// BenchmarkServe is a whole server and its clients: 32 at a time, each request
// with a connection of its own.
func BenchmarkServe(b *testing.B) {
	for _, network := range serverNetworks {
		b.Run(network, func(b *testing.B) {
			raw := scgitest.Netstring(nginxBlock, nginxBody)
			var bodies atomic.Int64
			s := &scgitest.Server{Config: &scgi.Server{Logger: slog.New(slog.DiscardHandler),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					n, _ := io.Copy(io.Discard, r.Body) // counted below
					bodies.Add(n)
					_, _ = io.WriteString(w, "OK")
				})}}
			s.Network = onNetwork(network, s.Config)
			s.Start()
			defer s.Close()
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			b.SetParallelism(16) // goroutines for each of GOMAXPROCS, of which the machine this was tuned on has two
			b.RunParallel(func(pb *testing.PB) {
				answer := make([]byte, 4<<10)
				for pb.Next() {
					if n, err := exchange(s, raw, answer); err != nil || !bytes.HasSuffix(answer[:n], []byte("\r\n\r\nOK")) {
						b.Errorf("%q %v", answer[:n], err)
						return
					}
				}
			})
			require.Equal(b, int64(b.N*len(nginxBody)), bodies.Load())
			require.Equal(b, uint64(b.N), s.Config.Stats().Requests)
		})
	}
}

// exchange sends a request and reads the answer to its end.
func exchange(s *scgitest.Server, raw, answer []byte) (n int, err error) {
	conn, err := net.Dial(s.Network, s.Address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Write(raw); err != nil {
		return 0, err
	}
	for {
		m, err := conn.Read(answer[n:])
		n += m
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
