package cgihost

import (
	"net/http"
	"strconv"
	"sync/atomic"
)

// answer knows when it is whole by its Content-Length. nginx goes away then, and
// does not wait for the end.
type answer struct {
	http.ResponseWriter
	left  int64 // bytes that the Content-Length still has; of use after WriteHeader
	whole atomic.Bool
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	length, err := strconv.ParseInt(a.Header().Get("Content-Length"), 10, 64)
	if a.left = length; err != nil {
		a.left = -1
	}
	a.whole.Store(a.left == 0)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.left -= int64(len(p)); a.left == 0 {
		a.whole.Store(true) // before it is, so that nobody sees it whole before we do
	}
	return a.ResponseWriter.Write(p)
}
