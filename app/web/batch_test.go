package web_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/apptest"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/app/sqlite/sqlitetest"
	"github.com/windsock-scgi/windsock/app/web"
	"github.com/windsock-scgi/windsock/scgi"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

const (
	ndjson = "application/x-ndjson"
	asJSON = "application/json"
)

// batchReply is what a client sees of a batch.
type batchReply struct {
	code                       int
	retryAfter                 string
	Stored, Duplicate, Invalid int
	Results                    []struct {
		Index  int
		Status string
		Seq    int64
		ID     string
		Error  string
	}
	Error string
	Index *int
}

func (r *batchReply) counts() [3]int { return [3]int{r.Stored, r.Duplicate, r.Invalid} }

// checked reports a shape that contradicts itself.
func (r *batchReply) checked(t *testing.T) *batchReply {
	t.Helper()
	counts := map[string]int{}
	for i, result := range r.Results {
		require.Equal(t, i, result.Index)
		counts[result.Status]++
		if result.Status == "invalid" {
			require.NotEmpty(t, result.Error)
			require.Zero(t, result.Seq)
			require.Empty(t, result.ID)
		} else {
			require.Positive(t, result.Seq)
			require.Len(t, result.ID, 32)
		}
	}
	delete(counts, "")
	want := map[string]int{}
	for i, status := range []string{"stored", "duplicate", "invalid"} {
		if n := r.counts()[i]; n > 0 {
			want[status] = n
		}
	}
	require.Equal(t, want, counts)
	require.Equal(t, r.Error != "", r.Index != nil)
	if r.Index != nil {
		require.Equal(t, len(r.Results), *r.Index)
	}
	return r
}

// parseBatch reads an answer that has a batch's shape.
func parseBatch(t *testing.T, got reply) *batchReply {
	t.Helper()
	require.Equal(t, asJSON, got.header.Get("Content-Type"), "%d %s", got.status, got.body)
	r := &batchReply{code: got.status, retryAfter: got.header.Get("Retry-After")}
	require.NoError(t, json.Unmarshal([]byte(got.body), r))
	require.Contains(t, got.body, `"results":[`)
	return r.checked(t)
}

// batchRequest is a batch as SCGI has it.
func batchRequest(contentType, encoding, body string) []byte {
	return scgitest.Request(body, "CONTENT_LENGTH", strconv.Itoa(len(body)), "SCGI", "1",
		"REQUEST_METHOD", "POST", "REQUEST_URI", "/messages", "PATH_INFO", "/messages", "REMOTE_ADDR", "192.0.2.7",
		"CONTENT_TYPE", contentType, "HTTP_CONTENT_ENCODING", encoding)
}

func (s *service) batch(t *testing.T, contentType, body string) *batchReply {
	t.Helper()
	return parseBatch(t, s.raw(t, batchRequest(contentType, "", body)))
}

