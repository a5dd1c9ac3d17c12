//go:build go1.26 && !go1.27

package scgi

import (
	"runtime/debug"
	"unsafe" // for go:linkname
)

// A goroutine may carry what a handler has left on it: profiler labels, the lock on
// its thread, and the setting of debug.SetPanicOnFault. None of it may reach the next
// request on the same goroutine.
//
// The runtime has no exported way to ask for the first two that is fast enough:
// runtime.Stack shows them, and costs 5% of a request. So this file links to two of
// its functions by name. A Go release may take them away, therefore it is built for
// those releases that it has been tested with; goroutine_unknown.go is for others.

// profilerLabels identifies the labels of the calling goroutine.
//
//go:linkname profilerLabels runtime/pprof.runtime_getProfLabel
func profilerLabels() unsafe.Pointer

// lockedOSThread reports whether the calling goroutine is locked to its thread.
//
//go:linkname lockedOSThread runtime.lockedOSThread
func lockedOSThread() bool

// goroutineMark is what the calling goroutine began with.
type goroutineMark struct{ labels unsafe.Pointer }

func markGoroutine() goroutineMark { return goroutineMark{profilerLabels()} }

// unchanged reports whether the calling goroutine is as good as a new one.
func (m goroutineMark) unchanged() bool {
	return profilerLabels() == m.labels && !lockedOSThread() && !debug.SetPanicOnFault(false)
}
