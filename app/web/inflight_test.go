package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/feed"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// eventually is how long a test waits for something at most, looking every tick.
const (
	eventually = 30 * time.Second
	tick       = time.Millisecond
)

// bounded is the application over a real socket, with a budget.
func bounded(t *testing.T, log app.Store, budget *admission.Budget) *service {
	t.Helper()
	committer := &commit.Committer{Log: log}
	s := scgitest.NewServer(&web.Handler{Log: log, Committer: committer, Budget: budget})
	t.Cleanup(func() {
		s.Close()
		assert.NoError(t, committer.Close(context.Background()))
		assert.Zero(t, budget.Used(), "everything was given back")
	})
	return &service{s, log, committer, nil}
}

// begin sends the first n bytes of a request and leaves the rest for later.
func (s *service) begin(t *testing.T, request []byte, n int) net.Conn {
	t.Helper()
	conn, err := s.Dial()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Write(request[:n])
	require.NoError(t, err)
	return conn
}

// assertLater expects the answer of a request that is refused for now.
func assertLater(t *testing.T, got reply) {
	t.Helper()
	assert.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	assert.NoError(t, err)
	assert.Positive(t, seconds)
}

// Clients that send slowly hold what they have sent, up to the budget. A request
// that would exceed it is refused; a small one never is.
func TestBodiesAreBoundedInBytes(t *testing.T) {
	const each = 64 << 10
	budget := &admission.Budget{Bytes: 4 * (each - admission.Free + 1024)}
	s := bounded(t, &apptest.FakeStore{}, budget)
	large := func(n int) []byte {
		return batchRequest(ndjson, "", numberedNote(n)+strings.Repeat(" ", each))
	}
	var slow []net.Conn
	for n := range 4 {
		request := large(n)
		slow = append(slow, s.begin(t, request, len(request)-1))
	}
	held := func() bool { return budget.Used() >= 4*(each-admission.Free) }
	require.Eventually(t, held, eventually, tick, "all four are received but for a byte")
	assert.LessOrEqual(t, budget.Used(), budget.Bytes)

	got := s.raw(t, large(5))
	assertLater(t, got)
	assert.NotContains(t, got.body, "results", "nothing of it was stored")
	assert.Equal(t, 200, s.do(t, "POST", "/message", numberedNote(6)).status, "little is free")

	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { return budget.Used() == 0 }, eventually, tick)
	assert.Equal(t, 200, s.raw(t, large(7)).status)
}

// The budget counts the bytes that have come, not those that were announced.
func TestAnnouncedBytesAreFree(t *testing.T) {
	budget := &admission.Budget{Bytes: 1}
	s := bounded(t, &apptest.FakeStore{}, budget)
	request := batchRequest(ndjson, "", strings.Repeat(" ", 4<<20))
	header := bytes.IndexByte(request, ',') + 1
	for range 10 {
		s.begin(t, request, header+1000)
	}
	assert.Equal(t, 200, s.do(t, "POST", "/message", numberedNote(1)).status)
	assert.Zero(t, budget.Used())
}

// A body that is decoded counts as what it becomes.
func TestDecodedBytesCount(t *testing.T) {
	s := bounded(t, &apptest.FakeStore{}, &admission.Budget{Bytes: 1 << 20})
	for _, encoding := range []string{"gzip", "zstd"} {
		body := numberedNote(1) + strings.Repeat("\n", 4<<20)
		assertLater(t, s.raw(t, batchRequest(ndjson, encoding, encode(t, encoding, body))))
		body = numberedNote(1) + strings.Repeat("\n", 500<<10)
		assert.Equal(t, 200, s.raw(t, batchRequest(ndjson, encoding, encode(t, encoding, body))).status)
	}
}

// pageLog has a page of one large message.
type pageLog struct {
	apptest.FakeStore
	size int
}

