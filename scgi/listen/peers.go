package listen

import (
	"net"
	"net/netip"
)

// admits reports whether a peer may connect. No peer gets here that has no
// address when allow= is given, and one that did would not be let in.
func (l *Listener) admits(c net.Conn) bool {
	allow := l.address.options.allow
	return len(allow) == 0 || contains(allow, c.RemoteAddr())
}

func contains(prefixes []netip.Prefix, peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, prefix := range prefixes {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// refuse counts a refused peer and tells of every power of two.
func (l *Listener) refuse(why string, peer net.Addr, args ...any) {
	n := l.refused.Add(1)
	if l.Logger == nil || n&(n-1) != 0 {
		return
	}
	args = append(args, "peer", peer.String(), "listener", l.address.String(), "refused", n)
	l.Logger.Warn(why, args...)
}
