package app_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
)

// Both opinions are the contract's: neither the decoder nor the oracle is right
// because it is the decoder or the oracle.
func TestOracle(t *testing.T) {
	const now = 1_301_774_401
	for _, c := range app.ReadMessageCases(t) {
		want := opinion{}
		if want.valid = c.Status == 200; want.valid {
			want.callsign, want.kind = c.Want.Callsign, string(c.Want.Type)
			want.address, want.data = c.Want.Address, c.Want.Data
			want.clientCreated, want.clientUploaded = c.Want.ClientCreated, c.Want.ClientUploaded
			want.created = now + c.Want.CreatedMinusNow
		}
		got := judge(c.Bytes(), c.RemoteAddress(), now)
		got.id, got.fault = "", ""
		assert.Equal(t, want, got, c.Name)
	}
}

// FuzzDecoder compares the decoder with the oracle: what is taken, what is at
// fault, and what becomes of a message.
func FuzzDecoder(f *testing.F) {
	for _, c := range app.ReadMessageCases(f) {
		f.Add(c.Bytes(), c.RemoteAddress(), int64(1_301_774_401))
	}
	f.Fuzz(func(t *testing.T, body []byte, remoteAddr string, now int64) {
		m, err := app.Decode(body, remoteAddr, time.Unix(now, 0))
		require.Equal(t, judge(body, remoteAddr, now), of(m, err))
	})
}
