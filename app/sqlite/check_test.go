package sqlite_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// decoded returns the n-th of messages that are such as clients send, a key with
// every fourth.
func decoded(t testing.TB, n int) app.Message {
	t.Helper()
	bodies := []string{
		`{"callsign":"g8xyz","type":"LISTENER_INFO","time_created":%[1]d,"time_uploaded":%[1]d,"data":{"name":"n%[1]d"}}`,
		`{"callsign":"M0ABC/P","type":"RECEIVED_TELEM","time_created":%[1]d,"time_uploaded":7,"data":{"string":"JCRLSVRFNyw0Miw=","frequency":%[1]d.5}}`,
		`{"callsign":"M0ABC","type":"LISTENER_TELEM","time_created":-%[1]d,"time_uploaded":"%[1]d","data":{"latitude":1.5,"longitude":0,"altitude":3,"time":{"hour":1,"minute":2,"second":3}}}`,
	}
	addresses := []string{"192.0.2.7", "2001:db8::1"}
	m, err := habitat.Decode(fmt.Appendf(nil, bodies[n%len(bodies)], n), addresses[n%2], time.UnixMicro(1_301_774_390_123_456+int64(n)))
	require.NoError(t, err)
	if n%4 == 0 {
		m.Key = fmt.Sprint("key ", n)
	}
	return m
}

// storeDecoded appends such messages, first to last, in batches.
func storeDecoded(t testing.TB, log *sqlite.Store, first, last int) {
	t.Helper()
	for first <= last {
		var batch []app.Message
		for ; first <= last && len(batch) < 100; first++ {
			batch = append(batch, decoded(t, first))
		}
		_, err := log.Append(batch)
		require.NoError(t, err)
	}
}

// indexedStore is how many messages newStore gets for all but the newest to have
// their IDs in ids.
const indexedStore = sqlite.IndexIDs + 300

// newStore makes a store with so many messages, does to it what do says, and
// closes it.
func newStore(t testing.TB, n int, do ...string) (path string) {
	t.Helper()
	path = newPath(t)
	log, err := sqlite.Open(path)
	require.NoError(t, err)
	storeDecoded(t, log, 1, n)
	for _, text := range do {
		shell(t, log, text)
	}
	require.NoError(t, log.Close())
	return path
}

func TestCheck(t *testing.T) {
	for name, do := range map[string][]string{
		"as stored": nil,
		"pruned":    {"DELETE FROM messages WHERE seq <= 500"},
		"blanked":   {"UPDATE messages SET address = NULL"},
		"gaps":      {"DELETE FROM messages WHERE seq % 7 = 0"},
	} {
		path := newStore(t, indexedStore, do...)
		before := listing(t, path)
		var last int64
		found, err := sqlite.Check(t.Context(), path, func(_ string, done, _ int64) {
			assert.True(t, done >= last || done == 0, "progress")
			last = done
		})
		require.NoError(t, err, name)
		assert.Empty(t, found.Faults, name)
		assert.Equal(t, int64(indexedStore), found.Newest, name)
		assert.Regexp(t, "^[0-9a-f]{16}$", found.Log)
		assert.Empty(t, found.Backup)
		log := open(t, path)
		all := readAll(t, log)
		assert.Equal(t, int64(len(all)), found.Messages, name)
		assert.Equal(t, all[0].Seq, found.Oldest, name)
		require.NoError(t, log.Close())
		assert.Equal(t, before[filepath.Base(path)].sum, listing(t, path)[filepath.Base(path)].sum)
	}
	found, err := sqlite.Check(t.Context(), newStore(t, 0), nil)
	require.NoError(t, err)
	assert.Equal(t, sqlite.Findings{Log: found.Log}, found, "an empty store is a good one")
}

