package web

// This file is how answers are made and sent: the choice of a format by Accept,
// and bodies that are whole.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// send answers with a body that is whole, and says how long it is: so one that is
// cut off on its way does not look like another. The body counts in the Budget
// until the client has taken it.
func (h *Handler) send(w http.ResponseWriter, status int, contentType string, body []byte) error {
	share := h.Budget.Share()
	defer share.Release()
	if err := share.Hold(int64(cap(body))); err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return errAnswered(err)
}

// jsonLine returns v as JSON, on one line.
func jsonLine(v any) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return line.Bytes(), nil
}

// accepts reports whether the client asks for a media type by name: RFC 9110,
// section 12.5.1, without its wildcards, since everybody takes */*.
//
// The answer depends on it, and says so (RFC 9110, section 12.5.5).
func accepts(w http.ResponseWriter, r *http.Request, mediaType string) bool {
	w.Header()["Vary"] = varyAccept
	for _, line := range r.Header["Accept"] {
		for _, item := range strings.Split(line, ",") {
			name, parameters, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) && !hasZeroWeight(parameters) {
				return true
			}
		}
	}
	return false
}

var varyAccept = []string{"Accept"}

// hasZeroWeight reports whether the weight among a media range's parameters is zero.
func hasZeroWeight(parameters string) bool {
	for _, parameter := range strings.Split(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(key, "q") {
			weight, err := strconv.ParseFloat(value, 64)
			return err == nil && weight == 0
		}
	}
	return false
}
