package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/windsock-scgi/windsock/scgi"
)

// maxMessageBytes is how long the text of a message may be.
const maxMessageBytes = 1 << 20

// messageLimits bound the body of a message.
var messageLimits = bodyLimits{wire: maxMessageBytes, decoded: maxMessageBytes, time: 30 * time.Second}

// insert is POST /message: the answer is OK, and only once the message is
// durable.
func (h *Handler) insert(w http.ResponseWriter, r *http.Request) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	message, err := Decode(body, scgi.Env(r).Get("REMOTE_ADDR"), time.Now())
	if err != nil {
		return err
	}
	message.Key = key
	// It waits for its commit, not for the client: one that has gone away by
	// then sends its message again, and is told of the first one.
	receipt, err := h.Committer.Commit(context.WithoutCancel(r.Context()), message)
	if err != nil {
		return fmt.Errorf("message of %s %w: %w", message.Callsign, errNotStored, err)
	}
	if receipt.KeyReused {
		return errKeyReused
	}
	if accepts(r, "application/json") {
		return writeJSON(w, http.StatusOK, "application/json", receipt)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = w.Write([]byte("OK"))
	return errAnswered(err)
}

// readBody reads the body of one message. What is set aside for it grows with
// what arrives.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := openBody(w, r, messageLimits)
	if err != nil {
		return nil, err
	}
	defer body.Close() // nothing was written: there is nothing to lose
	var whole bytes.Buffer
	whole.Grow(int(min(max(r.ContentLength, 0), 8<<10)) + bytes.MinRead)
	if _, err := whole.ReadFrom(body); err != nil {
		return nil, err
	}
	return whole.Bytes(), nil
}

// writeJSON answers with v as JSON, on one line.
func writeJSON(w http.ResponseWriter, status int, contentType string, v any) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, err := w.Write(line.Bytes())
	return errAnswered(err)
}
