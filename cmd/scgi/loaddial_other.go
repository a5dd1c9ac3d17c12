//go:build !linux

package main

// newWorker makes a worker for some of the connections.
func newWorker(l *load, connections int) (worker, error) {
	return newDialWorker(l, connections)
}
