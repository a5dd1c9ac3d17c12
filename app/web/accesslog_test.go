package web_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"

	"github.com/windsock-scgi/windsock/app/web"
)

// The log has a status for every request: what the client has got, and where it
// got nothing, why.
func TestAccessLogStatus(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, row := range []struct {
		name   string
		ctx    context.Context
		serve  http.HandlerFunc
		status string
		panics bool
	}{
		{"a status", t.Context(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(500) }, `"status":404,`, false},
		{"a body", t.Context(), func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, `"status":200,"bytes":5,`, false},
		{"neither", t.Context(), func(http.ResponseWriter, *http.Request) {}, `"status":200,"bytes":0,`, false},
		{"the client has gone", gone, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, `"status":499,`, true},
		{"the client goes midway", gone, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206); panic(http.ErrAbortHandler) }, `"status":206,`, true},
		{"a panic", t.Context(), func(http.ResponseWriter, *http.Request) { panic("as the test wants it") }, `"status":500,`, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			h := &web.Handler{Logger: zerolog.New(&log), Other: func(*http.Request) http.Handler { return row.serve }}
			serve := func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(row.ctx, "GET", "/other", nil))
			}
			if row.panics {
				assert.Panics(t, serve)
			} else {
				serve()
			}
			assert.Contains(t, log.String(), row.status)
		})
	}
}
