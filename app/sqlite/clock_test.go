package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// The server's clock may jump anywhere: messages are stored and read in the
// order in which they came, with the times that the clock gave, a retry is
// known, and check finds nothing wrong.
func TestClockJumps(t *testing.T) {
	path := newPath(t)
	log := open(t, path)
	const created, uploaded = 1_301_774_389, 1_301_774_390
	send := func(name string, now time.Time) app.Receipt {
		m, err := habitat.Decode(fmt.Appendf(nil, `{"callsign":"G8XYZ","type":"LISTENER_INFO","time_created":%d,"time_uploaded":%d,"data":{"name":%q}}`,
			created, uploaded, name), "192.0.2.1", now)
		require.NoError(t, err)
		receipts, err := log.Append([]app.Message{m})
		require.NoError(t, err)
		return receipts[0]
	}
	clock := []time.Time{
		time.Unix(1_301_774_400, 0),
		time.Unix(1_301_774_400, 0).AddDate(30, 0, 0), // forward
		time.Unix(1_301_774_400, 0),                   // and back
		time.Unix(0, 0),
		time.Unix(-86_400, 999_999_000), // before 1970
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Unix(1_301_774_401, 0),
	}
	for i, now := range clock {
		assert.Equal(t, int64(i+1), send(fmt.Sprint(i), now).Seq)
	}
	for i := range clock {
		retry := send(fmt.Sprint(i), clock[len(clock)-1-i])
		assert.True(t, retry.Duplicate)
		assert.Equal(t, int64(i+1), retry.Seq)
	}
	stored := readAll(t, log)
	require.Len(t, stored, len(clock))
	for i, e := range stored {
		assert.Equal(t, int64(i+1), e.Seq)
		assert.Equal(t, clock[i].UTC(), e.Received)
		assert.Equal(t, clock[i].Unix(), e.TimeUploaded)
		assert.Equal(t, clock[i].Unix()-(uploaded-created), e.TimeCreated)
	}
	require.NoError(t, log.Close())
	found, err := sqlite.Check(t.Context(), path, nil)
	require.NoError(t, err)
	assert.Empty(t, found.Faults)
}