// encode applies a Content-Encoding.
func encode(t testing.TB, encoding, body string) string {
	t.Helper()
	var encoded bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		var err error
		w, err = gzip.NewWriterLevel(&encoded, gzip.BestSpeed)
		require.NoError(t, err)
	case "zstd":
		var err error
		w, err = zstd.NewWriter(&encoded, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		require.NoError(t, err)
	default:
		return body
	}
	_, err := io.WriteString(w, body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return encoded.String()
}

// numberedNote is a valid message that n alone tells from the others.
func numberedNote(n int) string { return fmt.Sprintf(note, "G8XYZ", n, n, "n"+strconv.Itoa(n)) }

func numberedNotes(first, last int) (notes []string) {
	for n := first; n <= last; n++ {
		notes = append(notes, numberedNote(n))
	}
	return notes
}

func TestBatch(t *testing.T) {
	a, b, c := numberedNote(1), numberedNote(2), numberedNote(3)
	pretty := strings.ReplaceAll(a, ",", ",\n")
	for _, row := range []struct {
		name, contentType, body string
		status                  int
		stored, dup, invalid    int
		fault                   string
	}{
		{"array", asJSON, "[" + a + "," + b + "]", 200, 2, 0, 0, ""},
		{"array, a parameter", "Application/JSON; charset=utf-8", "[" + a + "]", 200, 1, 0, 0, ""},
		{"array, undeclared", "", " [" + a + "]\n", 200, 1, 0, 0, ""},
		{"array, curl's type", "application/x-www-form-urlencoded", "[" + a + "]", 200, 1, 0, 0, ""},
		{"lines", ndjson, a + "\n\n" + b + "\r\n" + c, 200, 3, 0, 0, ""},
		{"lines, undeclared", "", a + "\n" + b + "\n", 200, 2, 0, 0, ""},
		{"one object", asJSON, pretty, 200, 1, 0, 0, ""},
		{"one object, undeclared", "text/plain", pretty, 200, 1, 0, 0, ""},
		{"twice the same", asJSON, "[" + a + "," + b + "," + a + "]", 200, 2, 1, 0, ""},
		{"empty array", asJSON, "[]", 200, 0, 0, 0, ""},
		{"empty array, undeclared", "", " [ ]", 200, 0, 0, 0, ""},
		{"no bytes for lines", ndjson, "", 400, 0, 0, 0, "empty"},
		{"blank lines", ndjson, "\n\n", 200, 0, 0, 0, ""},
		{"no bytes for an array", asJSON, "", 400, 0, 0, 0, "empty"},
		{"no bytes, undeclared", "", "", 400, 0, 0, 0, "empty"},
		{"one of three is invalid", asJSON, "[" + a + `,{"callsign":"G8XYZ"},` + b + "]", 200, 2, 0, 1, ""},
		{"items that are no objects", asJSON, "[" + a + `,null,[],1,"x",` + b + "]", 200, 2, 0, 4, ""},
		{"a repeated name is invalid", asJSON, `[{"a":1,"a":1},` + a + "]", 200, 1, 0, 1, ""},
		{"invalid UTF-8 is invalid", asJSON, "[\"\xff\"," + a + "]", 200, 1, 0, 1, ""},
		{"none is valid", asJSON, `[{},{}]`, 400, 0, 0, 2, ""},
		{"no line is valid", ndjson, "{}\nx", 400, 0, 0, 2, ""},
		{"no object", "", "hello", 400, 0, 0, 1, ""},
		{"a broken line", ndjson, a + "\n" + b[:len(b)-1] + "\n" + c, 200, 2, 0, 1, ""},
		{"an array as a line", ndjson, "[" + a + "]\n" + a, 200, 1, 0, 1, ""},
		{"objects that follow one another are no JSON", asJSON, a + "\n" + b, 400, 0, 0, 1, ""},
		{"broken midway", asJSON, "[" + a + `,{"a":},` + b + "]", 400, 1, 0, 0, "JSON error at byte"},
		{"wrong bracket midway", asJSON, "[" + a + `,{"a":[1},` + b + "]]", 400, 1, 0, 0, "JSON error at byte"},
		{"broken off", asJSON, "[" + a + "," + b, 400, 2, 0, 0, "the array has no end"},
		{"broken off in an item", asJSON, "[" + a + "," + b[:50], 400, 1, 0, 0, "the array has no end"},
		{"a comma too many", asJSON, "[" + a + ",]", 400, 1, 0, 0, "invalid character ','"},
		{"after the end", asJSON, "[" + a + "]" + b, 400, 1, 0, 0, "goes on after its value"},
		{"invalid, then broken", asJSON, `[{},` + a + `,nul`, 400, 1, 0, 1, "the array has no end"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := start(t)
			got := s.batch(t, row.contentType, row.body)
			assert.Equal(t, row.status, got.code)
			assert.Equal(t, [3]int{row.stored, row.dup, row.invalid}, got.counts())
			assert.Len(t, s.stored(t), row.stored)
			if row.fault == "" {
				assert.Empty(t, got.Error)
			} else {
				assert.Contains(t, got.Error, row.fault)
			}
		})
	}
}

// A batch's results are those that the messages get one by one.
func TestBatchResults(t *testing.T) {
	s := start(t)
	require.Equal(t, 200, s.do(t, "POST", "/message", numberedNote(1)).status)
	got := s.do(t, "POST", "/messages", "["+numberedNote(1)+`,{"callsign":"?"},`+numberedNote(2)+"]",
		"Content-Type: application/json", "Idempotency-Key: means nothing")
	stored := s.stored(t)
	require.Len(t, stored, 2)
	assert.JSONEq(t, fmt.Sprintf(`{"stored":1,"duplicate":1,"invalid":1,"results":[
		{"index":0,"status":"duplicate","seq":1,"id":"%s"},
		{"index":1,"status":"invalid","error":"type: is required"},
		{"index":2,"status":"stored","seq":2,"id":"%s"}]}`, stored[0].ID, stored[1].ID), got.body)
	empty := s.do(t, "POST", "/messages", "[]")
	assert.Equal(t, `{"stored":0,"duplicate":0,"invalid":0,"results":[]}`+"\n", empty.body)
}

