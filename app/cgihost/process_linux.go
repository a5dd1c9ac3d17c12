package cgihost

import (
	"os"
	"strconv"
	"syscall"
)

const canAwaitExit = true

// endWithParent has the kernel end a program when this process is killed; to be
// exact, when the thread ends that started it: see starter.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// awaitExit waits for the end of a child and does not reap it: until that is
// done neither its number nor its group's is anybody else's.
func awaitExit(pid int) {
	const byPID, exited, noReap = 1, 0x4, 0x1000000 // P_PID, WEXITED, WNOWAIT
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, exited|noReap, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// closeInherited keeps from programs the descriptors that this process was
// started with, such as a socket of systemd's. Those that Go opens are closed to
// them from the start.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc they get them
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