func (l *pageLog) Read(context.Context, app.Query) (app.Page, error) {
	message := app.Message{Callsign: "G8XYZ", Type: app.ListenerInfo, Data: []byte(`"` + strings.Repeat("x", l.size) + `"`)}
	return app.Page{Log: "memory", Oldest: 1, Next: 1, Entries: []app.Entry{{Seq: 1, Message: message}}}, nil
}

// stalledWriter is a client that takes no byte of the body until it is let.
type stalledWriter struct {
	*httptest.ResponseRecorder
	reached, open chan struct{}
}

func newStalledWriter() *stalledWriter {
	return &stalledWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
}

func (w *stalledWriter) Write(p []byte) (int, error) {
	close(w.reached)
	<-w.open
	return w.ResponseRecorder.Write(p)
}

// A page counts until its client has taken it.
func TestPagesAreBoundedInBytes(t *testing.T) {
	budget := &admission.Budget{Bytes: 250 << 10}
	h := &web.Handler{Log: &pageLog{size: 100 << 10}, Budget: budget}
	for _, accept := range []string{asJSON, ndjson} {
		read := func(w http.ResponseWriter) {
			r := httptest.NewRequest("GET", "/messages", nil)
			r.Header.Set("Accept", accept)
			h.ServeHTTP(w, r)
		}
		var all sync.WaitGroup
		slow := []*stalledWriter{newStalledWriter(), newStalledWriter()}
		for _, w := range slow {
			all.Go(func() { read(w) })
			<-w.reached
		}
		w := httptest.NewRecorder()
		read(w)
		assertLater(t, reply{w.Code, w.Header(), w.Body.String()})
		for _, w := range slow {
			close(w.open)
		}
		all.Wait()
		assert.Zero(t, budget.Used())
		w = httptest.NewRecorder()
		read(w)
		assert.Equal(t, 200, w.Code)
	}
}

// A stream that catches up counts the page that it sends, and is ended when that
// would be too much: its client comes again with Last-Event-ID.
func TestCatchingUpIsBoundedInBytes(t *testing.T) {
	budget := &admission.Budget{Bytes: 50 << 10}
	log := &pageLog{size: 30 << 10}
	tail := &feed.Tail{Log: log}
	require.NoError(t, tail.Start(t.Context()))
	defer tail.Close()
	h := &web.Handler{Log: log, Tail: tail, Budget: budget}
	w := httptest.NewRecorder()
	log.size = 100 << 10
	h.ServeHTTP(w, httptest.NewRequest("GET", "/messages/stream?after=0", nil))
	assert.Equal(t, 200, w.Code)
	assert.NotContains(t, w.Body.String(), "id:", "no half event")
	assert.Zero(t, budget.Used())
}

// Places are not held for clients that are slow to send: a batch passes any number
// of batches that are still coming.
func TestSlowSendersHoldNoPlace(t *testing.T) {
	s := bounded(t, &apptest.FakeStore{}, &admission.Budget{Bytes: 1 << 20})
	for _, encoding := range []string{"", "gzip", "zstd"} {
		for n := range 3 * web.BatchPlaces {
			request := batchRequest(ndjson, encoding, encode(t, encoding, numberedNote(n)))
			s.begin(t, request, len(request)-1)
		}
	}
	for _, encoding := range []string{"", "gzip", "zstd"} {
		got := parseBatch(t, s.raw(t, batchRequest(ndjson, encoding, encode(t, encoding, numberedNote(1000)))))
		assert.Equal(t, 200, got.code)
	}
}

// Nor are they held for clients that are slow to take the answer.
func TestSlowReadersHoldNoPlace(t *testing.T) {
	log := &apptest.FakeStore{}
	h := &web.Handler{Log: log, Committer: &commit.Committer{Log: log}}
	post := func(w http.ResponseWriter, n int) {
		r := httptest.NewRequest("POST", "/messages", strings.NewReader(encode(t, "zstd", numberedNote(n))))
		r.Header.Set("Content-Encoding", "zstd")
		h.ServeHTTP(w, r)
	}
	var all sync.WaitGroup
	open := make(chan struct{})
	for n := range 2 * web.BatchPlaces {
		w := newStalledWriter()
		w.open = open
		all.Go(func() { post(w, n) })
		<-w.reached
	}
	w := httptest.NewRecorder()
	post(w, 1000)
	assert.Equal(t, 200, w.Code, w.Body)
	close(open)
	all.Wait()
}

