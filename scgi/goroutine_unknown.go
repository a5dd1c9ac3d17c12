//go:build !go1.26 || go1.27

package scgi

// goroutineMark does not know what a handler has left on a goroutine, so that each
// serves one connection, as under net/http.
type goroutineMark struct{}

func markGoroutine() goroutineMark { return goroutineMark{} }

func (goroutineMark) unchanged() bool { return false }
