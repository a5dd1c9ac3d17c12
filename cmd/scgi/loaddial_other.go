//go:build !linux

package main

// target is not needed: net.Dial resolves.
type target struct{}

func (*load) resolve() error { return nil }

func (l *load) newWorker(connections int) (worker, error) {
	return newDialWorker(l, connections), nil
}
