package web

// This file is the Idempotency-Key: a name that a client gives to a message, so
// that it cannot be taken for another one. A retry is found without it, too.

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/windsock-scgi/windsock/app"
)

// errKeyReused is the answer to a key that stands for another message of the
// same callsign. The status is that of the IETF's draft of the header,
// section 2.7.
var errKeyReused = &statusError{status: http.StatusUnprocessableEntity,
	detail: "This Idempotency-Key was used for another message of this callsign; nothing is stored."}

// idempotencyKey returns a request's key as it stands, empty when there is none.
func idempotencyKey(r *http.Request) (string, error) {
	key := strings.Join(r.Header.Values("Idempotency-Key"), ", ")
	if len(key) > app.MaxKey {
		return "", &statusError{status: http.StatusBadRequest,
			detail: fmt.Sprintf("The Idempotency-Key must have at most %d bytes, not %d.", app.MaxKey, len(key))}
	}
	return key, nil
}
