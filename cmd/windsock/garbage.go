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
	// gcMemory is from where on there is less garbage: what is in use under the
	// highest load, queue, windows and connections, and room beside it.
	gcMemory = 512 << 20
)

// setGarbage sets when garbage is collected, unless who started us did so.
func setGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(gcMemory)
	}
}
