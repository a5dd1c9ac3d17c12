package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// eventStream is an open stream of events.
type eventStream struct {
	*bufio.Reader
	header http.Header
}

// follow opens a stream, and waits for the comment that comes first, before any
// event.
func follow(t *testing.T, client *http.Client, url, lastEventID string) *eventStream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := client.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	const comment = ": heartbeat\n\n"
	first := make([]byte, len(comment))
	_, err = io.ReadFull(resp.Body, first)
	require.NoError(t, err)
	require.Equal(t, comment, string(first))
	return &eventStream{bufio.NewReader(resp.Body), resp.Header}
}

// next returns the next event: its id, and the rest.
func (s *eventStream) next(t *testing.T) (id, rest string) {
	t.Helper()
	for {
		line, err := s.ReadString('\n')
		require.NoError(t, err)
		switch {
		case line == "\n" && id != "":
			return id, rest
		case strings.HasPrefix(line, "id: "):
			id = strings.TrimSpace(line[len("id: "):])
		case !strings.HasPrefix(line, ":"):
			rest += line
		}
	}
}

// TestEventsBehindFrontEnds holds that events come through each front end, with
// the deploy files, one by one while the stream is open: the next message is
// posted only when the one before has come.
func TestEventsBehindFrontEnds(t *testing.T) {
	for _, kind := range []frontend.Kind{frontend.Nginx, frontend.Lighttpd, frontend.Apache} {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(string(kind)+" "+network, func(t *testing.T) {
				t.Parallel()
				frontend.Require(t, kind)
				dir := folder(t)
				backend := "unix:" + filepath.Join(dir, "windsock.sock")
				if network == "tcp" {
					backend = "tcp:127.0.0.1:0"
				}
				p := serve(t, dir, "--listen", backend)
				if network == "tcp" {
					backend = regexp.MustCompile(`tcp:127\.0\.0\.1:\d+`).FindString(p.log.String())
				}
				front := frontend.Start(t, kind, frontend.Config{Backend: backend, Style: frontend.Deploy})
				followThrough(t, front.URL+"/habitat")
				last := follow(t, &http.Client{}, front.URL+"/habitat/messages/stream", "")
				assert.Zero(t, p.stop(), "a stop does not wait for streams")
				rest, _ := io.ReadAll(last) // however the front end shows the end
				assert.Empty(t, rest)
			})
		}
	}
}

func followThrough(t *testing.T, url string) {
	t.Helper()
	client := &http.Client{}
	stream := follow(t, client, url+"/messages/stream", "")
	assert.Equal(t, "text/event-stream", stream.header.Get("Content-Type"))
	assert.Equal(t, "no-store", stream.header.Get("Cache-Control"))
	var ids []string
	for n := range 5 {
		status, answer, err := post(client, url+"/message", note(fmt.Sprint("event ", n)))
		assertPosted(t, status, answer, err)
		id, rest := stream.next(t)
		assert.Contains(t, rest, fmt.Sprintf(`{"name":"event %d"}`, n))
		ids = append(ids, id)
	}
	again := follow(t, client, url+"/messages/stream?after=0&type=LISTENER_INFO", ids[2])
	for _, want := range ids[3:] {
		id, _ := again.next(t)
		assert.Equal(t, want, id, "Last-Event-ID comes through")
	}
	assert.Equal(t, 1, strings.Count(strings.Join(ids, " "), strings.Split(ids[0], ".")[0]+".1"))
}

// Streams that are open, through the development front end too, are ended by a
// stop, which has nothing to wait for then; what is missed meanwhile is not lost.
func TestStopEndsStreams(t *testing.T) {
	p := serve(t, folder(t), "--http", "127.0.0.1:0")
	url := regexp.MustCompile(`http://[^/]*`).FindString(p.said("Ctrl-C"))
	status, answer, err := p.post(note("first"))
	assertPosted(t, status, answer, err)
	direct := follow(t, &http.Client{Transport: p.transport()}, "http://windsock/messages/stream?after=0", "")
	byHTTP := follow(t, &http.Client{}, url+"/messages/stream?after=0", "")
	id, _ := direct.next(t)
	same, _ := byHTTP.next(t)
	assert.Equal(t, id, same)

	p.signal(syscall.SIGTERM)
	rest, err := io.ReadAll(direct)
	require.NoError(t, err)
	assert.Empty(t, rest)
	rest, err = io.ReadAll(byHTTP)
	require.NoError(t, err)
	assert.Empty(t, rest)
	assert.Zero(t, p.wait())

	next := serve(t, p.folder)
	status, answer, err = next.post(note("second"))
	assertPosted(t, status, answer, err)
	resumed := follow(t, &http.Client{Transport: next.transport()}, "http://windsock/messages/stream", id)
	_, rest2 := resumed.next(t)
	assert.Contains(t, rest2, `{"name":"second"}`, "what was missed, by Last-Event-ID")
	assert.Zero(t, next.stop())
}

// Streams take half of the connections at most: whoever posts still gets in.
func TestStreamsLeaveRoomToPost(t *testing.T) {
	const descriptors, streams = 84, 10 // half of the 20 connections that there is room for
	dir := folder(t)
	p := launch(t, dir, exec.Command("sh", "-c", fmt.Sprintf("ulimit -n %d; exec %s serve", descriptors, binary(t, buildFlags...))))
	p.waitFor("\"message\":\"serving\"")
	client := &http.Client{Transport: p.transport()}
	for range streams {
		follow(t, client, "http://windsock/messages/stream", "")
	}
	resp, err := client.Get("http://windsock/messages/stream")
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.NotEmpty(t, resp.Header.Get("Retry-After"))
	status, answer, err := p.post(note("there is room"))
	assertPosted(t, status, answer, err)
	assert.Zero(t, p.stop())
}
