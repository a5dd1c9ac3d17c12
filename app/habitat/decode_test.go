package habitat

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat/habitattest"
)

var testNow = time.Date(2011, 4, 2, 20, 0, 1, 234567890, time.UTC)

func TestDecode(t *testing.T) {
	names := map[string]bool{}
	for _, c := range habitattest.ReadCases(t) {
		require.False(t, names[c.Name], "two cases are named %q", c.Name)
		names[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			m, err := Decode(c.Bytes(), c.RemoteAddress(), testNow)
			if c.Status == 400 {
				assert.Equal(t, app.Message{}, m)
				requireInvalid(t, err, c.Pointer, c.Error)
				return
			}
			require.Equal(t, 200, c.Status)
			require.NoError(t, err)
			want := app.Message{
				ID:             m.ID,
				Callsign:       c.Want.Callsign,
				Type:           c.Want.Type,
				TimeCreated:    testNow.Unix() + c.Want.CreatedMinusNow,
				TimeUploaded:   testNow.Unix(),
				ClientCreated:  c.Want.ClientCreated,
				ClientUploaded: c.Want.ClientUploaded,
				Received:       testNow,
				Address:        c.WantAddress(),
				Data:           []byte(c.Want.Data),
			}
			assert.Equal(t, want, m, "data: %s", m.Data)
			assert.Equal(t, messageID(&want), m.ID)
		})
	}
}

// requireInvalid checks that err is fit to be shown to a client and says what
// it should.
func requireInvalid(t *testing.T, err error, pointer, reason string) {
	t.Helper()
	var invalid *app.InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, pointer, invalid.Pointer)
	require.NotEmpty(t, reason)
	assert.Contains(t, invalid.Reason, reason)
	requireShowable(t, err)
}

// requireShowable checks that what an error says is short, and text.
func requireShowable(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	require.LessOrEqual(t, len(text), 320, "%q", text)
	require.True(t, utf8.ValidString(text), "%q", text)
	require.NotContains(t, text, "\n")
	for _, r := range text {
		require.True(t, strconv.IsPrint(r), "%q", text)
	}
}

func TestInvalidErrorText(t *testing.T) {
	assert.EqualError(t, invalid("/data/latitude", "must be between %d and %d", -90, 90), "data.latitude: must be between -90 and 90")
	assert.EqualError(t, invalid("", "must be a JSON object, not null"), "must be a JSON object, not null")
	assert.EqualError(t, missing("/data/time/hour"), "data.time.hour: is required")
}

// A client's text stands in an error up to a length, cut between characters.
func TestDescribeIsBounded(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`"` + strings.Repeat("a", 40) + `"`, `"` + strings.Repeat("a", 40) + `"`},
		{`"` + strings.Repeat("a", 41) + `"`, `"` + strings.Repeat("a", 40) + `…"`},
		{`"` + strings.Repeat("a", 39) + `é"`, `"` + strings.Repeat("a", 39) + `…"`},
		{`"` + strings.Repeat("a", 37) + `🎈"`, `"` + strings.Repeat("a", 37) + `…"`},
		{`"` + strings.Repeat("a", 36) + `🎈b"`, `"` + strings.Repeat("a", 36) + `🎈…"`},
		{`"\u0000\"\n"`, `"\x00\"\n"`},
		{`null`, `null`},
		{strings.Repeat("1", 99), strings.Repeat("1", 40) + "…"},
		{`{"a": 1}`, `an object`},
		{`[]`, `a list`},
	} {
		assert.Equal(t, c.want, describe([]byte(c.raw)))
	}
}

func TestDecodeKeepsNoPartOfTheBody(t *testing.T) {
	for _, c := range habitattest.ReadCases(t) {
		body := c.Bytes()
		before, err := Decode(body, c.RemoteAddress(), testNow)
		clear(body)
		if err == nil {
			require.Equal(t, c.Want.Data, string(before.Data), c.Name)
			require.Equal(t, c.Want.Callsign, before.Callsign, c.Name)
		}
	}
}

// A retry has another time_uploaded, another now and perhaps another address,
// and the ID of the first attempt; the stored time_created is the same too.
func TestRetryHasTheSameID(t *testing.T) {
	first, err := Decode([]byte(sampleBody), "192.0.2.7", testNow)
	require.NoError(t, err)
	retried := strings.Replace(sampleBody, "1301774390", "1301774450", 1)
	retry, err := Decode([]byte(retried), "2001:db8::1", testNow.Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, first.ID, retry.ID)
	assert.Equal(t, first.TimeCreated, retry.TimeCreated)
	assert.Equal(t, first.TimeUploaded+60, retry.TimeUploaded)
}

func TestShiftTime(t *testing.T) {
	interesting := []int64{math.MinInt64, math.MinInt64 + 1, -1 << 62, -2, -1, 0, 1, 2, 1301774389, 1 << 62, math.MaxInt64 - 1, math.MaxInt64}
	for _, created := range interesting {
		for _, now := range interesting {
			for _, uploaded := range interesting {
				want := big.NewInt(created)
				want.Add(want, big.NewInt(now)).Sub(want, big.NewInt(uploaded))
				got, fits := shiftTime(created, now, uploaded)
				require.Equal(t, want.IsInt64(), fits, "%d + %d - %d", created, now, uploaded)
				if fits {
					require.Equal(t, want.Int64(), got, "%d + %d - %d", created, now, uploaded)
				}
			}
		}
	}
}

