package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A store that was exported and restored answers reads, retries and keys as before.
func TestExportAndRestore(t *testing.T) {
	dir, again := folder(t), folder(t)
	p := serve(t, dir)
	for n := range 5 {
		status, _ := postWithKey(t, p, note(fmt.Sprint("n", n)), fmt.Sprint("key ", n))
		require.Equal(t, http.StatusOK, status)
	}
	_, before := messagesOf(t, p, "")
	out, stderr, code := run(t, dir, "", "export")
	require.Zero(t, code, stderr)
	assert.Zero(t, p.stop())

	var first map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &first))
	assert.Equal(t, []any{"key 0"}, first["keys"])
	assert.EqualValues(t, 1301774389, first["client_created"])
	assert.EqualValues(t, 1301774390, first["client_uploaded"])
	assert.EqualValues(t, first["time_uploaded"], int64(first["received"].(float64))/1_000_000)

	export := filepath.Join(again, "export.ndjson")
	require.NoError(t, os.WriteFile(export, []byte(out), 0o600))
	stdout, stderr, code := run(t, again, "", "restore", export)
	require.Zero(t, code, stderr)
	assert.Regexp(t, `^sqlite:data/windsock\.db: log [0-9a-f]{16}, 5 messages, seq 1 to 5\n$`, stdout)
	assert.Empty(t, stderr, "silent in a pipe")
	p = serve(t, again)
	_, after := messagesOf(t, p, "")
	assert.Equal(t, before.Messages, after.Messages)
	assert.NotEqual(t, before.Log, after.Log)
	for n := range 5 {
		status, receipt := postWithKey(t, p, note(fmt.Sprint("n", n)), fmt.Sprint("key ", n))
		assert.Equal(t, http.StatusOK, status)
		assert.Contains(t, receipt, fmt.Sprintf(`{"seq":%d,`, n+1))
		assert.Contains(t, receipt, `"duplicate":true`)
		status, _ = postWithKey(t, p, note("another"), fmt.Sprint("key ", n))
		assert.Equal(t, http.StatusUnprocessableEntity, status)
	}
	assert.Zero(t, p.stop())
	same, _, code := run(t, again, "", "export")
	assert.Zero(t, code)
	assert.Equal(t, out, same)
}

func postWithKey(t *testing.T, p *process, body, key string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequest("POST", "http://windsock/message", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Idempotency-Key", key)
	r.Header.Set("Accept", "application/json")
	resp, err := (&http.Client{Transport: p.transport()}).Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestRestoreRefuses(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	_, stderr, code := run(t, dir, "", "backup", "backup.db")
	require.Zero(t, code, stderr)
	_, stderr, code = run(t, dir, "", "restore", "backup.db")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, fmt.Sprintf("another process is writing to it, pid %d", p.cmd.Process.Pid))
	status, answer, err := p.post(note("one"))
	assertPosted(t, status, answer, err)
	assert.Zero(t, p.stop())
	_, stderr, code = run(t, dir, "", "restore", "backup.db")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "it holds messages: move its files away first")
	assert.Len(t, exported(t, dir), 1)
	for _, args := range [][]string{{}, {"backup.db", "--store", "nats:x"}, {"backup.db", "x.db"}} {
		_, _, code = run(t, dir, "", append([]string{"restore"}, args...)...)
		assert.Equal(t, 2, code)
	}
}

// A damaged row is escaped and named, the others come, also over HTTP, and the
// export is restored without it.
func TestExportDamagedRow(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	postNumbers(t, dir, 4)
	assert.Zero(t, p.stop())
	damageRow(t, dir, `G8XYZ`, "G\"\n\xffX", 3)
	damageRow(t, dir, `{"name":"number 2"}`, "{\"name\":\"number\n2\"}", 1)

	out, stderr, code := run(t, dir, "", "export")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "windsock: message 2: its callsign ")
	assert.Contains(t, stderr, "windsock: message 3: its data is no JSON")
	assert.Contains(t, stderr, "faults found: 2")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 4)
	for i, line := range lines {
		var entry struct {
			Seq     int
			Damaged string
		}
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		assert.Equal(t, i+1, entry.Seq)
		assert.Equal(t, i == 1 || i == 2, entry.Damaged != "")
	}

	export, again := filepath.Join(dir, "export.ndjson"), folder(t)
	require.NoError(t, os.WriteFile(export, []byte(out), 0o600))
	stdout, stderr, code := run(t, again, "", "restore", export)
	assert.Zero(t, code, stderr)
	assert.Contains(t, stdout, ", 2 messages, seq 1 to 4")
	assert.Contains(t, stderr, "windsock: message 2 is left out, since it was damaged: its callsign ")
	assert.Contains(t, stderr, "windsock: message 3 is left out, since it was damaged: its data is no JSON")

	p = serve(t, dir)
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		r, err := http.NewRequest("GET", "http://windsock/messages", nil)
		require.NoError(t, err)
		r.Header.Set("Accept", accept)
		resp, err := (&http.Client{Transport: p.transport()}).Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		decoder, n := json.NewDecoder(resp.Body), 0
		for decoder.More() {
			var any json.RawMessage
			require.NoError(t, decoder.Decode(&any))
			n++
		}
		assert.Equal(t, map[string]int{"application/json": 1, "application/x-ndjson": 4}[accept], n)
	}
	stream := follow(t, &http.Client{Transport: p.transport()}, "http://windsock/messages/stream?after=0", "")
	for range 4 {
		_, rest := stream.next(t)
		_, data, _ := strings.Cut(rest, "data: ")
		assert.True(t, json.Valid([]byte(data)), rest)
		assert.Equal(t, 2, strings.Count(rest, "\n"), "event and data")
	}
	assert.Zero(t, p.stop())
}

// damageRow replaces the nth occurrence of some text in the store by another of
// that length, as a failing disk could. The newest message is the first one in a page.
func damageRow(t *testing.T, dir, from, to string, nth int) {
	t.Helper()
	require.Len(t, to, len(from))
	path := filepath.Join(dir, "data", "windsock.db")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	at := 0
	for range nth {
		next := strings.Index(string(content[at:]), from)
		require.GreaterOrEqual(t, next, 0)
		at += next + 1
	}
	copy(content[at-1:], to)
	require.NoError(t, os.WriteFile(path, content, 0o600))
}
