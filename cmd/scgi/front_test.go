package main_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// runningFront is a scgi front.
type runningFront struct {
	*process
	url string
}

// startFront starts scgi front before an application, and returns when it serves.
func startFront(t *testing.T, addr string, args ...string) *runningFront {
	t.Helper()
	p := start(t, command(t, append([]string{"front", "127.0.0.1:0", addr}, args...)...))
	var serving struct{ HTTP string }
	require.NoError(t, json.Unmarshal([]byte(p.waitFor(`"serving"`)), &serving))
	return &runningFront{p, "http://" + serving.HTTP}
}
