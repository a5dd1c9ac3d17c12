package scgi

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// localAddr is the value of http.LocalAddrContextKey: the address at which the
// front end took the request in, a *net.TCPAddr, when it names that in SERVER_ADDR
// and SERVER_PORT. Protections against DNS rebinding judge by it. Without an IP
// address there, it is the address of the connection to the front end.
func (c *conn) localAddr() net.Addr {
	ip, err := netip.ParseAddr(strings.Trim(c.vars.Get("SERVER_ADDR"), "[]"))
	if err != nil {
		return c.rwc.LocalAddr()
	}
	port, err := strconv.ParseUint(c.vars.Get("SERVER_PORT"), 10, 16)
	if err != nil {
		port = 0 // as for RemoteAddr
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), uint16(port)))
}
