// Package habitat is the dialect of habitat.http: it decodes a message from JSON,
// validates it, and corrects its time by the error of the client's clock.
//
// [Decode] makes a message, and [Verify] finds out whether a stored message can be one
// that Decode made. The form of JSON is that of package canonical; the order of the
// checks is part of the contract with clients.
package habitat

// This file reads the envelope of one message: which keys it has, who sent
// it, of what type it is and when. The order of the checks is part of the
// contract. What the data holds is in data.go.

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
	"time"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/canonical"
)

// maxCallsign is how many characters a callsign may have.
const maxCallsign = 32

// Decode reads one message from the body of a request. The body is strict
// JSON: see package canonical. remoteAddr is the request's REMOTE_ADDR, and now is
// when the server had the whole of it. The message keeps no part of body.
//
// Every error is an *InvalidError, and the message is then the zero Message.
func Decode(body []byte, remoteAddr string, now time.Time) (app.Message, error) {
	env, err := readEnvelope(body)
	if err != nil {
		return app.Message{}, err
	}
	m := app.Message{Received: now, TimeUploaded: now.Unix(), Address: Address(remoteAddr)}
	if m.Callsign, err = decodeCallsign(env.callsign); err != nil {
		return app.Message{}, err
	}
	if m.Type, err = decodeType(env.kind); err != nil {
		return app.Message{}, err
	}
	if err = decodeTimes(&m, env); err != nil {
		return app.Message{}, err
	}
	if m.Data, err = env.fields.canonical(m.Type, env.data); err != nil {
		return app.Message{}, err
	}
	m.ID = messageID(&m)
	return m, nil
}

// envelope holds the raw JSON values of the five required keys, and of data its
// members.
type envelope struct {
	callsign, kind, created, uploaded, data []byte
	fields
}

// readEnvelope finds the required keys of a message. Unknown ones are ignored.
func readEnvelope(body []byte) (env envelope, err error) {
	d := canonical.NewDecoder(body)
	defer d.Close()
	if !d.IsObject() {
		return env, notObject(d)
	}
	err = d.Object(func(name []byte) (err error) {
		switch string(name) {
		case "callsign":
			env.callsign, err = d.Value()
		case "type":
			env.kind, err = d.Value()
		case "time_created":
			env.created, err = d.Value()
		case "time_uploaded":
			env.uploaded, err = d.Value()
		case "data":
			env.data, err = env.fields.read(d)
		default:
			_, err = d.Value()
		}
		return err
	})
	if err == nil {
		err = d.End()
	}
	if err != nil {
		return env, invalid("", "%s", err)
	}
	return env, env.complete()
}

// notObject is the error for a body that is no object, whatever else it is.
func notObject(d *canonical.Decoder) error {
	value, err := d.Value()
	if err == nil {
		err = d.End()
	}
	if err != nil {
		return invalid("", "%s", err)
	}
	return invalid("", "must be a JSON object, not %s", describe(value))
}

// complete returns an error that names the first required key that is absent.
func (env *envelope) complete() error {
	switch {
	case env.callsign == nil:
		return missing("/callsign")
	case env.kind == nil:
		return missing("/type")
	case env.created == nil:
		return missing("/time_created")
	case env.uploaded == nil:
		return missing("/time_uploaded")
	case env.data == nil:
		return missing("/data")
	}
	return nil
}

// decodeCallsign returns the callsign in upper case.
func decodeCallsign(raw []byte) (string, error) {
	const pointer = "/callsign"
	if raw[0] != '"' {
		return "", invalid(pointer, "must be a string, not %s", describe(raw))
	}
	text := canonical.Unquote(raw)
	for _, c := range text {
		if !inCallsign(c) {
			return "", invalid(pointer, "must be of the characters A-Z a-z 0-9 / _ - only, not %s", quote(text))
		}
	}
	// Every character is ASCII by now, so that bytes are characters.
	if len(text) == 0 || len(text) > maxCallsign {
		return "", invalid(pointer, "must have 1 to %d characters, not %d", maxCallsign, len(text))
	}
	return strings.ToUpper(string(text)), nil
}

func inCallsign(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' ||
		c == '/' || c == '_' || c == '-'
}

// Address returns the client's address in its one canonical form, without
// a zone. It is the zero Addr when remoteAddr is no IP address: nginx and lighttpd
// that listen on a unix socket send "unix:", and a front end's setting must not
// lose a client's message.
func Address(remoteAddr string) netip.Addr {
	addr, err := netip.ParseAddr(remoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.WithZone("").Unmap()
}

// decodeType returns the type that the envelope names, if a client may send it.
func decodeType(raw []byte) (app.Type, error) {
	const pointer = "/type"
	if raw[0] != '"' {
		return "", invalid(pointer, "must be a string, not %s", describe(raw))
	}
	switch text := canonical.Unquote(raw); app.Type(text) {
	case app.ReceivedTelem:
		return app.ReceivedTelem, nil
	case app.ListenerInfo:
		return app.ListenerInfo, nil
	case app.ListenerTelem:
		return app.ListenerTelem, nil
	case app.Telem:
		return "", invalid(pointer, "must not be TELEM: only a parser inside the system makes these")
	default:
		return "", invalid(pointer, "must be RECEIVED_TELEM, LISTENER_INFO or LISTENER_TELEM, not %s", quote(text))
	}
}

// decodeTimes fills in the client's two times and the stored time_created.
// m.TimeUploaded is the server's now already.
func decodeTimes(m *app.Message, env envelope) (err error) {
	if m.ClientCreated, err = decodeInteger("/time_created", env.created); err != nil {
		return err
	}
	if m.ClientUploaded, err = decodeInteger("/time_uploaded", env.uploaded); err != nil {
		return err
	}
	var fits bool
	m.TimeCreated, fits = shiftTime(m.ClientCreated, m.TimeUploaded, m.ClientUploaded)
	if !fits {
		return invalid("/time_created", "must fit 64 bits after the client's clock is corrected by time_uploaded")
	}
	return nil
}

// shiftTime returns created + (now - uploaded): an error of the client's clock
// and a late retry cancel out. The sum is made in 128 bits, so that only the
// final result can fail to fit; fits is false when it does.
func shiftTime(created, now, uploaded int64) (shifted int64, fits bool) {
	low, carry := bits.Add64(uint64(created), uint64(now), 0)
	high, _ := bits.Add64(signWord(created), signWord(now), carry)
	low, borrow := bits.Sub64(low, uint64(uploaded), 0)
	high, _ = bits.Sub64(high, signWord(uploaded), borrow)
	shifted = int64(low)
	return shifted, high == signWord(shifted)
}

// signWord is the upper half of n in 128 bits.
func signWord(n int64) uint64 { return uint64(n >> 63) }

// invalid makes an *InvalidError.
func invalid(pointer, format string, args ...any) error {
	return &app.InvalidError{Pointer: pointer, Reason: fmt.Sprintf(format, args...)}
}

// missing is the error for a required key that is absent.
func missing(pointer string) error { return invalid(pointer, "is required") }

// quote returns text as a quoted Go string, cut to 40 bytes.
func quote[T []byte | string](text T) string { return canonical.Quote(text) }

// describe says what a raw JSON value is, for the end of a sentence "must be
// x, not y".
func describe(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return quote(canonical.Unquote(raw))
	default: // a number, true, false or null
		return canonical.Shorten(raw)
	}
}
