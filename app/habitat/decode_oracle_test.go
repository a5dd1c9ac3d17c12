package habitat_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/habitat"
	"github.com/windsock-scgi/windsock/app/habitat/habitattest"
)

// Both opinions are the contract's: neither the decoder nor the oracle is right
// because it is the decoder or the oracle.
func TestOracle(t *testing.T) {
	const now = 1_301_774_401
	for _, c := range habitattest.ReadCases(t) {
		want := habitattest.Opinion{}
		if want.Valid = c.Status == 200; want.Valid {
			want.Callsign, want.Kind = c.Want.Callsign, string(c.Want.Type)
			want.Address, want.Data = c.Want.Address, c.Want.Data
			want.ClientCreated, want.ClientUploaded = c.Want.ClientCreated, c.Want.ClientUploaded
			want.Created = now + c.Want.CreatedMinusNow
		}
		got := habitattest.Judge(c.Bytes(), c.RemoteAddress(), now)
		got.ID, got.Fault = "", ""
		assert.Equal(t, want, got, c.Name)
	}
}

// FuzzDecoder compares the decoder with the oracle: what is taken, what is at
// fault, and what becomes of a message.
func FuzzDecoder(f *testing.F) {
	for _, c := range habitattest.ReadCases(f) {
		f.Add(c.Bytes(), c.RemoteAddress(), int64(1_301_774_401))
	}
	f.Fuzz(func(t *testing.T, body []byte, remoteAddr string, now int64) {
		m, err := habitat.Decode(body, remoteAddr, time.Unix(now, 0))
		require.Equal(t, habitattest.Judge(body, remoteAddr, now), habitattest.Of(m, err))
	})
}
