package main

import (
	"os"
	"runtime/debug"
)

const (
	// gcPercent is how much garbage there may be beside what is in use. That is a
	// few megabytes, and with Go's 100 they would be gone through fifty times a
	// second under load: 5% of the CPU of a message.
	gcPercent = 400
	// gcBeside is how much memory there is for everything but --in-flight before
	// garbage is collected more often: the committer's queue (64 MiB), the window
	// of the event streams (16 MiB), batches at work, connections, and garbage.
	gcBeside = 160 << 20
)

// setGarbage sets when garbage is collected, unless the environment did. inFlight
// is how many bytes requests may hold.
func setGarbage(inFlight int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(inFlight + gcBeside)
	}
}
