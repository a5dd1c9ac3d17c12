package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/habitat"
	"github.com/windsock-scgi/windsock/scgi"
)

// maxMessageBytes is how long the text of a message may be.
const maxMessageBytes = 1 << 20

// messageLimits bound the body of a message.
var messageLimits = bodyLimits{wire: maxMessageBytes, decoded: maxMessageBytes}

// insert is POST /message: the answer is OK, and only once the message is
// durable.
func (h *Handler) insert(w http.ResponseWriter, r *http.Request) error {
	key, err := idempotencyKey(r)
	if err != nil {
		return err
	}
	message, err := h.readMessage(w, r)
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
	if accepts(w, r, "application/json") {
		line, err := jsonLine(receipt)
		if err != nil {
			return err
		}
		return h.send(w, http.StatusOK, "application/json", line)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = w.Write([]byte("OK"))
	return errAnswered(err)
}

// readMessage receives one message.
func (h *Handler) readMessage(w http.ResponseWriter, r *http.Request) (app.Message, error) {
	share := h.Budget.Share()
	defer share.Release() // the message keeps no part of its body
	body, err := receiveBody(w, r, messageLimits, share)
	if err != nil {
		return app.Message{}, err
	}
	text, err := body.decoded(r.Context(), h.decoders())
	if err != nil {
		return app.Message{}, err
	}
	remoteAddr := scgi.Env(r).Get("REMOTE_ADDR")
	message, err := habitat.Decode(text, remoteAddr, time.Now())
	if err == nil {
		h.noteAddress(remoteAddr, message.Address)
	}
	return message, err
}

// noteAddress says in the log, once, that messages are stored without an address,
// when the front end's REMOTE_ADDR is none.
func (h *Handler) noteAddress(remoteAddr string, address netip.Addr) {
	if address.IsValid() {
		return
	}
	h.noAddress.Do(func() {
		h.Logger.Warn().Str("remote_addr", remoteAddr).
			Msg("the front end's REMOTE_ADDR is no IP address: messages are stored without one (said once)")
	})
}
