package frontend

import "syscall"

// endWithParent has the kernel end the front end when the test dies without cleaning up, as after its
// time limit. Strictly it is the end of the thread that does it; Go's threads stay, but for one whose
// goroutine ends locked to it.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
