package listen

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
)

// listenInherited listens on a socket that another process has opened.
func listenInherited(a Address) (*Listener, error) {
	fd, err := a.descriptor()
	if err != nil {
		return nil, err
	}
	inner, err := adopt(fd)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	if err := a.options.fit(inner.Addr()); err != nil {
		_ = inner.Close() // the descriptor stays
		return nil, err
	}
	return &Listener{inner: inner, address: a, inherited: true}, nil
}

func (a Address) descriptor() (int, error) {
	if a.Network == "fd" {
		return strconv.Atoi(a.Address)
	}
	passed, err := systemdSockets(os.Getenv, os.Getpid())
	if err != nil {
		return -1, err
	}
	for i := range passed {
		closeOnExec(systemdFirst + i)
	}
	return passed.find(a.Address)
}

// fit checks the options against what the socket turned out to be: what Parse
// does for a socket of our own.
func (o options) fit(addr net.Addr) error {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return o.fitUnix()
	}
	if err := o.fitTCP(); err != nil {
		return err
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	return o.guard(ip)
}
