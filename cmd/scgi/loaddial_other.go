//go:build !linux

package main

// newWorker makes a worker for some of the connections.
func (l *load) newWorker(connections int) (worker, error) {
	return newDialWorker(l, connections), nil
}
