package app

import "net/netip"

// WithoutAddresses returns a Store that stores no address in log. It changes the
// batches that it is given.
func WithoutAddresses(log Store) Store { return withoutAddresses{log} }

type withoutAddresses struct{ Store }

func (l withoutAddresses) Append(batch []Message) ([]Receipt, error) {
	for i := range batch {
		batch[i].Address = netip.Addr{}
	}
	return l.Store.Append(batch)
}