// A batch of no bytes was lost before it was encoded, perhaps.
func TestBatchOfNoBytesEncoded(t *testing.T) {
	s := start(t)
	const emptyFrame = "\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00" // the encoder in encode makes no frame of nothing
	for encoding, body := range map[string]string{"gzip": encode(t, "gzip", ""), "zstd": emptyFrame} {
		got := s.raw(t, batchRequest(ndjson, encoding, body))
		assert.Equal(t, 400, got.status, encoding)
		assert.Contains(t, got.body, "The body is empty", encoding)
	}
}

// However a batch is written, encoded and cut on its way, the results are the
// same.
func TestBatchAnyWay(t *testing.T) {
	s := start(t)
	used := 0 // each time it is other messages, in the same pattern
	for seed := range uint64(4) {
		for _, contentType := range []string{asJSON, ndjson, ""} {
			for _, encoding := range []string{"", "identity", "gzip", "X-GZIP", "zstd"} {
				random := rand.New(rand.NewPCG(seed, 1))
				items, want := randomItems(random, used)
				used += len(items)
				body := strings.Join(items, "\n")
				if contentType == asJSON {
					body = "[" + strings.Join(items, " ,\n") + "]"
				}
				request := batchRequest(contentType, encoding,
					encode(t, strings.TrimPrefix(strings.ToLower(encoding), "x-"), body))
				answer, err := s.Send(scgitest.Split(request, 1+random.IntN(len(request)))...)
				require.NoError(t, err)
				got := parseBatch(t, readReply(t, answer))
				assert.Equal(t, 200, got.code)
				var statuses []string
				for _, result := range got.Results {
					statuses = append(statuses, result.Status)
				}
				assert.Equal(t, want, statuses, "%d %s %s", seed, contentType, encoding)
			}
		}
	}
}

func readReply(t *testing.T, answer []byte) reply {
	t.Helper()
	resp, err := scgi.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	require.NoError(t, err, "%q", answer)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{resp.StatusCode, resp.Header, string(body)}
}

// randomItems returns items on one line each, numbered from base on, and what
// becomes of them. The first one is valid.
func randomItems(random *rand.Rand, base int) (items, want []string) {
	items, want = numberedNotes(base, base), []string{"stored"}
	for n := range 30 {
		switch random.IntN(4) {
		case 0:
			items, want = append(items, items[0]), append(want, "duplicate")
		case 1:
			items, want = append(items, `{"callsign":"]}\"","type":[{}]}`), append(want, "invalid")
		default:
			items, want = append(items, numberedNote(base+n+1)), append(want, "stored")
		}
	}
	return items, want
}

