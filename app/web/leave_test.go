package web_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// unreadableLog fails to read, in the way that it is told.
type unreadableLog struct {
	app.Store
	err error
}

func (l unreadableLog) Read(context.Context, app.Query) (app.Page, error) { return app.Page{}, l.err }

// The answer to a read that failed says whose fault it is, and so does the level of
// the log's line: a client that left and a deadline are no fault.
func TestWhatCannotBeRead(t *testing.T) {
	for _, row := range []struct {
		name   string
		err    error
		status int
		level  string
	}{
		{"the client left", context.Canceled, 499, "debug"},
		{"a deadline", context.DeadlineExceeded, 503, "debug"},
		{"not now", app.ErrUnavailable, 503, "error"},
		{"another log", app.ErrOtherLog, 410, ""},
		{"damage", errors.New("the store is damaged"), 500, "error"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var said apptest.Sayings
			h := &web.Handler{Log: unreadableLog{err: fmt.Errorf("reading: %w", row.err)}, Logger: zerolog.New(&said)}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/messages", nil))
			assert.Equal(t, row.status, rec.Code)
			assert.Equal(t, row.status == 503, rec.Header().Get("Retry-After") != "")
			text := said.Take()
			assert.Equal(t, row.level != "", strings.Contains(text, `"message":"request failed"`), text)
			if row.level != "" {
				assert.Contains(t, text, `"level":"`+row.level+`","error":"reading messages: reading: `)
			}
		})
	}
}

// Many readers leave while their page is being read, each at another moment. The log
// reports no fault, and the status of each is 200 or 499.
func TestReadersThatLeave(t *testing.T) {
	log, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	batch := make([]app.Message, 1000)
	for i := range batch {
		batch[i] = apptest.Numbered(i)
		batch[i].Data = fmt.Appendf(nil, `{"name":%q}`, strings.Repeat("x", 1500))
	}
	_, err = log.Append(batch)
	require.NoError(t, err)
	var said apptest.Sayings
	s := scgitest.NewServer(scgi.StripMount("", &web.Handler{Log: log, Logger: zerolog.New(&said)}))
	request := scgitest.Request("", "CONTENT_LENGTH", "0", "SCGI", "1", "REQUEST_METHOD", "GET",
		"REQUEST_URI", "/messages?limit=1000", "QUERY_STRING", "limit=1000")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 75 {
				conn, err := s.Dial()
				if !assert.NoError(t, err) {
					return
				}
				timer := time.AfterFunc(rand.N(20*time.Millisecond), func() { conn.Close() })
				_, _ = conn.Write(request)
				_, _ = conn.Read(make([]byte, 1)) // ends with the answer, or when the connection is closed
				timer.Stop()
				conn.Close()
			}
		})
	}
	wg.Wait()
	s.Close()
	text := said.Take()
	assert.NotContains(t, text, `"level":"error"`)
	assert.NotContains(t, text, "damage")
	for line := range strings.Lines(text) {
		if strings.Contains(line, `"message":"request"`) {
			assert.True(t, strings.Contains(line, `"status":200`) || strings.Contains(line, `"status":499`), line)
		}
	}
}

// untilLog notes until when it may look, and finds a page whose search was ended.
type untilLog struct {
	app.Store
	until []time.Time
}

func (l *untilLog) Read(_ context.Context, q app.Query) (app.Page, error) {
	l.until = append(l.until, q.Until)
	return app.Page{Log: "log", Oldest: 1, Next: 90, From: 70}, nil
}

// A log that has looked for long answers with what it has before the request's time
// is up, and the answer says what was looked at.
func TestReadingWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &untilLog{}
		rec := httptest.NewRecorder()
		(&web.Handler{Log: log}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/messages?last=5", nil))
		assert.Equal(t, []time.Time{time.Now().Add(5 * time.Second)}, log.until, "half of the time that a request has")
		assert.Equal(t, `{"log":"log","oldest":1,"messages":[],"next":90,"from":70}`+"\n", rec.Body.String())

		// NDJSON has no place to say so, and must not look complete.
		rec = httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/messages?last=5", nil)
		r.Header.Set("Accept", "application/x-ndjson")
		(&web.Handler{Log: log}).ServeHTTP(rec, r)
		assert.Equal(t, http.StatusServiceUnavailable, rec.Code)
		assert.NotEmpty(t, rec.Header().Get("Retry-After"))
	})
}

// namedLog is a log whose name is damaged.
type namedLog struct{ app.Store }

func (namedLog) Read(context.Context, app.Query) (app.Page, error) {
	return app.Page{Log: "a\x01\xff\"b", Oldest: 1}, nil
}

// A page is JSON, whatever the log's name has become.
func TestPageOfADamagedName(t *testing.T) {
	rec := httptest.NewRecorder()
	(&web.Handler{Log: namedLog{}}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/messages", nil))
	assert.JSONEq(t, `{"log":"a\u0001\ufffd\"b","oldest":1,"messages":[],"next":0}`, rec.Body.String())
}