// A decoder is given back before its message is committed, however long that takes.
func TestDecodersAreNotHeldOverCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		log := &apptest.FakeStore{Appending: func([]app.Message) error { <-release; return nil }}
		committer := &commit.Committer{Log: log}
		h := &web.Handler{Log: log, Committer: committer}
		var all sync.WaitGroup
		const messages = 3 * web.DecoderPlaces
		for n := range messages {
			all.Go(func() {
				r := httptest.NewRequest("POST", "/message", strings.NewReader(encode(t, "zstd", numberedNote(n))))
				r.Header.Set("Content-Encoding", "zstd")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				assert.Equal(t, 200, w.Code, w.Body)
			})
		}
		synctest.Wait()
		assert.Equal(t, messages, committer.Stats().Queued)
		close(release)
		all.Wait()
	})
}

// A batch that waits for a place does so as long as its client, and no longer than
// the others may take.
func TestWaitingForAPlaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		log := &apptest.FakeStore{Appending: func([]app.Message) error { <-release; return nil }}
		h := &web.Handler{Log: log, Committer: &commit.Committer{Log: log}}
		post := func(ctx context.Context, n int) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "POST", "/messages", strings.NewReader(numberedNote(n))))
			return w
		}
		var all sync.WaitGroup
		for n := range web.BatchPlaces {
			all.Go(func() { assert.Equal(t, 200, post(t.Context(), n).Code) })
		}
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		all.Go(func() { assert.Equal(t, 499, post(ctx, 100).Code) })
		synctest.Wait()
		leave()
		w := post(t.Context(), 101) // it waits until the bubble's clock is at its patience
		assertLater(t, reply{w.Code, w.Header(), w.Body.String()})
		close(release)
		all.Wait()
	})
}

// Once the handler is drained no batch waits for a place, and single messages are
// still stored.
func TestDrainEndsWaitingForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		log := &apptest.FakeStore{Appending: func([]app.Message) error { <-release; return nil }}
		h := &web.Handler{Log: log, Committer: &commit.Committer{Log: log}}
		post := func(path string, n int) reply {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(numberedNote(n))))
			return reply{w.Code, w.Header(), w.Body.String()}
		}
		var stored, refused sync.WaitGroup
		for n := range web.BatchPlaces {
			stored.Go(func() { assert.Equal(t, 200, post("/messages", n).status) })
		}
		synctest.Wait()
		began := time.Now()
		refused.Go(func() { assertLater(t, post("/messages", 100)) })
		synctest.Wait()
		h.Drain()
		refused.Wait()
		assertLater(t, post("/messages", 101))
		assert.Equal(t, began, time.Now(), "it is refused at once")
		stored.Go(func() { assert.Equal(t, 200, post("/message", 102).status) })
		close(release)
		stored.Wait()
	})
}

// A front end that names no address loses no message, and the log says it once.
func TestNoAddress(t *testing.T) {
	for _, address := range []string{"unix:", "", "localhost"} {
		var text syncBuffer
		log := &apptest.FakeStore{}
		var stored []app.Message
		log.Appending = func(batch []app.Message) error { stored = append(stored, batch...); return nil }
		committer := &commit.Committer{Log: log}
		s := scgitest.NewServer(&web.Handler{Log: log, Committer: committer, Logger: zerolog.New(&text)})
		for n := range 3 {
			for _, path := range []string{"/message", "/messages"} {
				body := numberedNote(2*n + len(path))
				got, err := s.Send(scgitest.Request(body, "CONTENT_LENGTH", strconv.Itoa(len(body)), "SCGI", "1",
					"REQUEST_METHOD", "POST", "REQUEST_URI", path, "PATH_INFO", path, "REMOTE_ADDR", address))
				require.NoError(t, err)
				assert.Contains(t, string(got), "Status: 200")
			}
		}
		s.Close()
		require.NoError(t, committer.Close(t.Context()))
		require.Len(t, stored, 6)
		for _, m := range stored {
			assert.False(t, m.Address.IsValid())
		}
		assert.Equal(t, 1, strings.Count(text.String(), "REMOTE_ADDR"), text.String())
	}
}

