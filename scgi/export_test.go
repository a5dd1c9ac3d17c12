package scgi

import (
	"context"
	"net"
	"net/http"
)

// What the tests look at from inside.
var ParseBlock = parseBlock

// Portable keeps a server to the way of accepting that is not Linux's own.
func Portable(s *Server) { s.portable = true }

// Draining is closed when a server has begun to stop.
func Draining(s *Server) <-chan struct{} {
	_ = s.Serving() // makes the channels
	return s.draining
}

// ConnOf is the connection of a request.
func ConnOf(r *http.Request) net.Conn { return connOf(r.Context(), nil).rwc }

// NewRequest makes a request with a URL of its own.
func NewRequest(ctx context.Context, vars Vars) (*http.Request, error) {
	return newRequest(ctx, vars, new(requestParts))
}

// HeldBody is the longest body that is sent in one piece with its header.
const HeldBody = maxHeldBody
