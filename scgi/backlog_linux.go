package scgi

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// maxBacklog is taken for the length of a queue that cannot be asked: the default of
// net.core.somaxconn, which bounds a queue.
const maxBacklog = 4096

// backlog returns the number of connections that wait in the listener's queue. They
// are accepted in the order of their arrival, so the same number of calls of Accept
// takes all of them and none that come later. Where the kernel does not tell, it is
// maxBacklog.
func backlog(l net.Listener) (n int) {
	err := controlListener(l, func(fd int) (err error) {
		if l.Addr().Network() == "unix" {
			n, err = unixBacklog(fd)
		} else {
			n, err = tcpBacklog(fd)
		}
		return err
	})
	if err != nil {
		return maxBacklog
	}
	return n
}

// queued reports whether a connection waits in the listener's queue.
func queued(l net.Listener) bool {
	var events int16
	err := controlListener(l, func(fd int) error {
		events = poll(uintptr(fd), pollIn)
		return nil
	})
	return err == nil && events&pollIn != 0
}

// controlListener calls do with the descriptor of a listener, and returns its error.
func controlListener(l net.Listener, do func(fd int) error) error {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return controlRaw(raw, do)
}

// tcpBacklog is what the kernel shows as tcpi_unacked of a socket that listens.
func tcpBacklog(fd int) (int, error) {
	var info syscall.TCPInfo
	size := uint32(syscall.SizeofTCPInfo)
	_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt", errno)
	}
	return int(info.Unacked), nil
}

// Constants of sock_diag(7), which package syscall lacks.
const (
	netlinkSockDiag  = 4  // NETLINK_SOCK_DIAG
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	udiagShowRQLen   = 1 << 4
	unixDiagRQLen    = 4 // UNIX_DIAG_RQLEN
)

// unixBacklog asks sock_diag(7), since no call on the socket itself tells.
func unixBacklog(fd int) (int, error) {
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	diag, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkSockDiag)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer syscall.Close(diag)
	if err := syscall.Sendto(diag, rqLenRequest(uint32(stat.Ino)), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	answer := make([]byte, 512)
	n, _, err := syscall.Recvfrom(diag, answer, 0) // which does not wait: the kernel answers within sendto
	if err != nil {
		return 0, os.NewSyscallError("recvfrom", err)
	}
	return rqLen(answer[:n])
}

// rqLenRequest is a struct nlmsghdr and a struct unix_diag_req, which ask for the
// lengths of the queues of the socket with that inode.
func rqLenRequest(inode uint32) []byte {
	const length, anyCookie = syscall.SizeofNlMsghdr + 24, 0xffffffff
	b := binary.NativeEndian.AppendUint32(nil, length)
	b = binary.NativeEndian.AppendUint16(b, sockDiagByFamily)
	b = binary.NativeEndian.AppendUint16(b, syscall.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...)                                                // sequence and port
	b = append(b, syscall.AF_UNIX, 0, 0, 0)                                          // family, protocol, padding
	for _, field := range []uint32{0, inode, udiagShowRQLen, anyCookie, anyCookie} { // the first is for states
		b = binary.NativeEndian.AppendUint32(b, field)
	}
	return b
}

// rqLen finds the length of the queue in the answer: a struct nlmsghdr, a struct
// unix_diag_msg, and the attribute, which is a struct nlattr and a struct
// unix_diag_rqlen.
func rqLen(answer []byte) (int, error) {
	const attribute, value = syscall.SizeofNlMsghdr + 16, syscall.SizeofNlMsghdr + 20
	if len(answer) < value+4 || binary.NativeEndian.Uint16(answer[4:]) != sockDiagByFamily ||
		binary.NativeEndian.Uint16(answer[attribute+2:]) != unixDiagRQLen {
		return 0, errors.ErrUnsupported
	}
	return int(binary.NativeEndian.Uint32(answer[value:])), nil
}
