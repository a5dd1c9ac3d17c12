//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// load sends one request over and over, on one thread and without the Go
// scheduler, so that it costs less than what it measures. It keeps a window of
// requests open and takes the answers in the order in which it asked: the
// latency of an answer is never shown shorter than it was, at times longer.
type load struct {
	Address string // "unix:PATH" or "tcp:HOST:PORT"
	Request []byte
	Window  int  // requests that are open at once
	Keep    bool // all on Window connections that stay; else one each
	Time    time.Duration

	target  syscall.Sockaddr
	family  int
	varying []byte   // the part of Request that counts up, if any
	times   [][]byte // the parts that are the time, if any
	count   uint64
	length  int // of an answer, when connections stay
	slots   []slot
	buf     [64 << 10]byte
}

// slot is a request that is open.
type slot struct {
	fd int
	at int64
}

// loaded is what came of it.
type loaded struct {
	Requests int
	Seconds  float64
	CPU      float64 // seconds of the load itself
	P50, P99 float64 // milliseconds
}

// What stands in a request where each shall differ from all others, and where it
// shall have the time, in UNIX seconds.
const (
	varyingMark = "@@@@@@@@@@@@@@@@"
	timeMark    = "##########"
)

func (l *load) run() (loaded, error) {
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	if err := l.prepare(); err != nil {
		return loaded{}, err
	}
	latencies := make([]int64, 0, 1<<22)
	cpu, begin := ownCPU(), nanotime()
	end := begin + int64(l.Time)
	for i := range l.slots {
		if err := l.ask(&l.slots[i]); err != nil {
			return loaded{}, err
		}
	}
	for open, oldest := len(l.slots), 0; open > 0; oldest = (oldest + 1) % len(l.slots) {
		s := &l.slots[oldest]
		if err := l.take(s); err != nil {
			return loaded{}, err
		}
		now := nanotime()
		latencies = append(latencies, now-s.at)
		if now > end {
			open-- // nothing is asked that nobody waits for
		} else if err := l.ask(s); err != nil {
			return loaded{}, err
		}
	}
	took, used := nanotime()-begin, ownCPU()-cpu
	slices.Sort(latencies)
	n := len(latencies)
	return loaded{Requests: n, Seconds: float64(took) / 1e9, CPU: used,
		P50: float64(latencies[n/2]) / 1e6, P99: float64(latencies[n*99/100]) / 1e6}, nil
}

// prepare opens the connections that stay, and tries one request.
func (l *load) prepare() (err error) {
	if l.family, l.target, err = sockaddr(l.Address); err != nil {
		return err
	}
	if i := bytes.Index(l.Request, []byte(varyingMark)); i >= 0 {
		l.varying = l.Request[i : i+len(varyingMark)]
	}
	for at := 0; ; {
		i := bytes.Index(l.Request[at:], []byte(timeMark))
		if i < 0 {
			break
		}
		at += i + len(timeMark)
		l.times = append(l.times, l.Request[at-len(timeMark):at])
	}
	l.slots = make([]slot, l.Window)
	for i := range l.slots {
		l.slots[i].fd = -1
	}
	if !l.Keep {
		return l.try(&slot{fd: -1})
	}
	for i := range l.slots {
		if l.slots[i].fd, err = l.connect(); err != nil {
			return err
		}
	}
	return l.try(&l.slots[0])
}

// try sees that an answer is good, and how long it is.
func (l *load) try(s *slot) error {
	if err := l.ask(s); err != nil {
		return err
	}
	patience := syscall.NsecToTimeval(int64(300 * time.Millisecond))
	if err := syscall.SetsockoptTimeval(s.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience); err != nil {
		return err
	}
	var errno syscall.Errno
	for {
		var n int
		n, errno = l.receive(s.fd, l.buf[l.length:])
		l.length += n
		if n == 0 {
			break
		}
	}
	answer := l.buf[:l.length]
	if !bytes.Contains(answer, []byte("OK")) {
		return fmt.Errorf("%s answers %q, %w", l.Address, answer, errno)
	}
	if l.Keep {
		return syscall.SetsockoptTimeval(s.fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, new(syscall.Timeval))
	}
	return syscall.Close(s.fd)
}

// ask sends the next request.
func (l *load) ask(s *slot) (err error) {
	if l.varying != nil {
		// Nanoseconds have nine digits behind the seconds' ten.
		l.count = max(l.count+1, uint64(time.Now().UnixNano()))
		text := strconv.FormatUint(l.count, 10)
		copy(l.varying, text[len(text)-len(l.varying):])
		for _, seconds := range l.times {
			copy(seconds, text)
		}
	}
	s.at = nanotime()
	if !l.Keep {
		if s.fd, err = l.connect(); err != nil {
			return err
		}
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(s.fd),
		uintptr(unsafe.Pointer(&l.Request[0])), uintptr(len(l.Request)), syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 || int(n) != len(l.Request) {
		return fmt.Errorf("sending to %s: %d bytes, %w", l.Address, int(n), errno)
	}
	return nil
}

// take takes the whole answer.
func (l *load) take(s *slot) error {
	for got := 0; ; {
		n, errno := l.receive(s.fd, l.buf[:])
		got += n
		switch {
		case errno == syscall.EINTR:
		case errno != 0:
			return fmt.Errorf("receiving from %s: %w", l.Address, errno)
		case l.Keep && got == l.length:
			return nil
		case l.Keep && (n == 0 || got > l.length), n == 0 && got != l.length:
			return fmt.Errorf("%s answered %d bytes, and %d at first", l.Address, got, l.length)
		case n == 0:
			_, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(s.fd), 0, 0)
			return nil
		}
	}
}

func (l *load) receive(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (l *load) connect() (int, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, uintptr(l.family), syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	if err := syscall.Connect(int(fd), l.target); err != nil {
		return -1, fmt.Errorf("connecting to %s: %w", l.Address, err)
	}
	if l.family == syscall.AF_INET && l.Keep {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) // only slower without
	}
	return int(fd), nil
}

// idle opens that many connections, sends nothing, and holds them until its input
// ends.
func idle(address string, n int) error {
	l := load{Address: address}
	var err error
	if l.family, l.target, err = sockaddr(address); err != nil {
		return err
	}
	for range n {
		if _, err := l.connect(); err != nil {
			return err
		}
	}
	fmt.Println("open")
	if _, err := os.Stdin.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("waiting for the end: %w", err)
	}
	return nil
}