// Whatever one thing is changed, it is found, and the message is named.
func TestCheckFaults(t *testing.T) {
	for do, want := range map[string]string{
		"UPDATE messages SET id = x'00112233445566778899aabbccddeeff' WHERE seq = 17": "message 17: its id is 00112233445566778899aabbccddeeff, and what it holds gives",
		"UPDATE messages SET id = x'00' WHERE seq = 17":                               "message 17: its id has 1 bytes",
		"UPDATE messages SET client_created = client_created + 1 WHERE seq = 17":      "message 17: its time_created",
		"UPDATE messages SET callsign = 'M0ABD' WHERE seq = 17":                       "message 17: its id is",
		"UPDATE messages SET callsign = 'm0abc' WHERE seq = 17":                       "message 17: its callsign",
		"UPDATE messages SET type = 'TELEM' WHERE seq = 17":                           "message 17: its data is not that of a \"TELEM\"",
		"UPDATE messages SET data = replace(data, '1.5', '1.6') WHERE seq = 17":       "message 17: its id is",
		"UPDATE messages SET data = data || ' ' WHERE seq = 17":                       "message 17: its data is not in canonical form",
		"UPDATE messages SET data = '{' WHERE seq = 17":                               "message 17: its data is no JSON",
		"UPDATE messages SET received = -received WHERE seq = 17":                     "message 17: its time_uploaded",
		"UPDATE messages SET address = 'here' WHERE seq = 17":                         "message 17: its address is \"here\"",
		"UPDATE messages SET address = '2001:DB8::1' WHERE seq = 17":                  "message 17: its address is \"2001:DB8::1\"",
		"UPDATE messages SET address = '::ffff:1.2.3.4' WHERE seq = 17":               "message 17: its address ::ffff:1.2.3.4 is not in canonical form",
		"UPDATE messages SET seq = -17 WHERE seq = 17":                                "message -17: its seq is not positive",
		"UPDATE keys SET callsign = 'G8XYY' WHERE seq = 16":                           "message 16: an Idempotency-Key of \"G8XYY\" stands for it, and it is \"M0ABC/P\"'s",
		"UPDATE keys SET seq = 4000 WHERE seq = 16":                                   "message 4000: an Idempotency-Key of \"M0ABC/P\" stands for it, and it is not there",
		"UPDATE meta SET value = 'a.b' WHERE key = 'name'":                            "the log's name \"a.b\"",
	} {
		found, err := sqlite.Check(t.Context(), newStore(t, 40, do), nil)
		require.NoError(t, err, do)
		if assert.Len(t, found.Faults, 1, do) {
			assert.Contains(t, found.Faults[0], want, do)
		}
		assert.Zero(t, found.MoreFaults)
		assert.Equal(t, int64(40), found.Newest)
	}
}

// So is what would keep a retry from being found.
func TestCheckIDs(t *testing.T) {
	const copied = `INSERT INTO messages SELECT 1301, client_created, id, type, callsign, client_uploaded,
		time_created, time_uploaded, received, address, data FROM messages WHERE seq = `
	for do, want := range map[string]string{
		"DELETE FROM ids WHERE seq = 17":                                     "message 17: its id does not stand for it",
		"INSERT INTO ids VALUES (1, x'00', 17)":                              "message 17: the table ids has an id that stands for it",
		"INSERT INTO ids VALUES (1, x'00', 1400)":                            "message 1400: the table ids has an id that stands for it, and it is not there",
		"DELETE FROM ids; UPDATE meta SET value = '0' WHERE key = 'indexed'": "",
		"DELETE FROM meta WHERE key = 'indexed'":                             "the table meta has no row indexed",
		copied + "17":                                                        "message 1301: an earlier one has its id",
		copied + "1299":                                                      "message 1301: an earlier one has its id",
	} {
		found, err := sqlite.Check(t.Context(), newStore(t, indexedStore, do), nil)
		require.NoError(t, err, do)
		if want == "" {
			assert.Empty(t, found.Faults, do)
		} else if assert.Len(t, found.Faults, 1, do) {
			assert.Contains(t, found.Faults[0], want, do)
		}
	}
}

// However much is wrong, what is named is bounded.
func TestCheckManyFaults(t *testing.T) {
	found, err := sqlite.Check(t.Context(), newStore(t, 2500, "UPDATE messages SET data = '{}' WHERE seq > 10"), nil)
	require.NoError(t, err)
	assert.Len(t, found.Faults, 100)
	assert.Equal(t, 2390, found.MoreFaults)
	assert.Contains(t, found.Faults[0], "message 11: ")
}

func TestCheckRefuses(t *testing.T) {
	path := newPath(t)
	_, err := sqlite.Check(t.Context(), path, nil)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("hello, world\n"), 0o600))
	_, err = sqlite.Check(t.Context(), path, nil)
	assert.ErrorContains(t, err, "not a windsock store")
	_, err = sqlite.Check(t.Context(), newStore(t, 3, fmt.Sprintf("PRAGMA user_version = %d", sqlite.SchemaVersion+1)), nil)
	assert.ErrorContains(t, err, "made by a newer windsock")
}

