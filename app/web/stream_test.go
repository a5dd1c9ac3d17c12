package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/feed"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/app/web/webtest"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// follower reads an event stream over a real socket, as a browser does.
type follower struct {
	header http.Header
	body   io.ReadCloser
	lines  *bufio.Reader
}

// streamed is one event. What the stream ended within is none.
type streamed struct{ id, event, data string }

// follow opens a stream.
func (s *service) follow(ctx context.Context, path string, fields ...string) (*follower, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://windsock"+path, nil)
	if err != nil {
		return nil, err
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Add(name, value)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s is answered %s", path, resp.Status)
	}
	return &follower{resp.Header, resp.Body, bufio.NewReader(resp.Body)}, nil
}

func (s *service) mustFollow(t *testing.T, path string, fields ...string) *follower {
	t.Helper()
	f, err := s.follow(t.Context(), path, fields...)
	require.NoError(t, err)
	t.Cleanup(func() { f.body.Close() })
	return f
}

// next returns the next event.
func (f *follower) next() (e streamed, err error) {
	for {
		line, err := f.lines.ReadString('\n')
		if err != nil {
			return streamed{}, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, nil
			}
		default:
			return streamed{}, fmt.Errorf("the stream has a line %q", line)
		}
	}
}

// seq returns that of an event, which its id and its data agree on.
func (e streamed) seq() (int64, error) {
	var data struct{ Seq int64 }
	if err := json.Unmarshal([]byte(e.data), &data); err != nil {
		return 0, err
	}
	if _, seq, _ := strings.Cut(e.id, "."); seq != strconv.FormatInt(data.Seq, 10) || e.event != "message" {
		return 0, fmt.Errorf("this is no event of ours: %+v", e)
	}
	return data.Seq, nil
}

// nextSeq returns that of the next event.
func (f *follower) nextSeq() (int64, error) {
	e, err := f.next()
	if err != nil {
		return 0, err
	}
	return e.seq()
}

// seqs returns those of the next n events.
func (f *follower) seqs(t *testing.T, n int) (seqs []int64) {
	t.Helper()
	for range n {
		seq, err := f.nextSeq()
		require.NoError(t, err)
		seqs = append(seqs, seq)
	}
	return seqs
}

// An event's data is one line, whatever is in the message.
func TestStreamOneLine(t *testing.T) {
	s := start(t)
	f := s.mustFollow(t, "/messages/stream")
	got := s.do(t, "POST", "/message", fmt.Sprintf(note, "G8XYZ", 1, 1, `a\nb\r\nid: x.9\n\u2028\u0000`))
	require.Equal(t, 200, got.status, got.body)
	e, err := f.next()
	require.NoError(t, err)
	assert.Equal(t, s.logName(t)+".1", e.id)
	assert.True(t, json.Valid([]byte(e.data)), e.data)
	assert.NotContains(t, e.data, "\r")
}

// commit stores messages first to last as one batch, callsigns and types in turn.
func (s *service) commit(t *testing.T, first, last int) {
	t.Helper()
	var batch []app.Message
	for n := first; n <= last; n++ {
		batch = append(batch, varied(n))
	}
	receipts, err := s.log.Append(batch)
	require.NoError(t, err)
	s.tail.Committed(receipts[len(receipts)-1].Seq)
}

func varied(n int) app.Message {
	m := apptest.Numbered(n)
	m.Callsign = []string{"G8XYZ", "M0ABC"}[n%2]
	m.Type = []app.Type{app.ListenerInfo, app.ListenerTelem, app.ReceivedTelem}[n%3]
	m.ClientCreated = int64(n)
	return m
}

func (s *service) logName(t *testing.T) string {
	t.Helper()
	page, err := s.log.Read(context.Background(), app.Query{Limit: 1})
	require.NoError(t, err)
	return page.Log
}

func TestStream(t *testing.T) {
	s := start(t)
	s.commit(t, 1, 3)
	f := s.mustFollow(t, "/messages/stream")
	assert.Equal(t, "text/event-stream", f.header.Get("Content-Type"))
	assert.Equal(t, "no-store", f.header.Get("Cache-Control"))
	assert.Equal(t, "no", f.header.Get("X-Accel-Buffering"))
	assert.Empty(t, f.header.Get("Content-Length"))

	got := s.do(t, "POST", "/message", sample)
	require.Equal(t, 200, got.status)
	e, err := f.next()
	require.NoError(t, err)
	assert.Equal(t, s.logName(t)+".4", e.id, "it starts now")
	assert.Equal(t, "message", e.event)
	page := s.do(t, "GET", "/messages?after=3", "", "Accept: application/x-ndjson")
	assert.Equal(t, strings.TrimSpace(page.body), e.data, "the object of GET /messages")
	assert.NotContains(t, e.data, "address")

	got = s.do(t, "POST", "/message", sample) // stored once, so sent once
	require.Equal(t, 200, got.status)
	s.commit(t, 4, 4)
	assert.Equal(t, []int64{5}, f.seqs(t, 1))
}

