package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/feed"
	"github.com/windsock-scgi/windsock/app/habitat/habitattest"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

// sample is the envelope of MESSAGES.md, and note one that each test may vary.
const (
	sample = `{"callsign": "G8XYZ", "type": "RECEIVED_TELEM", "time_created": 1301774389, "time_uploaded": 1301774390,
 "data": {"string": "JCRLSVRFNyw0MiwwOToxNTozMCw1Mi4yMDgxNCwwLjA5MTIwLDE4NzMsNC4yLDE4LjUqQjVEQw==", "frequency": 434650000.0}}`
	note = `{"callsign":"%s","type":"LISTENER_INFO","time_created":%d,"time_uploaded":%d,"data":{"name":"%s"}}`
)

// service is the application over a real store and a real socket.
type service struct {
	*scgitest.Server
	log       app.Store
	committer *commit.Committer
	tail      *feed.Tail
}

func start(t testing.TB) *service {
	t.Helper()
	log, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	return startOn(t, log)
}

func startOn(t testing.TB, log app.Store) *service {
	t.Helper()
	tail := &feed.Tail{Log: log}
	require.NoError(t, tail.Start(t.Context()))
	committer := &commit.Committer{Log: log, Committed: tail.Committed}
	s := scgitest.NewServer(scgi.StripMount("", &web.Handler{Log: log, Committer: committer, Tail: tail, Version: "test"}))
	t.Cleanup(func() {
		tail.Drain()
		s.Close()
		assert.NoError(t, committer.Close(context.Background()))
		tail.Close()
	})
	return &service{s, log, committer, tail}
}

// reply is what a client sees.
type reply struct {
	status int
	header http.Header
	body   string
}

// raw sends a request byte for byte and reads the answer.
func (s *service) raw(t *testing.T, request []byte) reply {
	t.Helper()
	got, err := s.Send(request)
	require.NoError(t, err)
	resp, err := scgi.ReadResponse(bufio.NewReader(bytes.NewReader(got)), nil)
	require.NoError(t, err, "%q", got)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// do sends a request with header fields given as "Name: value".
func (s *service) do(t *testing.T, method, path, body string, fields ...string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, "http://windsock"+path, reader)
	require.NoError(t, err)
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Add(name, value)
	}
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{resp.StatusCode, resp.Header, string(got)}
}

func (s *service) stored(t *testing.T) []app.Entry {
	t.Helper()
	page, err := s.log.Read(context.Background(), app.Query{Limit: 1000})
	require.NoError(t, err)
	return page.Entries
}

// TestWhatAClientSees holds the first table of MESSAGES.md, row by row.
func TestWhatAClientSees(t *testing.T) {
	s := start(t)
	const text = "text/plain; charset=utf-8"
	notFound := "Action not found. Try one of these: message, messages, messages/stream\n"
	for _, row := range []struct {
		name, method, path, body string
		fields                   []string
		status                   int
		contentType, want        string // want is a part of the body
	}{
		{"info", "GET", "/", "", nil, 200, text, "POST message"},
		{"info by HEAD", "HEAD", "/", "", nil, 200, text, ""},
		{"status page", "GET", "/", "", []string{"Accept: text/html,*/*;q=0.8"}, 200, "text/html; charset=utf-8", "taking in"},
		{"a browser's q=0", "GET", "/", "", []string{"Accept: text/html;q=0, */*"}, 200, text, "POST message"},
		{"valid", "POST", "/message", sample, nil, 200, text, "OK"},
		{"the type does not matter", "POST", "/message", sample, []string{"Content-Type: application/x-www-form-urlencoded"}, 200, text, "OK"},
		{"receipt", "POST", "/message", sample, []string{"Accept: application/json"}, 200, "application/json", `"duplicate":true`},
		{"POST to /", "POST", "/", sample, nil, 405, text, "GET and HEAD"},
		{"GET /message", "GET", "/message", "", nil, 405, text, "POST"},
		{"HEAD /message", "HEAD", "/message", "", nil, 405, text, ""},
		{"DELETE /messages", "DELETE", "/messages", "", nil, 405, text, "GET and HEAD"},
		{"method in lower case", "post", "/message", sample, nil, 405, text, "POST"},
		{"unknown path", "GET", "/nothing", "", nil, 404, text, notFound},
		{"unknown path, any method", "BREW", "/message/", sample, nil, 404, text, notFound},
		{"path in another case", "POST", "/Message", sample, nil, 404, text, notFound},
		{"no JSON", "POST", "/message", "callsign=G8XYZ", nil, 400, text, "byte"},
		{"no body", "POST", "/message", "", nil, 400, text, ""},
		{"not valid", "POST", "/message", `{"callsign":"G8XYZ"}`, nil, 400, text, "required"},
		{"not valid, as JSON", "POST", "/message", `{"callsign":"G8XYZ"}`, []string{"Accept: application/json"}, 400, "application/problem+json", `"status":400`},
		{"not found, as JSON", "GET", "/nothing", "", []string{"Accept: text/html;q=0.5, application/json"}, 404, "application/problem+json", `"detail":"Action not found`},
		{"an encoding that is not taken", "POST", "/message", sample, []string{"Content-Encoding: br"}, 415, text, "Content-Encoding"},
		{"identity", "POST", "/message", sample, []string{"Content-Encoding: identity"}, 200, text, "OK"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(s.stored(t))
			got := s.do(t, row.method, row.path, row.body, row.fields...)
			assert.Equal(t, row.status, got.status, got.body)
			assert.Equal(t, row.contentType, got.header.Get("Content-Type"))
			assert.Contains(t, got.body, row.want)
			if row.want == "OK" {
				assert.Equal(t, "OK", got.body, "exactly OK, no newline")
			}
			if row.status == 405 {
				assert.Contains(t, []string{"POST", "GET, HEAD", "GET, HEAD, POST"}, got.header.Get("Allow"))
			}
			if row.status >= 400 {
				assert.Len(t, s.stored(t), before, "nothing is stored")
			}
		})
	}
	assert.Len(t, s.stored(t), 1, "the sample, once")
}

