package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

func listenTCP(ctx context.Context, a Address) (*Listener, error) {
	network, address, err := a.bindTCP(ctx)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // Go's default is on, and no front end speaks it
	inner, err := config.Listen(ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another server listens on it; stop it first or choose another port (%w)", syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, err
	}
	return &Listener{inner: inner.(*net.TCPListener), address: a}, nil
}

// bindTCP says what to bind. A name is looked up here and its address bound, so
// that what was checked is what is listened on. Left to itself net would take
// 0.0.0.0 for IPv6 as well.
func (a Address) bindTCP(ctx context.Context) (network, address string, err error) {
	host, port, err := net.SplitHostPort(a.Address)
	if err != nil || host == "" {
		return "tcp", a.Address, err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		ip, err = a.lookUp(ctx, host)
	}
	if err != nil {
		return "", "", err
	}
	network = "tcp"
	if ip.Is4() {
		network = "tcp4"
	}
	return network, net.JoinHostPort(ip.String(), port), nil
}

func (a Address) lookUp(ctx context.Context, host string) (netip.Addr, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return a.options.choose(ips)
}

// choose takes the first IPv4 address of a name, or else the first one. All of
// them must be such as may be listened on.
func (o options) choose(ips []netip.Addr) (netip.Addr, error) {
	chosen := netip.Addr{}
	for _, ip := range ips {
		ip = ip.Unmap()
		if err := o.guard(ip); err != nil {
			return netip.Addr{}, fmt.Errorf("the name stands for %s: %w", ip, err)
		}
		if !chosen.IsValid() || ip.Is4() && !chosen.Is4() {
			chosen = ip
		}
	}
	if !chosen.IsValid() {
		return chosen, errors.New("the name stands for no address")
	}
	return chosen, nil
}
