package main_test

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fill posts so many messages of a kilobyte.
func fill(t *testing.T, p *process, name string, messages int) {
	t.Helper()
	var notes []string
	for n := range messages {
		notes = append(notes, note(fmt.Sprint(name, " ", n, " ", strings.Repeat("x", 1000))))
	}
	body := "[" + strings.Join(notes, ",") + "]"
	status, answer, err := post(&http.Client{Transport: p.transport()}, "http://windsock/messages", body)
	require.NoError(t, err)
	require.Equal(t, 200, status, answer)
}

// A store that is over its bound is pruned from the start on, a stop does not wait
// for that, and whoever reads from below is told.
func TestKeep(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	fill(t, p, "early", 3000)
	require.Zero(t, p.stop())
	require.Len(t, exported(t, dir), 3000)
	require.Zero(t, serve(t, dir, "--keep", "1MB").stop(), "in the midst of it")

	p = serve(t, dir, "--keep", "1MB", "--keep-addresses", "unlimited")
	p.waitFor(`"message":"pruned"`)
	client := &http.Client{Transport: p.transport()}
	kept := exported(t, dir)
	assert.Less(t, len(kept), 1000)
	assert.Greater(t, len(kept), 500)
	oldest := int(kept[0]["seq"].(float64))
	assert.Equal(t, 3001-len(kept), oldest, "the newest are kept")
	assert.NotEmpty(t, kept[0]["address"])

	resp, err := client.Get("http://windsock/messages?after=7&limit=1")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(body), fmt.Sprintf(`"oldest":%d,`, oldest))
	page, err := http.NewRequestWithContext(t.Context(), "GET", "http://windsock/", nil)
	require.NoError(t, err)
	page.Header.Set("Accept", "text/html")
	resp, err = client.Do(page)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(body), "<dt>kept</dt><dd>1MB</dd>")
	id, rest := follow(t, client, "http://windsock/messages/stream?after=7", "").next(t)
	assert.True(t, strings.HasSuffix(id, fmt.Sprint(".", oldest-1)), id)
	assert.Equal(t, fmt.Sprintf("event: pruned\ndata: {\"oldest\":%d}\n", oldest), rest)

	_, warning, code := run(t, dir, "", "export", "--after", "7")
	assert.Zero(t, code)
	assert.Equal(t, fmt.Sprintf("windsock: messages 8 to %d are not kept any longer, the oldest one is %d\n", oldest-1, oldest), warning)
	for _, args := range [][]string{nil, {"--after", fmt.Sprint(oldest - 1)}} {
		_, warning, code = run(t, dir, "", append([]string{"export"}, args...)...)
		assert.Zero(t, code)
		assert.Empty(t, warning)
	}
	status, answer, err := p.post(note("one more"))
	assertPosted(t, status, answer, err)
	status, answer, err = p.post(note("early 0 " + strings.Repeat("x", 1000)))
	assertPosted(t, status, answer, err)
	again := exported(t, dir)
	assert.EqualValues(t, 3002, again[len(again)-1]["seq"], "it is stored again: nobody knows it any more")
	assert.Zero(t, p.stop())
}

// serveAtOnce serves with a clock that is believed at once, and not after an hour,
// which only the linker can say.
func serveAtOnce(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	flags := append([]string{"-ldflags", "-X github.com/windsock-scgi/windsock/app/retention.steadyText=0s"}, buildFlags...)
	p := launch(t, dir, exec.Command(binary(t, flags...), append([]string{"serve"}, args...)...))
	p.waitFor(`"message":"serving"`)
	return p
}

// What is older than it may be goes, and nothing else: first addresses, then
// whole messages, then the addresses that are left.
func TestKeepAge(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir)
	fill(t, p, "many", 6)
	require.Zero(t, p.stop())
	makeOlder(t, dir, 3, 3*time.Hour)
	assertKept(t, dir, []int{1, 2, 3, 4, 5, 6}, []int{1, 2, 3, 4, 5, 6})

	pruned := func(p *process, what string) {
		t.Helper()
		p.waitFor(what + `,"bytes":0`)
		assert.Zero(t, p.stop())
	}
	pruned(serveAtOnce(t, dir, "--keep-addresses", "2h"), `"messages":0,"through":0,"addresses":3`)
	assertKept(t, dir, []int{1, 2, 3, 4, 5, 6}, []int{4, 5, 6})
	pruned(serveAtOnce(t, dir, "--keep", "2h"), `"messages":3,"through":3,"addresses":0`)
	assertKept(t, dir, []int{4, 5, 6}, []int{4, 5, 6})

	p = serveAtOnce(t, dir, "--keep-addresses", "0")
	fill(t, p, "more", 2)
	pruned(p, `"messages":0,"through":0,"addresses":3`)
	assertKept(t, dir, []int{4, 5, 6, 7, 8}, nil)
}

// makeOlder lets a stopped windsock's messages up to a seq be received earlier.
func makeOlder(t *testing.T, dir string, through int, by time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", storeIn(dir))
	require.NoError(t, err)
	_, err = db.Exec("UPDATE messages SET received = received - ?, time_created = time_created - ?, time_uploaded = time_uploaded - ? WHERE seq <= ?",
		by.Microseconds(), int64(by.Seconds()), int64(by.Seconds()), through)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// assertKept compares the seqs that are stored, and those that have an address.
func assertKept(t *testing.T, dir string, all, addressed []int) {
	t.Helper()
	var kept, with []int
	for _, entry := range exported(t, dir) {
		seq := int(entry["seq"].(float64))
		kept = append(kept, seq)
		if entry["address"] != nil {
			with = append(with, seq)
		}
	}
	assert.Equal(t, all, kept)
	assert.Equal(t, addressed, with)
	_, stderr, code := run(t, dir, "", "check")
	assert.Zero(t, code, stderr)
}

// Without their addresses, messages come in as ever.
func TestKeepNoAddresses(t *testing.T) {
	dir := folder(t)
	p := serve(t, dir, "--keep-addresses", "0")
	status, answer, err := p.post(note("anonymous"))
	assertPosted(t, status, answer, err)
	fill(t, p, "many", 2)
	kept := exported(t, dir)
	require.Len(t, kept, 3)
	for _, entry := range kept {
		assert.NotContains(t, entry, "address")
	}
	assert.Zero(t, p.stop())
}

func TestKeepUsage(t *testing.T) {
	for _, arg := range []string{"--keep=6m", "--keep=90", "--keep=1KB", "--keep-addresses=20GB"} {
		_, said, code := run(t, folder(t), "", "serve", arg)
		assert.Equal(t, 2, code, arg)
		flag, value, _ := strings.Cut(arg, "=")
		assert.Contains(t, said, flag+": \""+value+"\"")
	}
}