// trace is what there is to see of a file.
type trace struct {
	sum  string
	mode fs.FileMode
	time time.Time
}

// listing is what there is to see of a folder, and of what lies in it.
func listing(t *testing.T, path string) map[string]trace {
	t.Helper()
	info, err := os.Stat(filepath.Dir(path))
	require.NoError(t, err)
	all := map[string]trace{".": {mode: info.Mode(), time: info.ModTime()}}
	for name, content := range folder(t, path) {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		require.NoError(t, err)
		all[name] = trace{content, info.Mode(), info.ModTime()}
	}
	return all
}

// killedStore makes a store whose last messages are in its log alone, as kill -9
// leaves it, with FILE-shm where a writer leaves one.
func killedStore(t *testing.T, n int, shm bool) (path string) {
	t.Helper()
	from, path := newPath(t), newPath(t)
	log := open(t, from)
	storeDecoded(t, log, 1, n)
	copyFile(t, from, path)
	copyFile(t, from+"-wal", path+"-wal")
	if shm {
		copyFile(t, from+"-shm", path+"-shm")
	}
	return path
}

// A check leaves no trace, in whatever state the store is, and finds what was
// stored, also where it could not write if it would.
func TestCheckTouchesNothing(t *testing.T) {
	if frontend.AsLesserUser(t) {
		return
	}
	states := map[string]func(t *testing.T) string{
		"closed":          func(t *testing.T) string { return newStore(t, 300) },
		"killed":          func(t *testing.T) string { return killedStore(t, 300, false) },
		"killed with shm": func(t *testing.T) string { return killedStore(t, 300, true) },
		"torn log": func(t *testing.T) string {
			path := newStore(t, 300)
			require.NoError(t, os.WriteFile(path+"-wal", []byte(strings.Repeat("x", 5000)), 0o600))
			return path
		},
		"empty log": func(t *testing.T) string {
			path := newStore(t, 300)
			require.NoError(t, os.WriteFile(path+"-wal", nil, 0o600))
			return path
		},
		"backup": func(t *testing.T) string {
			path := newPath(t)
			_, err := sqlite.Backup(t.Context(), newStore(t, 300), path, false, nil)
			require.NoError(t, err)
			return path
		},
	}
	for name, make := range states {
		for _, mode := range []fs.FileMode{0o700, 0o500} {
			t.Run(fmt.Sprintf("%s %o", name, mode), func(t *testing.T) {
				path := make(t)
				require.NoError(t, os.Chmod(filepath.Dir(path), mode))
				t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o700) }) // or it could not be removed
				before := listing(t, path)
				found, err := sqlite.Check(t.Context(), path, nil)
				require.NoError(t, err)
				assert.Empty(t, found.Faults)
				assert.Equal(t, int64(300), found.Messages)
				assert.Equal(t, name == "backup", found.Backup != "")
				assert.Equal(t, before, listing(t, path))
			})
		}
	}
}

// A store that is written to while it is read at rest is read once more, as one
// that is in use; what the first look found counts for nothing.
func TestCheckDisturbed(t *testing.T) {
	path := newStore(t, 300, "UPDATE messages SET data = '{}' WHERE seq = 17")
	looks := 0
	found, err := sqlite.Check(t.Context(), path, func(doing string, _, _ int64) {
		if doing == "checking the structure" {
			looks++
			require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1_301_774_389, 0)))
		}
	})
	require.NoError(t, err)
	assert.Equal(t, 2, looks)
	assert.Len(t, found.Faults, 1)
	assert.Equal(t, int64(300), found.Messages)
}

// It is not read to its end first.
func TestCheckDisturbedSoon(t *testing.T) {
	path := newStore(t, 3000)
	var read []int64
	found, err := sqlite.Check(t.Context(), path, func(doing string, done, _ int64) {
		if doing == "checking messages" {
			read = append(read, done)
			require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1_301_774_389, 0)))
		}
	})
	require.NoError(t, err)
	assert.Equal(t, []int64{1000, 1000, 2000, 3000}, read)
	assert.Empty(t, found.Faults)
}

func TestCheckEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := sqlite.Check(ctx, newStore(t, 3000), func(string, int64, int64) { cancel() })
	assert.ErrorIs(t, err, context.Canceled)
}