func TestStreamFrom(t *testing.T) {
	const log = "LOG" // stands for the log's name
	for _, row := range []struct {
		name, query, id string
		want            []int64 // of 14, two of which come when it is open
	}{
		{"now", "", "", []int64{13, 14}},
		{"the beginning", "?after=0", "", webtest.Sequence(1, 14)},
		{"after", "?after=10", "", webtest.Sequence(11, 14)},
		{"the end", "?after=12", "", []int64{13, 14}},
		{"Last-Event-ID", "", log + ".11", webtest.Sequence(12, 14)},
		{"Last-Event-ID wins", "?after=3", log + ".11", webtest.Sequence(12, 14)},
		{"Last-Event-ID 0", "", log + ".0", webtest.Sequence(1, 14)},
		{"log", "?after=11&log=" + log, "", webtest.Sequence(12, 14)},
		{"log and Last-Event-ID", "?after=1&log=" + log, log + ".11", webtest.Sequence(12, 14)},
		{"callsign", "?after=0&callsign=m0abc", "", []int64{1, 3, 5, 7, 9, 11, 13}},
		{"type", "?after=0&type=LISTENER_INFO", "", []int64{3, 6, 9, 12}},
		{"type, now", "?type=LISTENER_TELEM", "", []int64{13}},
		{"both", "?after=0&type=LISTENER_INFO&callsign=M0ABC", "", []int64{3, 9}},
		{"both, now", "?type=RECEIVED_TELEM&callsign=G8XYZ", "", []int64{14}},
		{"nobody", "?after=0&callsign=NOBODY", "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := start(t)
			s.commit(t, 1, 12)
			f := s.mustFollow(t, "/messages/stream"+strings.ReplaceAll(row.query, log, s.logName(t)),
				"Last-Event-ID: "+strings.ReplaceAll(row.id, log, s.logName(t)))
			s.commit(t, 13, 14)
			assert.Equal(t, row.want, f.seqs(t, len(row.want)))
			// What follows for all shows that there was nothing more before it.
			witness := s.mustFollow(t, "/messages/stream")
			s.commit(t, 15, 15)
			require.Equal(t, []int64{15}, witness.seqs(t, 1))
			s.tail.Drain()
			rest, err := io.ReadAll(f.lines)
			require.NoError(t, err)
			for _, seq := range row.want {
				assert.NotContains(t, string(rest), fmt.Sprintf(".%d\n", seq))
			}
		})
	}
}

func TestStreamRefusals(t *testing.T) {
	s := start(t)
	s.commit(t, 1, 1)
	log := s.logName(t)
	for _, row := range []struct {
		name, query, id string
		status          int
	}{
		{"after", "?after=x", "", 400},
		{"last is not for streams", "?after=1&last=5", "", 400},
		{"limit is not for streams", "?after=1&limit=5", "", 400},
		{"unknown type", "?type=NONSENSE", "", 400},
		{"negative after", "?after=-1", "", 400},
		{"empty after", "?after=", "", 400},
		{"after, though Last-Event-ID wins", "?after=x", log + ".1", 400},
		{"id without a dot", "", log, 400},
		{"id without a log", "", ".1", 400},
		{"id without a seq", "", log + ".", 400},
		{"id with a sign", "", log + ".+1", 400},
		{"id below zero", "", log + ".-1", 400},
		{"id with letters", "", log + ".1a", 400},
		{"id beyond all numbers", "", log + ".9223372036854775808", 400},
		{"malformed and of another log", "", "other.x", 400},
		{"id of another log", "", "0123456789abcdef.1", 410},
		{"another log", "?log=0123456789abcdef", "", 410},
		{"another log, though the id is right", "?log=other", log + ".1", 410},
		{"after what the log ever gave", "?after=2", "", 410},
		{"id of what the log never gave", "", log + ".2", 410},
		{"beyond all numbers", "?after=99999999999999999999", "", 410},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				got := s.do(t, method, "/messages/stream"+row.query, "", "Last-Event-ID: "+row.id)
				assert.Equal(t, row.status, got.status, got.body)
				assert.Equal(t, "text/plain; charset=utf-8", got.header.Get("Content-Type"))
			}
		})
	}
	got := s.do(t, "HEAD", "/messages/stream?after=0", "")
	assert.Equal(t, 200, got.status)
	assert.Equal(t, "text/event-stream", got.header.Get("Content-Type"))
	assert.Equal(t, "no", got.header.Get("X-Accel-Buffering"))
	assert.Equal(t, 405, s.do(t, "POST", "/messages/stream", "{}").status)
	assert.Zero(t, s.tail.Stats().Subscribers)
}

// A reader of the log may know a seq before the tail is told of it.
func TestStreamAfterWhatTheTailIsNotToldOfYet(t *testing.T) {
	s := start(t)
	s.commit(t, 1, 1)
	_, err := s.log.Append([]app.Message{varied(2)})
	require.NoError(t, err)
	assert.Equal(t, 200, s.do(t, "HEAD", "/messages/stream?after=2", "").status)
	assert.Equal(t, 410, s.do(t, "HEAD", "/messages/stream?after=3", "").status)
	f := s.mustFollow(t, "/messages/stream", "Last-Event-ID: "+s.logName(t)+".2")
	s.commit(t, 3, 3)
	assert.Equal(t, []int64{3}, f.seqs(t, 1))
}

