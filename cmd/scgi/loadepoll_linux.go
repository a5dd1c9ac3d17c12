package main

// This file is the quick worker: one thread that holds many connections by
// epoll(7) and makes system calls directly. What net.Dial and its goroutines cost
// is more than an SCGI server should, and would be measured in its stead.

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// epollWorker holds its share of a load's connections.
type epollWorker struct {
	*load
	*tally
	judge    *judge
	family   int
	sockaddr syscall.Sockaddr
	epoll    int
	slots    []slot
	free     []int32 // slots without a connection
	events   []syscall.EpollEvent
	buffer   []byte
	deadline time.Duration // when to look for timeouts again
}

// slot is a connection and the answer on it.
type slot struct {
	fd      int   // -1: none
	sent    int   // so much of the request
	sendErr error // that the server reads no more; nil until then
	due     time.Duration
	began   time.Duration
	answer
}

// newWorker makes a worker for some of the connections.
func newWorker(l *load, connections int) (worker, error) {
	family, sockaddr, err := target(l.network, l.address)
	if err != nil {
		return nil, err
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	w := &epollWorker{load: l, tally: newTally(), judge: l.newJudge(), family: family, sockaddr: sockaddr, epoll: epoll,
		slots: make([]slot, connections), events: make([]syscall.EpollEvent, min(connections, 512)), buffer: make([]byte, 64<<10)}
	for i := range w.slots {
		w.slots[i].fd = -1
		w.free = append(w.free, int32(i))
	}
	return w, nil
}

// patience bounds every wait: so often it is looked for timeouts, and for the end.
const patience = 50 * time.Millisecond

// run implements worker.
func (w *epollWorker) run(ctx context.Context) {
	runtime.LockOSThread() // and never unlocked: the thread's timer slack is changed
	exactTimers()
	defer w.close()
	due, more := w.pace.next(w.now())
	for {
		now := w.now()
		for more && len(w.free) > 0 && due <= now && ctx.Err() == nil {
			w.begin(due, now)
			now = w.now()
			due, more = w.pace.next(now)
		}
		more = more && !w.pace.over(now)
		if ctx.Err() != nil || !more && len(w.free) == len(w.slots) {
			return
		}
		wait := patience
		if more && len(w.free) > 0 {
			wait = min(wait, due-now)
		}
		n := w.wait(wait)
		now = w.now()
		for _, event := range w.events[:n] {
			w.handle(event, now)
		}
		w.expire(now)
	}
}

// begin makes a connection and sends the request on it.
func (w *epollWorker) begin(due, now time.Duration) {
	fd, err := w.connect()
	if err != nil {
		w.failed(dialError{err})
		return
	}
	i := w.free[len(w.free)-1]
	w.free = w.free[:len(w.free)-1]
	s := &w.slots[i]
	s.fd, s.sent, s.due, s.began, s.sendErr = fd, 0, due, now, nil
	s.answer.reset()
	if !w.send(s) {
		w.end(i)
		return
	}
	w.watch(syscall.EPOLL_CTL_ADD, i)
}

func (w *epollWorker) connect() (int, error) {
	fd, err := syscall.Socket(w.family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	err = syscall.Connect(fd, w.sockaddr)
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) { // EAGAIN: a unix socket's queue is full
		_ = syscall.Close(fd) // it was never connected
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// send sends what it can, and reports whether there is an answer to wait for. A
// server that reads no more may have answered early.
func (w *epollWorker) send(s *slot) bool {
	n, err := syscall.Write(s.fd, w.request[s.sent:])
	switch err {
	case nil:
		s.sent += n
	case syscall.EAGAIN, syscall.EINTR:
	case syscall.EPIPE, syscall.ECONNRESET:
		s.sent, s.sendErr = len(w.request), syscall.ECONNRESET // which the read may not tell then
	default:
		w.failed(dialError{os.NewSyscallError("connect", err)}) // which ends in the background
		return false
	}
	return true
}

// watch asks for what is next on a connection.
func (w *epollWorker) watch(op int, i int32) {
	s := &w.slots[i]
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: i}
	if s.sent < len(w.request) {
		event.Events |= syscall.EPOLLOUT
	}
	if err := syscall.EpollCtl(w.epoll, op, s.fd, &event); err != nil {
		w.failed(os.NewSyscallError("epoll_ctl", err))
		w.end(i)
	}
}

// handle goes on with a connection on which something has happened.
func (w *epollWorker) handle(event syscall.EpollEvent, now time.Duration) {
	i := event.Fd
	s := &w.slots[i]
	if event.Events&syscall.EPOLLOUT != 0 && s.sent < len(w.request) {
		if !w.send(s) {
			w.end(i)
			return
		}
		if s.sent == len(w.request) {
			w.watch(syscall.EPOLL_CTL_MOD, i)
		}
	}
	if event.Events&^syscall.EPOLLOUT != 0 && w.receive(s, event.Events, now) {
		w.end(i)
	}
}

// receive reads what is there, and reports whether the exchange has ended.
func (w *epollWorker) receive(s *slot, events uint32, now time.Duration) bool {
	for {
		n, err := syscall.Read(s.fd, w.buffer)
		switch {
		case err == syscall.EAGAIN || err == syscall.EINTR:
			return false
		case err != nil:
			w.ended(w.judge, &s.answer, os.NewSyscallError("read", err), now-s.due)
			return true
		}
		s.answer.feed(w.buffer[:n])
		// Where the server had closed before and the read got less than it might
		// have, it got the last: that spares reading the end.
		closed := events&syscall.EPOLLRDHUP != 0 && events&syscall.EPOLLERR == 0
		if n == 0 || n < len(w.buffer) && closed {
			w.ended(w.judge, &s.answer, s.sendErr, now-s.due)
			return true
		}
		if n < len(w.buffer) {
			return false
		}
	}
}

// end closes a connection, which ends the watch on it.
func (w *epollWorker) end(i int32) {
	_ = syscall.Close(w.slots[i].fd) // all has been said
	w.slots[i].fd = -1
	w.free = append(w.free, i)
}

// expire ends the requests that take too long.
func (w *epollWorker) expire(now time.Duration) {
	if now < w.deadline {
		return
	}
	w.deadline = now + patience
	for i := range w.slots {
		if s := &w.slots[i]; s.fd >= 0 && now-s.began > w.timeout {
			w.failed(context.DeadlineExceeded)
			w.end(int32(i))
		}
	}
}

// wait waits for events, and returns how many there are.
func (w *epollWorker) wait(d time.Duration) int {
	if d > 0 && d < patience { // until the next is due: epoll_wait(2) knows no less than 1 ms
		waitReadable(w.epoll, d)
		d = 0
	}
	n, err := syscall.EpollWait(w.epoll, w.events, int(max(d, 0).Milliseconds()))
	if err != nil {
		return 0 // EINTR
	}
	return n
}

func (w *epollWorker) close() {
	for i := range w.slots {
		if w.slots[i].fd >= 0 {
			w.end(int32(i)) // interrupted: counted neither way
		}
	}
	_ = syscall.Close(w.epoll)
}

func (w *epollWorker) result() *tally { return w.tally }

// waitReadable waits until a descriptor is readable, at most so long.
func waitReadable(fd int, d time.Duration) {
	const pollIn = 0x1
	ask := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollIn}
	limit := syscall.NsecToTimespec(d.Nanoseconds())
	_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&ask)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
}

// exactTimers has the kernel wake this thread when it is asked to, and not up to
// 50 microseconds later.
func exactTimers() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, 1, 0)
}

// target is an address in the form of system calls. They write to it, so it is
// for one worker.
func target(network, address string) (family int, sockaddr syscall.Sockaddr, err error) {
	if network == "unix" {
		return syscall.AF_UNIX, &syscall.SockaddrUnix{Name: address}, nil
	}
	addr, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return 0, nil, err
	}
	if ip := addr.IP.To4(); ip != nil || len(addr.IP) == 0 { // none is this host, as for net.Dial
		v4 := &syscall.SockaddrInet4{Port: addr.Port}
		copy(v4.Addr[:], ip)
		return syscall.AF_INET, v4, nil
	}
	v6 := &syscall.SockaddrInet6{Port: addr.Port}
	copy(v6.Addr[:], addr.IP)
	if addr.Zone != "" {
		zone, err := net.InterfaceByName(addr.Zone)
		if err != nil {
			return 0, nil, err
		}
		v6.ZoneId = uint32(zone.Index)
	}
	return syscall.AF_INET6, v6, nil
}
