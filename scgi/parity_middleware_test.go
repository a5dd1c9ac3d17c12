package scgi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/klauspost/compress/gzhttp"
	"github.com/stretchr/testify/assert"
)

// chiLog is chi's log, into nothing: with it Recoverer prints nothing either.
type chiLog struct{}

func (chiLog) NewLogEntry(*http.Request) middleware.LogEntry { return chiLog{} }
func (chiLog) Panic(any, []byte)                             {}
func (chiLog) Write(status, bytes int, _ http.Header, _ time.Duration, _ any) {
}

func TestParityChi(t *testing.T) {
	router := func() http.Handler {
		r := chi.NewRouter()
		r.Use(middleware.RequestID, middleware.ClientIPFromHeader("X-Real-Ip", "127.0.0.0/8"))
		r.Use(middleware.RealIP) //lint:ignore SA1019 it is what many programs have, and it changes RemoteAddr
		r.Use(middleware.RequestLogger(chiLog{}), middleware.Recoverer)
		r.Use(middleware.StripSlashes, middleware.CleanPath, middleware.GetHead, middleware.Heartbeat("/ping"))
		r.Get("/", describeRequest)
		r.Get("/id", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, middleware.GetReqID(r.Context()), middleware.GetClientIP(r.Context()), r.RemoteAddr)
		})
		r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("recovered") })
		r.Get("/panic/late", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half an answer")
			panic("recovered")
		})
		r.With(middleware.Timeout(time.Millisecond)).Get("/slow", func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		})
		r.With(middleware.Timeout(time.Hour)).Get("/fast", describeRequest)
		r.With(middleware.Compress(5)).Get("/compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, strings.Repeat("<p>compressed", 1000))
		})
		r.With(middleware.Throttle(1), middleware.NoCache, middleware.SetHeader("X-Own", "1")).Get("/throttled", describeRequest)
		r.With(middleware.BasicAuth("realm", map[string]string{"anna": "geheim"})).Get("/secret", describeRequest)
		r.With(middleware.AllowContentType("application/json"), middleware.ContentCharset("utf-8", ""), middleware.RequestSize(10)).
			Post("/json", readUpload)
		r.Route("/articles/{id:[0-9]+}", func(r chi.Router) {
			r.Use(middleware.URLFormat)
			r.Get("/", func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintln(w, chi.URLParam(r, "id"), chi.RouteContext(r.Context()).RoutePattern())
			})
			r.Put("/{rest}", describeRequest)
		})
		sub := chi.NewRouter()
		sub.HandleFunc("/*", describeRequest)
		r.Mount("/sub", sub)
		return r
	}
	parity(t, router,
		"GET /", "HEAD /", "POST /\n\nx", "GET /nothing", "GET /ping", "GET /id/\nX-Request-Id: 7\nX-Real-Ip: 192.0.2.9", "GET /id\nX-Request-Id: 8\nX-Forwarded-For: 192.0.2.9, 192.0.2.1",
		"GET /panic", "GET /panic/late", "GET /slow", "GET /fast", "HEAD /fast",
		"GET /compressed", "GET /compressed\nAccept-Encoding: gzip", "GET /compressed\nAccept-Encoding: deflate", "HEAD /compressed\nAccept-Encoding: gzip",
		"GET /throttled", "GET /secret", "GET /secret\nAuthorization: Basic YW5uYTpnZWhlaW0=",
		"POST /json\nContent-Type: application/json\n\n{}", "POST /json\nContent-Type: text/xml\n\n{}", "POST /json\nContent-Type: application/json; charset=latin1\n\n{}",
		"POST /json\nContent-Type: application/json\n\n{\"a\":\"long\"}",
		"GET /articles/7", "GET /articles/7/", "GET /articles/x", "PUT /articles/7/a%2Fb\n\nx", "DELETE /articles/7",
		"GET /sub/any//path/?x", "GET /sub", "TRACE /sub/x",
	)
}

func TestParityGzip(t *testing.T) {
	handler := func() http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })
		mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(strings.Repeat("large", 100_000)) // the client sees what is missing
		})
		mux.HandleFunc("/parts", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for range 3 {
				_, _ = io.WriteString(w, strings.Repeat("part ", 1000))
				assert.NoError(t, http.NewResponseController(w).Flush())
			}
		})
		mux.HandleFunc("/length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			w.Header().Set("Etag", `"a"`)
			_, _ = io.WriteString(w, strings.Repeat("12345", 1000))
		})
		mux.HandleFunc("/image", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(w, strings.Repeat("image", 1000))
		})
		mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("error ", 500), http.StatusBadGateway)
		})
		mux.Handle("/", http.FileServer(servedFiles(t)))
		return gzhttp.GzipHandler(mux)
	}
	var requests []string
	for _, target := range []string{"/small", "/large", "/parts", "/length", "/image", "/empty", "/error", "/text.txt", "/large.bin"} {
		requests = append(requests, "GET "+target, "GET "+target+"\nAccept-Encoding: gzip", "HEAD "+target+"\nAccept-Encoding: br, gzip")
	}
	requests = append(requests, "GET /text.txt\nAccept-Encoding: gzip\nRange: bytes=0-99",
		"GET /text.txt\nAccept-Encoding: gzip\nIf-Modified-Since: Tue, 03 Feb 2026 04:05:06 GMT")
	parity(t, handler, requests...)
}