func TestBatchEncodingFaults(t *testing.T) {
	s := start(t)
	body := "[" + numberedNote(1) + "," + numberedNote(2) + "]"
	zipped, compressed := encode(t, "gzip", body), encode(t, "zstd", body)
	wide, err := zstd.NewWriter(nil, zstd.WithWindowSize(16<<20))
	require.NoError(t, err)
	var wideBody bytes.Buffer
	wide.Reset(&wideBody)
	_, err = wide.Write(bytes.Repeat([]byte(body+"\n"), 1000))
	require.NoError(t, err)
	require.NoError(t, wide.Flush())
	_, err = wide.Write([]byte(body))
	require.NoError(t, err)
	require.NoError(t, wide.Close())
	for _, path := range []string{"/message", "/messages"} {
		for _, row := range []struct {
			name, encoding, body string
			status               int
		}{
			{"unknown", "br", body, 415},
			{"two", "gzip, zstd", body, 415},
			{"not gzip", "gzip", body, 400},
			{"not zstd", "zstd", body, 400},
			{"the other one", "zstd", zipped, 400},
			{"no gzip", "gzip", "", 400},
			{"no zstd", "zstd", "", 400},
			{"gzip without its end", "gzip", zipped[:len(zipped)-4], 400},
			{"zstd without its end", "zstd", compressed[:len(compressed)-2], 400},
			{"something after gzip", "gzip", zipped + "x", 400},
			{"something after zstd", "zstd", compressed + "x", 400},
			{"damaged gzip", "gzip", zipped[:len(zipped)-8] + "x" + zipped[len(zipped)-7:], 400},
			{"damaged zstd", "zstd", compressed[:len(compressed)-1] + "\x00", 400},
			{"a window too large", "zstd", wideBody.String(), 400},
		} {
			t.Run(path+" "+row.name, func(t *testing.T) {
				request := bytes.ReplaceAll(batchRequest("", row.encoding, row.body), []byte("/messages"), []byte(path))
				if path == "/message" { // the netstring's length has changed with it
					request = scgitest.Request(row.body, "CONTENT_LENGTH", strconv.Itoa(len(row.body)), "SCGI", "1",
						"REQUEST_METHOD", "POST", "REQUEST_URI", path, "PATH_INFO", path,
						"REMOTE_ADDR", "192.0.2.7", "HTTP_CONTENT_ENCODING", row.encoding)
				}
				got := s.raw(t, request)
				assert.Equal(t, row.status, got.status, got.body)
				if row.status == 415 {
					assert.Equal(t, "gzip, zstd, identity", got.header.Get("Accept-Encoding"))
				}
			})
		}
	}
	for _, encoding := range []string{"gzip", "zstd"} {
		got := s.do(t, "POST", "/message", encode(t, encoding, numberedNote(9)), "Content-Encoding: "+encoding)
		assert.Equal(t, reply{200, got.header, "OK"}, got)
		joined := encode(t, encoding, "["+numberedNote(10)+",") + encode(t, encoding, numberedNote(11)+"]")
		assert.Equal(t, 200, s.raw(t, batchRequest(asJSON, encoding, joined)).status, "two members, one body")
	}
}

// What is over a limit is refused, and what came before it stays.
func TestBatchLimits(t *testing.T) {
	one := numberedNote(1)
	bomb := one + "\n" + strings.Repeat("x", 16<<20)
	long := `{"callsign":"` + strings.Repeat("A", 1<<20) + `"}`
	items := strings.Join(numberedNotes(1, 10_000), "\n")
	for _, row := range []struct {
		name, contentType, encoding, body string
		status                            int
		stored, invalid                   int
		fault                             string
	}{
		{"all that may be on the wire", ndjson, "", bomb[:4<<20], 200, 1, 1, ""},
		{"all that may be decoded", ndjson, "gzip", bomb[:16<<20], 200, 1, 1, ""},
		{"gzip bomb", ndjson, "gzip", bomb, 413, 1, 0, "16777216"},
		{"zstd bomb", ndjson, "zstd", bomb, 413, 1, 0, "16777216"},
		{"gzip bomb in an item", asJSON, "gzip", `[` + one + `,"` + strings.Repeat("x", 2<<20), 413, 1, 0, "1048576"},
		{"zstd bomb in a line", ndjson, "zstd", one + "\n" + strings.Repeat("x", 2<<20), 200, 1, 1, ""},
		{"a message too long", asJSON, "", "[" + one + "," + long + "," + one + "]", 413, 1, 0, "1048576"},
		{"a line too long", ndjson, "", one + "\n" + long + "\n" + numberedNote(2), 200, 2, 1, ""},
		{"one object too long", asJSON, "", long, 413, 0, 0, "1048576"},
		{"10,000 items", ndjson, "zstd", items, 200, 10_000, 0, ""},
		{"10,001 items", asJSON, "gzip", "[" + strings.ReplaceAll(items, "\n", ",") + "," + one + "]", 413, 10_000, 0, "10000"},
		{"10,001 lines, the last one invalid", ndjson, "gzip", items + "\nx", 413, 10_000, 0, "10000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := startOn(t, &apptest.FakeStore{})
			got := parseBatch(t, s.raw(t, batchRequest(row.contentType, row.encoding, encode(t, row.encoding, row.body))))
			assert.Equal(t, row.status, got.code, got.Error)
			assert.Equal(t, [3]int{row.stored, 0, row.invalid}, got.counts())
			assert.Contains(t, got.Error, row.fault)
			assert.Equal(t, row.stored, int(s.committer.Stats().Messages))
			assert.LessOrEqual(t, s.committer.Stats().Commits, int64(27), "few commits")
		})
	}
	t.Run("the wire", func(t *testing.T) {
		s := start(t)
		for _, encoding := range []string{"", "gzip", "zstd"} {
			got := s.raw(t, batchRequest(ndjson, encoding, strings.Repeat("\n", 4<<20+1)))
			assert.Equal(t, 413, got.status)
			assert.Contains(t, got.body, "4194304")
		}
		got := s.do(t, "POST", "/message", encode(t, "gzip", strings.Repeat(" ", 1<<20+1)), "Content-Encoding: gzip")
		assert.Equal(t, 413, got.status)
	})
}

