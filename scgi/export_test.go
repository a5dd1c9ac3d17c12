package scgi

import (
	"context"
	"net/http"
	"net/url"
)

// What the tests look at from inside.
var ParseBlock = parseBlock

// NewRequest makes a request with a URL of its own.
func NewRequest(ctx context.Context, vars Vars) (*http.Request, error) {
	return newRequest(ctx, vars, new(url.URL))
}

// HeldBody is the longest body that is sent in one piece with its header.
const HeldBody = maxHeldBody
