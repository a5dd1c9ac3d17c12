//go:build unix && !linux

package frontend

import "syscall"

// endWithParent does nothing: only Linux has that.
func endWithParent(*syscall.SysProcAttr) {}
