package main_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

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
