package habitat_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
)

// Whatever one thing is changed about a stored message, it is noticed.
func TestVerify(t *testing.T) {
	const body = `{"callsign":"g8xyz","type":"LISTENER_TELEM","time_created":-5,"time_uploaded":"7",
		"data":{"latitude":1.50,"longitude":0,"altitude":-3,"time":{"hour":7,"minute":0,"second":"07"}}}`
	now := time.UnixMicro(1_301_774_390_999_999)
	for name, change := range map[string]func(m *app.Message){
		"callsign":           func(m *app.Message) { m.Callsign = "G8XYY" },
		"callsign's case":    func(m *app.Message) { m.Callsign = "g8xyz" },
		"callsign's length":  func(m *app.Message) { m.Callsign = "" },
		"type":               func(m *app.Message) { m.Type = app.ListenerInfo },
		"unknown type":       func(m *app.Message) { m.Type = "LISTENER_TELEN" },
		"client's time":      func(m *app.Message) { m.ClientCreated++; m.TimeCreated++ },
		"time created":       func(m *app.Message) { m.TimeCreated++ },
		"client's time sent": func(m *app.Message) { m.ClientUploaded++ },
		"time uploaded":      func(m *app.Message) { m.TimeUploaded++; m.TimeCreated++ },
		"received":           func(m *app.Message) { m.Received = m.Received.Add(time.Microsecond) },
		"data":               func(m *app.Message) { m.Data[len(`{"altitude":-`)]++ },
		"data's form":        func(m *app.Message) { m.Data = append(m.Data, ' ') },
		"data's grammar":     func(m *app.Message) { m.Data[0] = '[' },
		"no data":            func(m *app.Message) { m.Data = nil },
		"other JSON":         func(m *app.Message) { m.Data = []byte("null") },
		"id":                 func(m *app.Message) { m.ID[15] ^= 1 },
		"address's form":     func(m *app.Message) { m.Address = netip.MustParseAddr("::ffff:192.0.2.1") },
	} {
		m, err := habitat.Decode([]byte(body), "192.0.2.1", now)
		require.NoError(t, err)
		require.NoError(t, habitat.Verify(&m))
		change(&m)
		assert.Error(t, habitat.Verify(&m), name)
	}
	m, err := habitat.Decode([]byte(body), "2001:DB8::1", now)
	require.NoError(t, err)
	m.Address = netip.Addr{} // blanked after a while
	assert.NoError(t, habitat.Verify(&m))
}
