package listen

import (
	"context"
	"net"
	"net/netip"
	"os"
)

const (
	MaxPath            = maxPath
	ProxyHeaderTimeout = proxyHeaderTimeout
)

func NewProxyConn(c net.Conn, bad func(error)) net.Conn { return newProxyConn(c, bad) }

// Choose picks what a name stands for under the options of addr.
func Choose(addr string, ips []netip.Addr) (netip.Addr, error) {
	a, err := parse(addr)
	if err != nil {
		return netip.Addr{}, err
	}
	return a.options.choose(ips)
}

// SystemdDescriptor finds a socket in an environment.
func SystemdDescriptor(name string, env map[string]string, pid int) (int, error) {
	passed, err := systemdSockets(func(key string) string { return env[key] }, pid)
	if err != nil {
		return -1, err
	}
	return passed.find(name)
}

// Stage begins to start on a path and tells of the folder that is held.
func Stage(path string) (os.FileInfo, func(), error) {
	s, err := openStaging(context.Background(), path)
	if err != nil {
		return nil, nil, err
	}
	info, err := s.dir.Stat()
	return info, s.close, err
}
