//go:build unix

package listen_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/listen"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// Check says what Listen would find wrong, and touches nothing.
func TestCheck(t *testing.T) {
	dir := frontend.SocketDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("file"), nil, 0o600))
	l, err := listen.Listen(t.Context(), "unix:"+at("live"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // nothing was served
	for addr, want := range map[string]string{
		"unix:" + at("new"):                       "",
		"unix:" + at("live"):                      "", // it may be the one that is asked about
		"unix:" + at("new") + "?group=0":          "",
		"tcp:127.0.0.1:0":                         "",
		"tcp:localhost:4000":                      "",
		"tcp:10.0.0.5:4000?allow=10.0.0.0/24":     "", // whether it is ours only binding would tell
		"fd:9":                                    "",
		"systemd:web":                             "",
		"unix:" + at("file"):                      "no socket",
		"unix:" + at("nowhere/s"):                 "make the folder first",
		"unix:" + at("file/s"):                    "is no folder",
		"unix:" + at("new") + "?group=nosuch-one": "nosuch-one",
		"tcp:nosuchhost.invalid:4000":             "nosuchhost.invalid",
		"tcp:10.0.0.5:4000":                       "allow=",
		"file:x":                                  "unknown kind of address",
	} {
		err := listen.Check(context.Background(), addr)
		if want == "" {
			assert.NoError(t, err, addr)
			continue
		}
		assert.ErrorContains(t, err, want, addr)
		_, listenErr := listen.Listen(t.Context(), addr)
		assert.Error(t, listenErr, addr)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 2)
}

func TestCheckFolder(t *testing.T) {
	if frontend.AsLesserUser(t) {
		return
	}
	dir := frontend.SocketDir(t)
	require.NoError(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // or it could not be removed
	assert.ErrorContains(t, listen.Check(t.Context(), "unix:"+dir+"/s"), "the right to write there")
}