// syncBuffer is a log that several goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Where Accept decides about an answer, Vary says so: on errors too.
func TestVary(t *testing.T) {
	s := start(t)
	for _, row := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/", "", 200},
		{"POST", "/message", numberedNote(1), 200},
		{"POST", "/message", "x", 400},
		{"POST", "/messages", "", 400},
		{"GET", "/messages", "", 200},
		{"GET", "/messages?limit=0", "", 400},
		{"GET", "/messages?log=other", "", 410},
		{"GET", "/messages/stream?after=x", "", 400},
		{"GET", "/nothing", "", 404},
		{"PUT", "/message", "x", 405},
	} {
		for _, accept := range []string{"*/*", "application/json", ndjson, "text/html"} {
			t.Run(fmt.Sprint(row.method, " ", row.path, " ", accept), func(t *testing.T) {
				got := s.do(t, row.method, row.path, row.body, "Accept: "+accept)
				if row.path == "/messages" && row.method == "POST" {
					assert.Equal(t, row.status, got.status)
					return // a batch's answer is always JSON
				}
				assert.Equal(t, row.status, got.status, got.body)
				assert.Equal(t, []string{"Accept"}, got.header.Values("Vary"))
			})
		}
	}
}

// rowsLog has rows that no client could have sent: somebody, or a bad disk, changed
// them.
type rowsLog struct{ apptest.FakeStore }

var oddRows = []app.Entry{
	{Seq: 1, Message: app.Message{Callsign: "A\"\\\n\x00\xff", Type: "</b>\r\n", Data: []byte(`{}`)}},
	{Seq: 2, Message: app.Message{Callsign: "G8XYZ", Type: app.ListenerInfo, Data: []byte(`{"name":`)}},
	{Seq: 3, Message: app.Message{Callsign: "G8XYZ", Type: app.ListenerInfo, Data: []byte("{\n\"name\":\r1}")}},
	{Seq: 4, Message: app.Message{Callsign: "G8XYZ", Type: app.ListenerInfo}},
	{Seq: 5, Message: app.Message{Callsign: "G8XYZ", Type: app.ListenerInfo, Data: []byte("\"\xff\xfe\"")}},
}

func (*rowsLog) Read(_ context.Context, q app.Query) (app.Page, error) {
	page := app.Page{Log: "memory", Oldest: 1, Next: int64(len(oddRows))}
	for _, entry := range oddRows {
		if entry.Seq > q.After && !q.Last {
			page.Entries = append(page.Entries, entry)
		}
	}
	return page, nil
}

// A damaged row does not break the page, the line or the event that it stands in.
func TestRowsAreEscaped(t *testing.T) {
	s := startOn(t, &rowsLog{})
	assertEntry := func(text string, i int) {
		t.Helper()
		var got struct{ Seq int64 }
		assert.True(t, utf8.ValidString(text), "%q", text)
		require.NoError(t, json.Unmarshal([]byte(text), &got), "%q", text)
		assert.EqualValues(t, i+1, got.Seq)
	}
	var page struct{ Messages []struct{ Seq int64 } }
	require.NoError(t, json.Unmarshal([]byte(s.do(t, "GET", "/messages", "").body), &page))
	assert.Len(t, page.Messages, len(oddRows))

	lines := strings.Split(strings.TrimSuffix(s.do(t, "GET", "/messages", "", "Accept: "+ndjson).body, "\n"), "\n")
	require.Len(t, lines, len(oddRows))
	stream := s.mustFollow(t, "/messages/stream?after=0")
	for i, line := range lines {
		assertEntry(line, i)
		event, err := stream.next()
		require.NoError(t, err)
		assertEntry(event.data, i)
	}
}