// A body that ends early is answered as what it is: what came whole is stored
// and said, the rest is not.
func TestBatchCutOff(t *testing.T) {
	s := start(t)
	items := numberedNotes(1, 4)
	for _, row := range []struct{ name, contentType, encoding, body string }{
		{"array", asJSON, "", "[" + strings.Join(items, ",") + "] "},
		{"lines", ndjson, "", strings.Join(items, "\n") + "\n"},
		{"undeclared", "", "", strings.Join(items, "\n") + "\n"},
		{"gzip", asJSON, "gzip", "[" + strings.Join(items, ",") + "]"},
		{"zstd", ndjson, "zstd", strings.Join(items, "\n")},
	} {
		t.Run(row.name, func(t *testing.T) {
			request := batchRequest(row.contentType, row.encoding, encode(t, row.encoding, row.body))
			body := len(encode(t, row.encoding, row.body))
			for left := 1; left < body; left += 7 {
				got := parseCut(t, s.cutOff(t, request[:len(request)-left]))
				require.Equal(t, 400, got.status)
				if got.header.Get("Content-Type") != asJSON {
					continue // it ended before there was anything to be decoded
				}
				shape := parseBatch(t, got)
				require.Equal(t, "The body ended before its Content-Length.", shape.Error)
				require.Zero(t, shape.Invalid, "half an item is no item")
				require.Subset(t, s.ids(t), shape.ids())
			}
		})
	}
}

// cutOff sends a request, ends, and returns the answer.
func (s *service) cutOff(t *testing.T, request []byte) []byte {
	t.Helper()
	conn, err := s.Dial()
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(request)
	require.NoError(t, err)
	require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	return answer
}

func parseCut(t *testing.T, answer []byte) reply {
	t.Helper()
	require.NotEmpty(t, answer)
	return readReply(t, answer)
}

// ids are those of all that is stored.
func (s *service) ids(t *testing.T) (ids []string) {
	for _, entry := range s.stored(t) {
		ids = append(ids, entry.ID.String())
	}
	return ids
}

// ids are those that are acknowledged.
func (r *batchReply) ids() []string {
	ids := []string{}
	for _, result := range r.Results {
		if result.Status != "invalid" {
			ids = append(ids, result.ID)
		}
	}
	return ids
}

func TestBatchThatIsLate(t *testing.T) {
	for _, encoding := range []string{"", "gzip", "zstd"} {
		log := &apptest.FakeStore{}
		committer := &commit.Committer{Log: log}
		body := encode(t, encoding, numberedNote(1)+"\n"+numberedNote(2)+"\n")
		if encoding == "gzip" {
			body = encode(t, "gzip", numberedNote(1)+"\n") + body[:20]
		}
		r := httptest.NewRequest("POST", "/messages", io.MultiReader(strings.NewReader(body), lateBody{}))
		r.Header.Set("Content-Type", ndjson)
		r.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		(&web.Handler{Committer: committer}).ServeHTTP(w, r)
		assert.Equal(t, 408, w.Code, w.Body)
		assert.Contains(t, w.Body.String(), "did not arrive in time")
	}
}

// brokenOnLog stores until it is given so many messages.
type brokenOnLog struct {
	apptest.FakeStore
	after int
	err   error
}

func (l *brokenOnLog) Append(batch []app.Message) ([]app.Receipt, error) {
	if len(l.Seqs)+len(batch) > l.after {
		return nil, l.err
	}
	return l.FakeStore.Append(batch)
}

