package listen

import (
	"context"
	"net"
)

// Dial connects to the address, a unix or tcp one.
func (a Address) Dial(ctx context.Context) (net.Conn, error) {
	if err := a.dialable(); err != nil {
		return nil, fault(a.String(), err)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, a.Network, a.Address)
}
