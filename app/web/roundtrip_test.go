package web_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat/habitattest"
	"github.com/windsock-scgi/windsock/scgi/scgitest"
)

var seed = flag.Uint64("seed", rand.Uint64(), "what TestRoundTrip makes its messages from; random unless set")

// TestRoundTrip posts random valid messages, reads them back as the contract has
// them, and posts again what it read.
func TestRoundTrip(t *testing.T) {
	const messages = 300
	r := newRoundTrip(t)
	g := habitattest.Generator{Rand: rand.New(rand.NewPCG(*seed, 0))}
	for range messages {
		r.one(t, g)
		if t.Failed() {
			t.Fatalf("this was message %d of -seed %d", r.posted, *seed)
		}
	}
	assert.Greater(t, len(r.seqs), messages/2, "or it is the same all the time")
}

// FuzzRoundTrip is the same where a fuzzer takes the generator's choices.
func FuzzRoundTrip(f *testing.F) {
	r := newRoundTrip(f)
	for n := range uint64(20) {
		choices := make([]byte, 400)
		random := rand.New(rand.NewPCG(n, 0))
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		f.Add(choices)
	}
	f.Fuzz(func(t *testing.T, choices []byte) { r.one(t, habitattest.Fuzzed(choices)) })
}

// roundTrip is a service with what it has been sent.
type roundTrip struct {
	*service
	posted int
	seqs   map[string]int64 // by id
}

func newRoundTrip(t testing.TB) *roundTrip {
	return &roundTrip{service: start(t), seqs: map[string]int64{}}
}

// stored is a message as GET /messages gives it.
type stored struct {
	Seq          int64           `json:"seq"`
	ID           string          `json:"id"`
	Callsign     string          `json:"callsign"`
	Type         string          `json:"type"`
	TimeCreated  int64           `json:"time_created"`
	TimeUploaded int64           `json:"time_uploaded"`
	Data         json.RawMessage `json:"data"`
}

func (r *roundTrip) one(t *testing.T, g habitattest.Generator) {
	t.Helper()
	r.posted++
	m := g.Message()
	if m.Key != "" { // no two messages may have one
		m.Key = strconv.Itoa(r.posted) + m.Key
	}
	first := r.post(t, m.Body, m.Address, m.Key)
	known := r.seqs[first.id]
	if known != 0 { // chance has made it before
		require.Equal(t, receipt{known, first.id, true}, first, "%q", m.Body)
	} else {
		require.False(t, first.duplicate, "%q", m.Body)
		r.seqs[first.id] = first.seq
	}

	got, address := r.readBack(t, first.seq)
	want := habitattest.Judge([]byte(m.Body), m.Address, got.TimeUploaded)
	require.True(t, want.Valid, "%q", m.Body)
	if known != 0 { // then that one's times and address stand
		want.Created, want.Address = got.TimeCreated, address
	}
	require.Equal(t, stored{first.seq, want.ID, want.Callsign, want.Kind, want.Created, got.TimeUploaded, json.RawMessage(want.Data)},
		got, "%q", m.Body)
	require.Equal(t, want.Address, address)

	again := fmt.Sprintf(`{"callsign":%q,"type":%q,"time_created":%s,"time_uploaded":%[3]s,"data":%s}`,
		got.Callsign, got.Type, m.Created, got.Data)
	retryKey := habitattest.Pick(g, m.Key, "", "another "+strconv.Itoa(r.posted))
	require.Equal(t, receipt{first.seq, first.id, true}, r.post(t, again, g.Address(), retryKey), "%q", again)
	batched := r.batch(t, habitattest.Pick(g, ndjson, asJSON), again)
	require.Equal(t, [3]int{0, 1, 0}, batched.counts(), "%q", again)
	require.Equal(t, first.seq, batched.Results[0].Seq)
	require.Equal(t, first.id, batched.Results[0].ID)
}

// receipt is what a client that asks for JSON gets.
type receipt struct {
	seq       int64
	id        string
	duplicate bool
}

func (r *roundTrip) post(t *testing.T, body, address, key string) receipt {
	t.Helper()
	variables := []string{"CONTENT_LENGTH", strconv.Itoa(len(body)), "SCGI", "1", "REQUEST_METHOD", "POST",
		"REQUEST_URI", "/message", "REMOTE_ADDR", address, "HTTP_ACCEPT", "application/json"}
	if key != "" {
		variables = append(variables, "HTTP_IDEMPOTENCY_KEY", key)
	}
	answer := r.raw(t, scgitest.Request(body, variables...))
	require.Equal(t, 200, answer.status, "%s: %q", answer.body, body)
	var got struct {
		Seq       int64
		ID        string
		Duplicate bool
	}
	require.NoError(t, json.Unmarshal([]byte(answer.body), &got))
	return receipt{got.Seq, got.ID, got.Duplicate}
}

// readBack reads a message as clients do, and the address that they do not get.
func (r *roundTrip) readBack(t *testing.T, seq int64) (stored, string) {
	t.Helper()
	answer := r.do(t, "GET", fmt.Sprintf("/messages?after=%d&limit=1", seq-1), "")
	var page struct{ Messages []stored }
	require.NoError(t, json.Unmarshal([]byte(answer.body), &page), answer.body)
	require.Len(t, page.Messages, 1)
	entries, err := r.log.Read(t.Context(), app.Query{After: seq - 1, Limit: 1})
	require.NoError(t, err)
	require.NotEqual(t, netip.Addr{}, entries.Entries[0].Address)
	return page.Messages[0], entries.Entries[0].Address.String()
}