// Only the stored time may overflow, whatever the sums before it do.
func TestStoredTimeOverflow(t *testing.T) {
	for _, c := range []struct {
		name, created, uploaded string
		now, want               int64
		ok                      bool
	}{
		{"now less uploaded overflows", "-9223372036854775808", "-9223372036854775808", 5, 5, true},
		{"created plus now overflows", "9223372036854775807", "5", 5, math.MaxInt64, true},
		{"created less uploaded overflows", "-9223372036854775808", "1", 1, math.MinInt64, true},
		{"one too high", "9223372036854775807", "4", 5, 0, false},
		{"one too low", "-9223372036854775808", "6", 5, 0, false},
		{"a now before 1970", "0", "0", -5, -5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := fmt.Sprintf(`{"callsign":"A","type":"LISTENER_INFO","time_created":%s,"time_uploaded":%s,"data":{}}`, c.created, c.uploaded)
			m, err := Decode([]byte(body), "::1", time.Unix(c.now, 0))
			if !c.ok {
				requireInvalid(t, err, "/time_created", "must fit 64 bits after")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, m.TimeCreated)
			assert.Equal(t, c.now, m.TimeUploaded)
		})
	}
}

const sampleBody = `{"callsign": "G8XYZ", "type": "RECEIVED_TELEM",
 "time_created": 1301774389, "time_uploaded": 1301774390,
 "data": {"string": "JCRLSVRFNyw0MiwwOToxNTozMCw1Mi4yMDgxNCwwLjA5MTIwLDE4NzMsNC4yLDE4LjUqQjVEQw==", "frequency": 434650000.0}}`

func BenchmarkDecode(b *testing.B) {
	body := []byte(sampleBody)
	want, err := Decode(body, "192.0.2.7", testNow)
	require.NoError(b, err)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		m, err := Decode(body, "192.0.2.7", testNow)
		if err != nil || m.ID != want.ID {
			b.Fatal("not decoded", m, err)
		}
	}
}

// FuzzDecode looks for panics, for bodies that are taken and no JSON, and for
// canonical data that is not its own canonical form.
func FuzzDecode(f *testing.F) {
	for _, c := range habitattest.ReadCases(f) {
		f.Add(c.Bytes(), c.RemoteAddress())
	}
	f.Add([]byte(`{"x": [1.0, "\u0041"], "\u0061": 1, "_raw": "J CRL", "_listener_metadata": {"b": 1, "a": {}}}`), "::1")
	f.Add([]byte(`{"latitude": "-0", "longitude": 1e-7, "altitude": -1.9, "time": {"hour": 24, "minute": "07", "second": 61}}`), "::1")
	f.Fuzz(func(t *testing.T, body []byte, remoteAddr string) {
		requireCanonicalData(t, body)
		m, err := Decode(body, remoteAddr, testNow)
		if err != nil {
			var invalid *app.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, app.Message{}, m)
			requireShowable(t, err)
			return
		}
		require.True(t, json.Valid(body))
		require.True(t, json.Valid(m.Data), "%s", m.Data)
		again, err := Decode(canonicalEnvelope(&m), m.Address.String(), testNow)
		require.NoError(t, err)
		require.Equal(t, string(m.Data), string(again.Data))
		require.Equal(t, m, again)
	})
}

// requireCanonicalData takes a body as data of every type. The data that it gives
// must be its own canonical form.
func requireCanonicalData(t *testing.T, body []byte) {
	t.Helper()
	for _, kind := range []app.Type{app.ReceivedTelem, app.ListenerInfo, app.ListenerTelem} {
		data, err := canonicalData(kind, body)
		if err != nil {
			requireShowable(t, err)
			continue
		}
		again, err := canonicalData(kind, data)
		require.NoError(t, err)
		require.Equal(t, string(data), string(again))
	}
}

// canonicalEnvelope is the body that a client would send for m.
func canonicalEnvelope(m *app.Message) []byte {
	return fmt.Appendf(nil, `{"callsign":%q,"type":%q,"time_created":%d,"time_uploaded":%d,"data":%s}`,
		m.Callsign, m.Type, m.ClientCreated, m.ClientUploaded, m.Data)
}

// What is stored as the received string is what the contract's table says.
func TestSampleSentence(t *testing.T) {
	m, err := Decode([]byte(sampleBody), "192.0.2.7", testNow)
	require.NoError(t, err)
	var data struct{ String string }
	require.NoError(t, json.Unmarshal(m.Data, &data))
	sentence, err := base64.StdEncoding.DecodeString(data.String)
	require.NoError(t, err)
	assert.Equal(t, "$$KITE7,42,09:15:30,52.20814,0.09120,1873,4.2,18.5*B5DC", string(sentence))
}
