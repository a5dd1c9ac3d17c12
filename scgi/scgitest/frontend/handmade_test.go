//go:build unix

package frontend

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handmade is a file of testdata/scgi that no front end sends.
type handmade struct {
	name   string // without .scgi
	what   string // what is odd or broken about it
	answer string // what a server answers; "none" where the peer has ended too early to be answered
	data   string
}

// The stored files are those of the tables, and the README tells of each.
func TestHandMade(t *testing.T) {
	if *update {
		updateHandMade(t)
	}
	for dir, files := range map[string][]handmade{"good": oddRequests, "bad": badRequests} {
		for _, f := range files {
			stored, err := os.ReadFile(filepath.Join(testdata, dir, f.name+".scgi"))
			require.NoError(t, err, "go test ./scgi/scgitest/frontend -run TestHandMade -update writes it")
			assert.Equal(t, f.data, string(stored), f.name)
			assert.Less(t, len(stored), 64<<10, f.name)
		}
	}
	readme, err := os.ReadFile(filepath.Join(testdata, "README.md"))
	require.NoError(t, err)
	assert.Contains(t, string(readme), handMadeTables(), "-update writes it")
}

func updateHandMade(t *testing.T) {
	for dir, files := range map[string][]handmade{"good": oddRequests, "bad": badRequests} {
		for _, f := range files {
			require.NoError(t, os.WriteFile(filepath.Join(testdata, dir, f.name+".scgi"), []byte(f.data), 0o644))
		}
	}
	readme, err := os.ReadFile(filepath.Join(testdata, "README.md"))
	require.NoError(t, err)
	prose, _, found := strings.Cut(string(readme), tablesBegin)
	require.True(t, found, "the README has no line %q", tablesBegin)
	require.NoError(t, os.WriteFile(filepath.Join(testdata, "README.md"), []byte(prose+handMadeTables()), 0o644))
}

// tablesBegin is the line of the README from which on it is written by the test.
const tablesBegin = "## The hand-made files\n"

func handMadeTables() string {
	var text strings.Builder
	text.WriteString(tablesBegin)
	text.WriteString("\nFrom here on this text is written by `go test ./scgi/scgitest/frontend -run TestHandMade -update`.\n")
	text.WriteString("\n| good/ | What is odd |\n| --- | --- |\n")
	for _, f := range oddRequests {
		fmt.Fprintf(&text, "| %s.scgi | %s |\n", f.name, f.what)
	}
	text.WriteString("\n| bad/ | What is broken | Answer |\n| --- | --- | --- |\n")
	for _, f := range badRequests {
		fmt.Fprintf(&text, "| %s.scgi | %s | %s |\n", f.name, f.what, f.answer)
	}
	return text.String()
}

// Every file under good, captured or made, is a request; every file under bad is none, for the reason it
// is there. And there are no files that nothing accounts for.
func TestFilesAreWhatTheySay(t *testing.T) {
	for name, err := range readAll(t, "good") {
		assert.NoError(t, err, name)
	}
	bad := readAll(t, "bad")
	assert.ErrorIs(t, bad["nginx-unbuffered-length"], errWrong)
	delete(bad, "nginx-unbuffered-length")
	for _, f := range badRequests {
		assert.ErrorIs(t, bad[f.name], map[bool]error{true: errCut, false: errWrong}[f.answer == "none"], f.name)
		delete(bad, f.name)
	}
	assert.Empty(t, slices.Collect(maps.Keys(bad)))
}

// readAll reads every file of a folder as a request.
func readAll(t *testing.T, dir string) map[string]error {
	paths, err := filepath.Glob(filepath.Join(testdata, dir, "*"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	found := map[string]error{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		_, err = readRequest(bufio.NewReader(bytes.NewReader(data)))
		found[strings.TrimSuffix(filepath.Base(path), ".scgi")] = err
	}
	return found
}

// The faults are single ones: what the broken requests are made from is sound, and as long as they say.
func TestHandMadeStartSound(t *testing.T) {
	assert.Len(t, getBlock, 65)
	assert.Len(t, postBlock, 73)
	for _, data := range []string{get(), post(), post("HTTP_ACCEPT", "*/*"), contentLength("7")} {
		_, err := readRequest(bufio.NewReader(strings.NewReader(data)))
		assert.NoError(t, err)
	}
}

// block is a header block without its netstring frame.
func block(namesAndValues ...string) string {
	return strings.Join(namesAndValues, "\x00") + "\x00"
}

// frame makes a netstring.
func frame(block string) string { return fmt.Sprintf("%d:%s,", len(block), block) }

// get is a GET without a body, with more variables at the block's end.
func get(more ...string) string { return frame(getBlock + blockOf(more)) }

// post is a POST of postBody.
func post(more ...string) string { return frame(postBlock+blockOf(more)) + postBody }

const (
	getBlock  = "CONTENT_LENGTH\x000\x00SCGI\x001\x00REQUEST_METHOD\x00GET\x00REQUEST_URI\x00/habitat/\x00"
	postBlock = "CONTENT_LENGTH\x007\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/habitat/message\x00"
	postBody  = `{"a":1}`
)

func blockOf(namesAndValues []string) string {
	if len(namesAndValues) == 0 {
		return ""
	}
	return block(namesAndValues...)
}

// contentLength is a POST whose CONTENT_LENGTH has this value.
func contentLength(value string) string {
	return frame(strings.Replace(postBlock, "\x007\x00", "\x00"+value+"\x00", 1)) + postBody
}
