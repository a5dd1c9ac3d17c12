package app

import "strings"

// InvalidError is the error for a body that is no valid message.
// Both of its parts may be shown to the client: they quote at most a few
// dozen bytes of what it sent.
type InvalidError struct {
	// Pointer is the RFC 6901 JSON pointer of the field at fault, such as
	// "/data/latitude". It is empty when the body as a whole is, or the
	// request around it.
	Pointer string
	// Reason says what is wrong and what is expected, without the field's
	// name: "must be between -90 and 90, not 91".
	Reason string
}

var _ error = (*InvalidError)(nil)

// Error returns the reason after the field's name, as in "data.latitude: must
// be between -90 and 90, not 91".
func (e *InvalidError) Error() string {
	if e.Pointer == "" {
		return e.Reason
	}
	return strings.ReplaceAll(e.Pointer[1:], "/", ".") + ": " + e.Reason
}
