package habitat

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat/habitattest"
)

// idVector is one row of testdata/messages/ids.json. It was made with
// Python's hashlib, from canonical data written by hand.
type idVector struct {
	Name        string   `json:"name"`
	Callsign    string   `json:"callsign"`     // as the client sends it
	Type        app.Type `json:"type"`         //
	TimeCreated string   `json:"time_created"` // a JSON value
	Data        string   `json:"data"`         // a JSON value
	Canonical   string   `json:"canonical"`    // what Data is stored as
	Hashed      string   `json:"hashed"`       // all that goes into SHA-256, in hex
	ID          string   `json:"id"`           // the first half of the digest, in hex
}

func TestIDVectors(t *testing.T) {
	var vectors []idVector
	habitattest.ReadFile(t, "ids.json", &vectors)
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

// decodeVector decodes a vector as a client's message. One of a type that clients
// may not send is put together.
func decodeVector(t *testing.T, v idVector) app.Message {
	t.Helper()
	if v.Type != app.Telem {
		body := fmt.Sprintf(`{"callsign":%q,"type":%q,"time_created":%s,"time_uploaded":%[3]s,"data":%s}`, v.Callsign, v.Type, v.TimeCreated, v.Data)
		m, err := Decode([]byte(body), "192.0.2.7", testNow)
		require.NoError(t, err)
		return m
	}
	created, err := decodeInteger("/time_created", []byte(v.TimeCreated))
	require.NoError(t, err)
	m := app.Message{Callsign: v.Callsign, Type: v.Type, ClientCreated: created, Data: []byte(v.Canonical)}
	m.ID = messageID(&m)
	return m
}

// hashedParts writes down in hex what an ID is the hash of.
func hashedParts(m *app.Message) string {
	all := "01"
	for _, part := range []string{m.Callsign, string(m.Type), strconv.FormatInt(m.ClientCreated, 10), string(m.Data)} {
		all += fmt.Sprintf("%016x", len(part)) + hex.EncodeToString([]byte(part))
	}
	return all
}

// The ID covers the callsign, the type, the client's time_created and the
// data, and nothing else.
func TestWhatAnIDCovers(t *testing.T) {
	base := app.Message{Callsign: "AB", Type: app.ListenerInfo, ClientCreated: 1, Data: []byte(`{}`)}
	id := messageID(&base)
	for name, change := range map[string]func(*app.Message){
		"callsign":     func(m *app.Message) { m.Callsign = "ABC" },
		"type":         func(m *app.Message) { m.Type = app.ListenerTelem },
		"time_created": func(m *app.Message) { m.ClientCreated = 2 },
		"data":         func(m *app.Message) { m.Data = []byte(`{"name":""}`) },
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
	m := app.Message{Callsign: "A", Type: app.ListenerInfo, Data: []byte(`{"name":"` + strings.Repeat("x", 1<<20) + `"}`)}
	other := m
	other.Data = []byte(`{"name":"` + strings.Repeat("x", 1<<20-1) + `y"}`)
	assert.NotEqual(t, messageID(&m), messageID(&other))
}
