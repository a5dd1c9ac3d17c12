package app_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
)

func TestRecordLine(t *testing.T) {
	m, err := habitat.Decode([]byte(`{"callsign":"g8xyz","type":"LISTENER_INFO","time_created":-5,"time_uploaded":7,"data":{"name":"Å"}}`),
		"192.0.2.7", time.UnixMicro(1_301_774_390_123_456).UTC())
	require.NoError(t, err)
	r := app.Record{Entry: app.Entry{Seq: 3, Message: m}, Keys: []string{"a", "\xc3\"\x01"}}
	const line = `{"seq":3,"id":"ID","callsign":"G8XYZ","type":"LISTENER_INFO","time_created":1301774378,"time_uploaded":1301774390,` +
		`"data":{"name":"Å"},"address":"192.0.2.7","client_created":-5,"client_uploaded":7,"received":1301774390123456,` +
		`"keys":["a","Ã\"\u0001"]}`
	assert.Equal(t, strings.Replace(line, "ID", m.ID.String(), 1), string(r.AppendJSON(nil)))
	back, err := app.ParseRecord(r.AppendJSON(nil))
	require.NoError(t, err)
	assert.Equal(t, r, back)

	r.Address, r.Keys, r.Damage = netip.Addr{}, nil, errors.New("it is\nworn out")
	assert.Contains(t, string(r.AppendJSON(nil)), `"received":1301774390123456,"damaged":"it is\nworn out"}`)
}

// Whatever a damaged row holds, its line is one line of JSON, and no other's.
func TestDamagedRecordLine(t *testing.T) {
	for _, odd := range []string{`A","seq":99,"x":"`, "A\nB", `"\`, "\xff\x00", "{\"a\":\n1}", "{\"a\":\n", "", "\u2028", `{"a":"` + "\xff" + `"}`} {
		e := app.Entry{Seq: 7, Message: app.Message{Callsign: odd, Type: app.Type(odd), Data: []byte(odd)}}
		r := app.Record{Entry: e, Damage: errors.New(odd)}
		for _, line := range [][]byte{e.AppendJSON(nil, true), r.AppendJSON(nil)} {
			var got struct {
				Seq            int64
				Callsign, Type string
				Data           any
				X              *string
			}
			require.NoError(t, json.Unmarshal(line, &got), "%s", line)
			assert.EqualValues(t, 7, got.Seq)
			assert.Nil(t, got.X)
			assert.Equal(t, strings.ToValidUTF8(odd, "\uFFFD"), got.Callsign)
			assert.Equal(t, got.Callsign, got.Type)
			assert.NotContains(t, string(line), "\n")
			assert.NotNil(t, got.Data)
		}
	}
}

// A record that ParseRecord takes, written again, is parsed to the same record.
func FuzzRecord(f *testing.F) {
	const line = `{"seq":1,"id":"00112233445566778899aabbccddeeff","callsign":"A","type":"T","time_created":1,"time_uploaded":2,"data":{"a":1},` +
		`"address":"::1","client_created":3,"client_uploaded":4,"received":5,"keys":["é"],"damaged":"x"}`
	f.Add([]byte(line))
	f.Add([]byte(strings.Replace(line, `"keys":["é"]`, `"keys":["€"]`, 1)))
	f.Add([]byte(`{"seq":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := app.ParseRecord(line)
		if err != nil {
			return
		}
		again, err := app.ParseRecord(r.AppendJSON(nil))
		require.NoError(t, err, "%s", r.AppendJSON(nil))
		r.Data, again.Data = nil, nil // blanks in it may go
		assert.Equal(t, r, again)
	})
}
