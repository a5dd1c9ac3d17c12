package web_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app/retention"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// pruned is a service over a real store whose messages up to a seq are gone.
func pruned(t *testing.T, messages int, through int64) *service {
	t.Helper()
	log, err := sqlite.Open(filepath.Join(t.TempDir(), "test.db"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	s := startOn(t, log)
	s.commit(t, 1, messages)
	pruneTo(t, s, through)
	return s
}

func pruneTo(t *testing.T, s *service, through int64) {
	t.Helper()
	for done := false; !done; {
		step, err := s.log.(retention.Pruner).Prune(retention.Cut{Messages: through, Now: time.Now()})
		require.NoError(t, err)
		done = step.Done
	}
}

// Whoever reads from below the oldest message is told so, each in his own way.
func TestReadersAreToldWhatIsGone(t *testing.T) {
	s := pruned(t, 20, 12)
	name := s.logName(t)
	for _, path := range []string{"/messages", "/messages?after=5"} {
		got := s.do(t, "GET", path, "")
		assert.Contains(t, got.body, `"oldest":13,"messages":[{"seq":13,`)
		lines := s.do(t, "GET", path, "", "Accept: application/x-ndjson")
		assert.Equal(t, []string{`<?after=20&log=` + name + `>; rel="next"`, `<?after=12&log=` + name + `>; rel="first"`},
			lines.header.Values("Link"))
	}
	for _, tt := range []struct {
		name, path, id string
		missed         bool
	}{
		{"from the beginning", "/messages/stream?after=0", "", true},
		{"after what is gone", "/messages/stream?after=11", "", true},
		{"after the last that is gone", "/messages/stream?after=12", "", false},
		{"resumed", "/messages/stream", name + ".3", true},
		{"resumed in time", "/messages/stream", name + ".13", false},
		{"with a filter", "/messages/stream?after=3&callsign=M0ABC", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := s.mustFollow(t, tt.path, "Last-Event-ID: "+tt.id)
			e, err := f.next()
			require.NoError(t, err)
			if !tt.missed {
				assert.Equal(t, "message", e.event)
				return
			}
			assert.Equal(t, streamed{id: name + ".12", event: "pruned", data: `{"oldest":13}`}, e)
			seq, err := f.nextSeq()
			require.NoError(t, err)
			assert.EqualValues(t, 13, seq)
		})
	}

	pruneTo(t, s, 20)
	assert.Equal(t, `{"log":"`+name+`","oldest":21,"messages":[],"next":20}`+"\n", s.do(t, "GET", "/messages?after=5", "").body)
	f := s.mustFollow(t, "/messages/stream?after=5")
	e, err := f.next()
	require.NoError(t, err)
	assert.Equal(t, streamed{id: name + ".20", event: "pruned", data: `{"oldest":21}`}, e)
	s.commit(t, 21, 21)
	assert.Equal(t, []int64{21}, f.seqs(t, 1))
	assert.Contains(t, s.do(t, "GET", "/", "", "Accept: text/html").body, "<dd>21</dd>")
}
