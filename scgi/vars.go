package scgi

import (
	"iter"
	"net/http"
	"strings"
)

// Vars is the environment of one request: the variables of its SCGI header,
// in the order in which they came. It is immutable, may be kept after the
// request and is safe for concurrent use. The zero Vars is empty.
//
// Every name stands in it once. What a front end sent more than once was
// merged as [ReadHeader] says.
type Vars struct {
	block string // valid: (name NUL value NUL)*, each name once and not empty
}

// Get returns the value of the variable called name, and "" when there is none.
// Names are case-sensitive.
func (v Vars) Get(name string) string {
	value, _ := v.Lookup(name)
	return value
}

// Lookup returns the value of the variable called name, and whether there is
// one: a front end may well send an empty value, and RFC 3875 sometimes gives
// that another meaning than none at all.
func (v Vars) Lookup(name string) (string, bool) {
	for block := v.block; block != ""; {
		var n, value string
		if n, value, block = cutVar(block); n == name {
			return value, true
		}
	}
	return "", false
}

// All iterates over the variables in the order in which they came.
func (v Vars) All() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for block := v.block; block != ""; {
			var name, value string
			if name, value, block = cutVar(block); !yield(name, value) {
				return
			}
		}
	}
}

// cutVar takes the first variable off a valid, non-empty block.
func cutVar(block string) (name, value, rest string) {
	i := strings.IndexByte(block, 0)
	name, block = block[:i], block[i+1:]
	i = strings.IndexByte(block, 0)
	return name, block[:i], block[i+1:]
}

// Env returns the environment of a request that a [Server] serves. It may be
// called at any time, with the request or with one derived from it. A request
// that did not come over SCGI has none: its Vars is empty. One that a local
// redirect has made ([CGIWriter]) has its own.
func Env(r *http.Request) Vars {
	ctx := r.Context()
	if x, ok := ctx.(*requestContext); ok { // nearly always
		return x.c.vars
	}
	if redirect, ok := ctx.Value(localRedirectKey{}).(*localRedirect); ok {
		return redirect.vars
	}
	if c := connOf(ctx, nil); c != nil {
		return c.vars
	}
	return Vars{}
}