// storm stores messages from so many writers at the same time.
func (s *service) storm(t *testing.T, writers, each int) *sync.WaitGroup {
	t.Helper()
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			for i := range each {
				_, err := s.committer.Commit(context.Background(), varied(1+writer*each+i))
				assert.NoError(t, err)
			}
		})
	}
	return &all
}

// Each of many readers sees every message of a storm once and in order: those
// who were there before, those who come in its midst and want all of it, and
// those who are cut again and again and resume.
func TestStreamStorm(t *testing.T) {
	const writers, each = 8, 75
	const total = writers * each
	s := start(t)
	s.tail.MaxEvents = 100 // so that some of those who join have to catch up
	var readers sync.WaitGroup
	for range 30 {
		f := s.mustFollow(t, "/messages/stream")
		readers.Go(func() { assert.NoError(t, s.expectAll(t.Context(), f, total, total)) })
	}
	odd := s.mustFollow(t, "/messages/stream?callsign=NOBODY")
	all := s.storm(t, writers, each)
	for i := range 20 {
		readers.Go(func() {
			f, err := s.follow(t.Context(), "/messages/stream?after=0")
			if assert.NoError(t, err) {
				assert.NoError(t, s.expectAll(t.Context(), f, total, []int{total, 23 + 31*i}[i%2]))
			}
		})
	}
	all.Wait()
	readers.Wait()
	s.tail.Drain()
	rest, err := io.ReadAll(odd.lines)
	require.NoError(t, err)
	assert.Empty(t, strings.ReplaceAll(string(rest), webtest.Beat, ""))
}

// expectAll wants each message once and in order. It goes away after every part
// of them, or is ended for being slow, and resumes after the last that it saw.
func (s *service) expectAll(ctx context.Context, f *follower, total, part int) error {
	defer func() { f.body.Close() }()
	id := ""
	for seen, left := 0, part; seen < total; left-- {
		e, err := f.next()
		if err == io.EOF || left == 0 {
			f.body.Close() // what has come besides is seen again
			if f, err = s.follow(ctx, "/messages/stream?after=0", "Last-Event-ID: "+id); err != nil {
				return err
			}
			left = part + 1
			continue
		}
		if err != nil {
			return err
		}
		seen++
		if seq, err := e.seq(); err != nil || seq != int64(seen) {
			return fmt.Errorf("in place of %d: %+v, %w", seen, e, err)
		}
		id = e.id
	}
	return nil
}

// Draining ends streams over a real socket, so that a shutdown has nothing to
// wait for; whoever comes back goes on where it was.
func TestStreamShutdown(t *testing.T) {
	s := start(t)
	s.commit(t, 1, 5)
	f := s.mustFollow(t, "/messages/stream?after=2")
	idle := s.mustFollow(t, "/messages/stream")
	assert.Equal(t, []int64{3, 4, 5}, f.seqs(t, 3))
	s.tail.Drain()
	for f, want := range map[*follower]string{f: "", idle: webtest.Beat} {
		rest, err := io.ReadAll(f.lines)
		require.NoError(t, err, "it ends as a whole answer does")
		assert.Equal(t, want, string(rest))
	}
	late := s.mustFollow(t, "/messages/stream?after=0")
	rest, err := io.ReadAll(late.lines)
	require.NoError(t, err)
	assert.Empty(t, rest)
	require.NoError(t, s.Config.Shutdown(t.Context()))
}

// One whose client takes nothing is waiting in a write when the drain comes.
func TestStreamShutdownWhileWriting(t *testing.T) {
	s := start(t)
	m := apptest.Numbered(1)
	m.Data = []byte(`{"x":"` + strings.Repeat("x", 1<<20) + `"}`)
	_, err := s.committer.Commit(t.Context(), m)
	require.NoError(t, err)
	s.mustFollow(t, "/messages/stream?after=0") // more than a socket holds
	s.tail.Drain()
	require.NoError(t, s.Config.Shutdown(t.Context()))
	assert.Zero(t, s.tail.Stats().Subscribers)
}

// A client that goes away is not written to, nor counted, any more.
func TestStreamClientGoesAway(t *testing.T) {
	returned := make(chan struct{})
	tail := &feed.Tail{Log: &apptest.MemoryStore{}}
	require.NoError(t, tail.Start(t.Context()))
	defer tail.Close()
	h := &web.Handler{Log: tail.Log, Tail: tail}
	server := scgitest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(returned)
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	s := &service{Server: server, tail: tail}
	f := s.mustFollow(t, "/messages/stream")
	assert.Equal(t, 1, tail.Stats().Subscribers)
	require.NoError(t, f.body.Close())
	<-returned
	assert.Zero(t, tail.Stats().Subscribers)
}

func TestStatusPageCountsLiveReaders(t *testing.T) {
	s := start(t)
	s.mustFollow(t, "/messages/stream")
	s.mustFollow(t, "/messages/stream")
	page := s.do(t, "GET", "/", "", "Accept: text/html")
	assert.Contains(t, page.body, "<dt>live readers</dt><dd>2</dd>")
}