// An empty PATH_INFO is the mount itself, and one that is missing is found in
// REQUEST_URI.
func TestPathInfo(t *testing.T) {
	s := start(t)
	for _, row := range []struct {
		name, uri string
		vars      []string
		want      string
	}{
		{"empty", "/habitat", []string{"SCRIPT_NAME", "/habitat", "PATH_INFO", ""}, "POST message"},
		{"missing", "/nothing", nil, "Action not found"},
		{"missing, under SCRIPT_NAME", "/habitat/", []string{"SCRIPT_NAME", "/habitat"}, "POST message"},
		{"missing, with a query", "/?x=/messages", nil, "POST message"},
		{"encoded (Apache)", "/habitat/%6d%65ssages", []string{"PATH_INFO", "/%6d%65ssages"}, `"messages":[]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := s.raw(t, scgitest.Request("", append([]string{"CONTENT_LENGTH", "0", "SCGI", "1",
				"REQUEST_METHOD", "GET", "REQUEST_URI", row.uri}, row.vars...)...))
			assert.Contains(t, got.body, row.want)
		})
	}
}

// TestEveryMessage posts every row of testdata/messages/cases.json and compares
// the answer and what is stored.
func TestEveryMessage(t *testing.T) {
	s := start(t)
	earliest := time.Now().Unix() // once: some cases are one message, stored as the first one's
	for _, c := range habitattest.ReadCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			got := s.raw(t, scgitest.Request(string(c.Bytes()),
				"CONTENT_LENGTH", strconv.Itoa(len(c.Bytes())), "SCGI", "1", "REQUEST_METHOD", "POST",
				"REQUEST_URI", "/message", "PATH_INFO", "/message", "REMOTE_ADDR", c.RemoteAddress()))
			require.Equal(t, c.Status, got.status, got.body)
			if c.Status != http.StatusOK {
				assert.Contains(t, got.body, c.Error)
				return
			}
			assert.Equal(t, "OK", got.body)
			m := s.find(t, c)
			assert.Equal(t, c.Want.Data, string(m.Data))
			assert.Equal(t, c.Want.Type, m.Type)
			assert.GreaterOrEqual(t, m.TimeUploaded, earliest)
			assert.LessOrEqual(t, m.TimeUploaded, time.Now().Unix())
		})
	}
}

// find finds the stored form of a case among all that is stored: cases that are
// one message are stored once, as the first one's.
func (s *service) find(t *testing.T, c habitattest.Case) app.Entry {
	t.Helper()
	for _, m := range s.stored(t) {
		if m.Callsign == c.Want.Callsign && string(m.Data) == c.Want.Data && m.ClientCreated == c.Want.ClientCreated &&
			m.Type == c.Want.Type {
			return m
		}
	}
	require.Fail(t, "not stored", "%s %s", c.Want.Callsign, c.Want.Data)
	return app.Entry{}
}

func TestRetryIsStoredOnce(t *testing.T) {
	s := start(t)
	type receipt struct {
		Seq       int64
		ID        string
		Duplicate bool
	}
	post := func(body string) (r receipt) {
		got := s.do(t, "POST", "/message", body, "Accept: application/json")
		require.Equal(t, 200, got.status, got.body)
		require.NoError(t, json.Unmarshal([]byte(got.body), &r))
		return r
	}
	first := post(sample)
	assert.Equal(t, int64(1), first.Seq)
	assert.Len(t, first.ID, 32)
	assert.False(t, first.Duplicate)

	retry := post(strings.Replace(sample, "1301774390", "1301779999", 1)) // a new time_uploaded
	assert.Equal(t, receipt{first.Seq, first.ID, true}, retry)
	same := post(strings.Replace(sample, "434650000.0", `"434650000"`, 1))
	assert.Equal(t, receipt{first.Seq, first.ID, true}, same)
	other := post(strings.Replace(sample, "1301774389", "1301774388", 1)) // another time_created
	assert.Equal(t, int64(2), other.Seq)
	assert.NotEqual(t, first.ID, other.ID)
	assert.Len(t, s.stored(t), 2)
}

func TestBodyLimit(t *testing.T) {
	s := start(t)
	message := fmt.Sprintf(note, "G8XYZ", 1, 1, "Alice")
	exactly := message + strings.Repeat(" ", 1<<20-len(message))
	got := s.do(t, "POST", "/message", exactly)
	assert.Equal(t, 200, got.status, got.body)
	got = s.do(t, "POST", "/message", exactly+" ")
	assert.Equal(t, 413, got.status)
	assert.Contains(t, got.body, "1048576")
	got = s.do(t, "POST", "/message", strings.Repeat(" ", 30<<20))
	assert.Equal(t, 413, got.status)
	assert.Len(t, s.stored(t), 1)
}

func TestBodyThatEndsEarly(t *testing.T) {
	s := start(t)
	conn, err := s.Dial()
	require.NoError(t, err)
	defer conn.Close()
	whole := scgitest.Post("/message", sample)
	_, err = conn.Write(whole[:len(whole)-1])
	require.NoError(t, err)
	require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(got), "Status: 400 ")
	assert.Empty(t, s.stored(t))
}

// lateBody is one of which the rest does not arrive in time.
type lateBody struct{}

func (lateBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestBodyThatIsLate(t *testing.T) {
	w := httptest.NewRecorder()
	(&web.Handler{}).ServeHTTP(w, httptest.NewRequest("POST", "/message", lateBody{}))
	assert.Equal(t, 408, w.Code)
}

func TestReading(t *testing.T) {
	s := start(t)
	for i := range 25 {
		callsign := []string{"G8XYZ", "M0ABC"}[i%2]
		got := s.do(t, "POST", "/message", fmt.Sprintf(note, callsign, 1000+i, 1000+i, "n"+strconv.Itoa(i)))
		require.Equal(t, 200, got.status)
	}
	type page struct {
		Log      string
		Oldest   int64
		Messages []struct {
			Seq                       int64
			ID, Callsign, Type        string
			TimeCreated, TimeUploaded int64
			Data                      json.RawMessage
		}
		Next int64
	}
	read := func(query string) (p page) {
		got := s.do(t, "GET", "/messages"+query, "")
		require.Equal(t, 200, got.status, got.body)
		assert.Equal(t, "application/json", got.header.Get("Content-Type"))
		assert.NotContains(t, got.body, "address", "readers get no addresses")
		require.NoError(t, json.Unmarshal([]byte(got.body), &p))
		return p
	}
	seqs := func(p page) (seqs []int64) {
		for _, m := range p.Messages {
			seqs = append(seqs, m.Seq)
		}
		return seqs
	}
	all := read("")
	require.Len(t, all.Messages, 25)
	assert.Equal(t, int64(1), all.Oldest)
	assert.Equal(t, int64(25), all.Next)
	assert.NotEmpty(t, all.Log)
	assert.JSONEq(t, `{"name":"n0"}`, string(all.Messages[0].Data))

	assert.Equal(t, []int64{1, 2, 3}, seqs(read("?limit=3")))
	assert.Equal(t, []int64{24, 25}, seqs(read("?after=23")))
	assert.Equal(t, int64(25), read("?after=25").Next, "at the end next stays")
	assert.Equal(t, []int64{24, 25}, seqs(read("?last=2")))
	assert.Equal(t, []int64{2, 4}, seqs(read("?callsign=m0abc&limit=2")))
	assert.Empty(t, read("?type=TELEM").Messages)
	assert.Equal(t, int64(25), read("?type=TELEM").Next, "next moves on over what the filter hides")
	assert.Len(t, read("?type=LISTENER_INFO&limit=99999").Messages, 25)
	assert.Len(t, read("?limit=99999999999999999999").Messages, 25)
	assert.Len(t, read("?log="+all.Log).Messages, 25)
	for _, query := range []string{"?after=x", "?after=-1", "?limit=0", "?limit=", "?last=0", "?last=1.5", "?limit=-3",
		"?after=5%zz", "?after=1;limit=1", "?after=1&after=x", "?limit=1&limit=1", "?after=1&call%22sign=X", "?type=NONSENSE",
		"?type=LISTENER_INFO&type=LISTENER_TELEM", "?Limit=1"} {
		assert.Equal(t, 400, s.do(t, "GET", "/messages"+query, "").status, query)
		if strings.HasPrefix(query, "?after") {
			assert.Equal(t, 400, s.do(t, "GET", "/messages/stream"+query, "").status, query)
		}
	}
	for _, query := range []string{"?log=other", "?after=26", "?after=26&log=" + all.Log, "?after=99999999999999999999"} {
		assert.Equal(t, 410, s.do(t, "GET", "/messages"+query, "").status, query)
	}
	assert.Contains(t, s.do(t, "GET", "/messages?callsing=M0ABC", "").body, `"callsing"`, "a fault is named")
	assert.Contains(t, s.do(t, "GET", "/messages?type=telem", "").body, `"telem"`)

	lines := s.do(t, "GET", "/messages?limit=2", "", "Accept: application/x-ndjson")
	assert.Equal(t, "application/x-ndjson", lines.header.Get("Content-Type"))
	require.Equal(t, 2, strings.Count(lines.body, "\n"))
	assert.Equal(t, `<?after=2&limit=2&log=`+all.Log+`>; rel="next"`, lines.header.Get("Link"))
	for line := range strings.Lines(lines.body) {
		assert.True(t, json.Valid([]byte(line)), line)
	}
}

// failingLog refuses to store, in the way that it is told.
type failingLog struct {
	app.Store
	err error
}

func (l failingLog) Append([]app.Message) ([]app.Receipt, error) { return nil, l.err }

func TestWhatCannotBeStored(t *testing.T) {
	secret := errors.New("/var/lib/secret: I/O error")
	for _, row := range []struct {
		name   string
		err    error
		status int
	}{
		{"disk full", fmt.Errorf("%w: %w", app.ErrDiskFull, secret), 507},
		{"log failed", fmt.Errorf("%w: %w", app.ErrStoreFailed, secret), 503},
		{"anything else", secret, 503},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := startOn(t, failingLog{&apptest.MemoryStore{}, row.err})
			got := s.do(t, "POST", "/message", sample)
			assert.Equal(t, row.status, got.status)
			assert.NotContains(t, got.body, "secret")
			if row.status == 503 {
				seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
				require.NoError(t, err)
				assert.Positive(t, seconds)
			}
		})
	}
}

func TestMoreThanTheQueueTakes(t *testing.T) {
	log := apptest.BlockedStore{Store: &apptest.MemoryStore{}, Began: make(chan struct{}), Release: make(chan struct{})}
	s := startOn(t, log)
	s.committer.MaxMessages = 1
	first := make(chan reply)
	go func() { first <- s.do(t, "POST", "/message", fmt.Sprintf(note, "A", 1, 1, "a")) }()
	<-log.Began
	got := s.do(t, "POST", "/message", fmt.Sprintf(note, "B", 1, 1, "b"), "Accept: application/json")
	assert.Equal(t, 503, got.status)
	assert.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	assert.NotEmpty(t, got.header.Get("Retry-After"))
	close(log.Release)
	assert.Equal(t, 200, (<-first).status)
}

// The status page shows what strangers sent: as text.
func TestStatusPageEscapes(t *testing.T) {
	s := start(t)
	got := s.do(t, "POST", "/message", fmt.Sprintf(note, "G8XYZ", 1, 1, "<script>alert(1)</script>"))
	require.Equal(t, 200, got.status, got.body)
	page := s.do(t, "GET", "/", "", "Accept: text/html")
	assert.NotContains(t, page.body, "<script>alert")
	assert.Contains(t, page.body, "&lt;script&gt;")
}
