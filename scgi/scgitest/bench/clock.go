//go:build linux

package main

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"unsafe"
)

// This file is what the measuring takes from the kernel: clocks, processors,
// addresses.

const (
	clockMonotonic  = 1
	clockProcessCPU = 2
)

func readClock(id int32) int64 {
	var now syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&now)), 0); errno != 0 {
		panic(fmt.Sprintf("bench: clock %d: %v", id, errno))
	}
	return now.Nano()
}

func nanotime() int64 { return readClock(clockMonotonic) }

// ownCPU is the CPU time of this process, in seconds.
func ownCPU() float64 { return float64(readClock(clockProcessCPU)) / 1e9 }

// cpuOf is that of another one: clock_getcpuclockid(3), in nanoseconds and
// without the 10 ms of /proc/PID/stat.
func cpuOf(pid int) float64 { return float64(readClock(int32(^pid<<3|2))) / 1e9 }

// cpuSet is the processors that a thread may use.
type cpuSet [16]uint64

func (s *cpuSet) call(trap uintptr) {
	if _, _, errno := syscall.RawSyscall(trap, 0, unsafe.Sizeof(*s), uintptr(unsafe.Pointer(s))); errno != 0 {
		panic(fmt.Sprintf("bench: processors: %v", errno))
	}
}

// allowedCPUs are the numbers of the processors that this thread may use.
func allowedCPUs() (cpus []int) {
	var set cpuSet
	set.call(syscall.SYS_SCHED_GETAFFINITY)
	for i := range 64 * len(set) {
		if set[i/64]&(1<<(i%64)) != 0 {
			cpus = append(cpus, i)
		}
	}
	return cpus
}

// pin keeps this thread, and the processes that it starts, on these processors.
func pin(cpus []int) {
	var set cpuSet
	for _, i := range cpus {
		set[i/64] |= 1 << (i % 64)
	}
	set.call(syscall.SYS_SCHED_SETAFFINITY)
}

// sockaddr is what connect(2) takes.
func sockaddr(address string) (family int, target syscall.Sockaddr, err error) {
	network, rest, _ := strings.Cut(address, ":")
	if network == "unix" {
		return syscall.AF_UNIX, &syscall.SockaddrUnix{Name: rest}, nil
	}
	tcp, err := net.ResolveTCPAddr("tcp4", rest)
	if err != nil {
		return 0, nil, err
	}
	return syscall.AF_INET, &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}, nil
}