// What cannot be stored is not acknowledged; what was before is.
func TestBatchNotStored(t *testing.T) {
	secret := errors.New("/var/lib/secret: I/O error")
	items := append(numberedNotes(1, 1500), "{}")
	items = append(items, numberedNotes(1501, 2000)...)
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
			s := startOn(t, &brokenOnLog{after: 1000, err: row.err})
			got := s.batch(t, ndjson, strings.Join(items, "\n"))
			assert.Equal(t, row.status, got.code)
			assert.Equal(t, [3]int{1000, 0, 0}, got.counts())
			assert.Equal(t, row.status == 503, got.retryAfter != "")
			assert.NotContains(t, got.Error, "secret")

			s = startOn(t, &brokenOnLog{err: row.err})
			none := s.raw(t, batchRequest(ndjson, "", strings.Join(items, "\n")))
			assert.Equal(t, row.status, none.status)
			assert.Contains(t, none.header.Get("Content-Type"), "text/plain")
			assert.NotContains(t, none.body, "secret")
		})
	}
}

// A batch that finds the queue full is told so at once, and one that finds no
// room, or nobody, later is told what was stored.
func TestBatchQueueFull(t *testing.T) {
	s := startOn(t, &apptest.FakeStore{})
	s.committer.MaxBytes = 1500
	small, large := numberedNote(1), fmt.Sprintf(note, "G8XYZ", 2, 2, strings.Repeat("x", 2000))
	got := s.batch(t, asJSON, "["+small+",{},"+large+","+small+"]")
	assert.Equal(t, 503, got.code)
	assert.Equal(t, [3]int{1, 0, 1}, got.counts())
	assert.Equal(t, 2, *got.Index)
	assert.NotEmpty(t, got.retryAfter)
	assert.Contains(t, got.Error, "send it again later")

	none := s.raw(t, batchRequest(asJSON, "", "[{},"+large+"]"))
	assert.Equal(t, 503, none.status)
	assert.NotEmpty(t, none.header.Get("Retry-After"))
	assert.Contains(t, none.body, "send it again later")
	assert.NotContains(t, none.body, "results")
}

func TestBatchWhileItCloses(t *testing.T) {
	began, gate := make(chan bool), make(chan error)
	s := startOn(t, &apptest.FakeStore{Appending: func([]app.Message) error { began <- true; return <-gate }})
	s.committer.MaxMessages = 16 // groups of 2
	answer := make(chan []byte)
	go func() {
		got, err := s.Send(batchRequest(ndjson, "", strings.Join(numberedNotes(1, 5), "\n")))
		assert.NoError(t, err)
		answer <- got
	}()
	<-began
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, s.committer.Close(ended), context.Canceled, "the first group is being stored")
	gate <- nil
	got := parseBatch(t, readReply(t, <-answer))
	assert.Equal(t, 503, got.code)
	assert.Equal(t, [3]int{2, 0, 0}, got.counts())
	assert.Contains(t, got.Error, "stopping")
}

// 2,000 clients at once, a queue for half of them: the others are told to come
// again, nobody is told anything else, and what is acknowledged is durable.
func TestManyConnections(t *testing.T) {
	const clients, room = 2_000, 1_000
	release := make(chan struct{})
	path := filepath.Join(t.TempDir(), "test.db")
	log, err := sqlite.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	s := startOn(t, &heldLog{log, release})
	s.committer.MaxMessages = room
	refused := make(chan struct{}, clients)
	var mu sync.Mutex
	counts := map[int]int{}
	var acknowledged []string
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			answer, err := s.Send(scgitest.Post("/message", numberedNote(n)))
			if !assert.NoError(t, err) {
				refused <- struct{}{}
				return
			}
			got := readReply(t, answer)
			mu.Lock()
			defer mu.Unlock()
			counts[got.status]++
			if got.status == 200 {
				acknowledged = append(acknowledged, fmt.Sprintf(`{"name":"n%d"}`, n))
				return
			}
			assert.NotEmpty(t, got.header.Get("Retry-After"))
			refused <- struct{}{}
		})
	}
	for range clients - room {
		<-refused
	}
	close(release)
	wg.Wait()
	assert.Equal(t, map[int]int{200: room, 503: clients - room}, counts)
	rows, err := sqlitetest.Read(path)
	require.NoError(t, err)
	var stored []string
	for _, row := range rows {
		stored = append(stored, row.Data)
	}
	slices.Sort(acknowledged)
	slices.Sort(stored)
	assert.Equal(t, acknowledged, stored)
}

// heldLog is a log that stores nothing before it is let.
type heldLog struct {
	app.Store
	release chan struct{}
}

func (l *heldLog) Append(batch []app.Message) ([]app.Receipt, error) {
	<-l.release
	return l.Store.Append(batch)
}
