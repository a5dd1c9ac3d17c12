package app

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// idVector is one row of testdata/messages/ids.json. It was made with
// Python's hashlib, from canonical data written by hand.
type idVector struct {
	Name        string `json:"name"`
	Callsign    string `json:"callsign"`     // as the client sends it
	Type        Type   `json:"type"`         //
	TimeCreated string `json:"time_created"` // a JSON value
	Data        string `json:"data"`         // a JSON value
	Canonical   string `json:"canonical"`    // what Data is stored as
	Hashed      string `json:"hashed"`       // all that goes into SHA-256, in hex
	ID          string `json:"id"`           // the first half of the digest, in hex
}

func TestIDVectors(t *testing.T) {
	var vectors []idVector
	readMessageFile(t, "ids.json", &vectors)
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			m := decodeVector(t, v)
			assert.Equal(t, v.Canonical, string(m.Data))
			assert.Equal(t, v.ID, m.ID.String())
			assert.Equal(t, v.Hashed, hashedParts(&m))
		})
	}
}

// decodeVector decodes a vector as a client's message, or as the parser's if
// clients may not send it.
func decodeVector(t *testing.T, v idVector) Message {
	t.Helper()
	if v.Type != Telem {
		body := fmt.Sprintf(`{"callsign":%q,"type":%q,"time_created":%s,"time_uploaded":%[3]s,"data":%s}`, v.Callsign, v.Type, v.TimeCreated, v.Data)
		m, err := Decode([]byte(body), "192.0.2.7", testNow)
		require.NoError(t, err)
		return m
	}
	created, err := decodeInteger("/time_created", []byte(v.TimeCreated))
	require.NoError(t, err)
	data, err := canonicalData(v.Type, []byte(v.Data))
	require.NoError(t, err)
	m := Message{Callsign: v.Callsign, Type: v.Type, ClientCreated: created, Data: data}
	m.ID = messageID(&m)
	return m
}

// hashedParts writes down in hex what an ID is the hash of.
func hashedParts(m *Message) string {
	all := "01"
	for _, part := range []string{m.Callsign, string(m.Type), strconv.FormatInt(m.ClientCreated, 10), string(m.Data)} {
		all += fmt.Sprintf("%016x", len(part)) + hex.EncodeToString([]byte(part))
	}
	return all
}

// The ID covers the callsign, the type, the client's time_created and the
// data, and nothing else.
func TestWhatAnIDCovers(t *testing.T) {
	base := Message{Callsign: "AB", Type: ListenerInfo, ClientCreated: 1, Data: []byte(`{}`)}
	id := messageID(&base)
	for name, change := range map[string]func(*Message){
		"callsign":     func(m *Message) { m.Callsign = "ABC" },
		"type":         func(m *Message) { m.Type = ListenerTelem },
		"time_created": func(m *Message) { m.ClientCreated = 2 },
		"data":         func(m *Message) { m.Data = []byte(`{"name":""}`) },
	} {
		m := base
		change(&m)
		assert.NotEqual(t, id, messageID(&m), name)
	}
	same := base
	same.TimeCreated, same.TimeUploaded, same.ClientUploaded, same.Received = 7, 8, 9, testNow
	assert.Equal(t, id, messageID(&same))
}

func TestIDOfLongData(t *testing.T) {
	m := Message{Callsign: "A", Type: ListenerInfo, Data: []byte(`{"name":"` + strings.Repeat("x", 1<<20) + `"}`)}
	other := m
	other.Data = []byte(`{"name":"` + strings.Repeat("x", 1<<20-1) + `y"}`)
	assert.NotEqual(t, messageID(&m), messageID(&other))
}

// The samples of RFC 8785, appendix B, and the edges of its two notations.
func TestAppendFloat(t *testing.T) {
	for _, c := range []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
		{math.Float64bits(434650000), "434650000"},
		{math.Float64bits(-1e-7), "-1e-7"},
		{math.Float64bits(1e-10), "1e-10"},
		{math.Float64bits(1e100), "1e+100"},
		{math.Float64bits(-1e21), "-1e+21"},
	} {
		f := math.Float64frombits(c.bits)
		assert.Equal(t, c.want, string(appendFloat(nil, f)), "%016x", c.bits)
		assert.Equal(t, "x"+c.want, string(appendFloat([]byte("x"), f)), "behind other text")
	}
}

// Every number comes back as it was, in encoding/json's notation.
func TestAppendFloatRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := math.Float64frombits(random.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		got := string(appendFloat(nil, f))
		want, err := json.Marshal(f)
		require.NoError(t, err)
		require.Equal(t, string(want), got)
		back, err := strconv.ParseFloat(got, 64)
		require.NoError(t, err)
		require.Equal(t, f, back)
	}
}

func TestAppendString(t *testing.T) {
	for b := range byte(' ') {
		want := fmt.Sprintf(`"\u%04x"`, b)
		if short, ok := map[byte]string{'\b': `"\b"`, '\t': `"\t"`, '\n': `"\n"`, '\f': `"\f"`, '\r': `"\r"`}[b]; ok {
			want = short
		}
		assert.Equal(t, want, string(appendString(nil, []byte{b})))
	}
	plain := " !#[]/<>&'\x7f\u0080é\u2028\u2029🎈\uffff"
	assert.Equal(t, `"`+plain+`"`, string(appendString(nil, plain)))
	assert.Equal(t, `x"\"\\"`, string(appendString([]byte("x"), `"\`)))
}

func TestAppendCompact(t *testing.T) {
	raw := "\t{ \"a b\" : [ 1.0 , \"\\\" \\\\\" , { } ] ,\r\n\"c\" : \" \\\\\\\" \" } "
	require.NoError(t, checkJSON([]byte(raw)))
	assert.Equal(t, `x{"a b":[1.0,"\" \\",{}],"c":" \\\" "}`, string(appendCompact([]byte("x"), []byte(raw))))
}
