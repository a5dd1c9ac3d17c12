//go:build unix && !linux

package cgihost

import "syscall"

// canAwaitExit says that the end of a process can be waited for here without
// giving up its number. Elsewhere a group could not be killed safely.
const canAwaitExit = false

func endWithParent(*syscall.SysProcAttr) {}

func awaitExit(int) {}

func closeInherited() {}
