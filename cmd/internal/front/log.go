package front

import (
	"net/http"
	"time"
)

// logged writes a line for each request, when it has ended.
func (c *Config) logged(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		counted := &countingWriter{ResponseWriter: w, status: http.StatusOK}
		defer func() { // also of an answer that broke off, which is a panic
			c.Logger.Info("request", "method", r.Method, "uri", r.RequestURI, "status", counted.status,
				"bytes", counted.bytes, "ms", time.Since(began).Milliseconds(), "remote", r.RemoteAddr)
		}()
		h.ServeHTTP(counted, r)
	})
}

// countingWriter knows what was answered.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
