package app

// This file turns the data of each type of message into canonical JSON: which
// keys it has, which of them are required and what each may hold. The keys
// are written sorted by their bytes.

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
)

// canonicalData returns the canonical JSON of a message's data, which is a raw
// value that checkJSON has passed. Unknown keys are dropped, except in TELEM.
func canonicalData(t Type, raw []byte) ([]byte, error) {
	if err := wantObject("/data", raw); err != nil {
		return nil, err
	}
	switch t {
	case ReceivedTelem:
		return receivedTelem(raw)
	case ListenerInfo:
		return listenerInfo(raw)
	case ListenerTelem:
		return listenerTelem(raw)
	case Telem:
		return telem(raw)
	default:
		return nil, invalid("/type", "must be a known type, not %s", quote(string(t)))
	}
}

// receivedTelem is what a listener received: the string as base64 and, if it
// is known, the frequency in Hz.
func receivedTelem(raw []byte) ([]byte, error) {
	received, err := base64Field("/data/string", find(raw, "string"))
	if err != nil {
		return nil, err
	}
	const room = len(`{"frequency":,"string":""}`) + 24 // a float64 has up to 24 characters
	dst := make([]byte, 0, room+base64.StdEncoding.EncodedLen(len(received)))
	dst = append(dst, '{')
	if frequency := find(raw, "frequency"); frequency != nil {
		hertz, err := decodeFloat("/data/frequency", frequency)
		if err != nil {
			return nil, err
		}
		if hertz < 0 {
			return nil, invalid("/data/frequency", "must be 0 or more, not %s", describe(frequency))
		}
		dst = appendFloat(appendName(dst, "frequency"), hertz)
	}
	dst = appendBase64(appendName(dst, "string"), received)
	return append(dst, '}'), nil
}

// listenerInfo describes a listener's station in strings, each of them
// optional.
func listenerInfo(raw []byte) ([]byte, error) {
	dst := []byte{'{'}
	for _, name := range [...]string{"antenna", "location", "name", "radio"} {
		value := find(raw, name)
		if value == nil {
			continue
		}
		text, err := textField("/data/"+name, value)
		if err != nil {
			return nil, err
		}
		dst = appendString(appendName(dst, name), text)
	}
	return append(dst, '}'), nil
}

// listenerTelem is where a listener is, and at what time of its day.
func listenerTelem(raw []byte) ([]byte, error) {
	latitude, err := degreesField("/data/latitude", find(raw, "latitude"), 90)
	if err != nil {
		return nil, err
	}
	longitude, err := degreesField("/data/longitude", find(raw, "longitude"), 180)
	if err != nil {
		return nil, err
	}
	altitude, err := integerField("/data/altitude", find(raw, "altitude"))
	if err != nil {
		return nil, err
	}
	clock, err := timeField("/data/time", find(raw, "time"))
	if err != nil {
		return nil, err
	}
	dst := append(make([]byte, 0, 160), '{') // room for all numbers at their longest
	dst = strconv.AppendInt(appendName(dst, "altitude"), altitude, 10)
	dst = appendFloat(appendName(dst, "latitude"), latitude)
	dst = appendFloat(appendName(dst, "longitude"), longitude)
	dst = clock.append(appendName(dst, "time"))
	return append(dst, '}'), nil
}

// timeOfDay is the time of a LISTENER_TELEM.
type timeOfDay struct{ hour, minute, second int64 }

// timeField reads a required time. An hour may be 24, and a second 60 or 61
// for leap seconds.
func timeField(pointer string, raw []byte) (t timeOfDay, err error) {
	if raw == nil {
		return t, missing(pointer)
	}
	if err := wantObject(pointer, raw); err != nil {
		return t, err
	}
	if t.hour, err = rangeField(pointer+"/hour", find(raw, "hour"), 24); err != nil {
		return t, err
	}
	if t.minute, err = rangeField(pointer+"/minute", find(raw, "minute"), 59); err != nil {
		return t, err
	}
	t.second, err = rangeField(pointer+"/second", find(raw, "second"), 61)
	return t, err
}

func (t timeOfDay) append(dst []byte) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(appendName(dst, "hour"), t.hour, 10)
	dst = strconv.AppendInt(appendName(dst, "minute"), t.minute, 10)
	dst = strconv.AppendInt(appendName(dst, "second"), t.second, 10)
	return append(dst, '}')
}

// The two keys that the data of a TELEM must have.
const (
	rawKey      = "_raw"
	metadataKey = "_listener_metadata"
)

// telem is what a parser made of a received string: _raw is that string,
// _listener_metadata an object, and whatever else there is keeps its own text.
func telem(raw []byte) ([]byte, error) {
	received, err := base64Field("/data/"+rawKey, find(raw, rawKey))
	if err != nil {
		return nil, err
	}
	metadata := find(raw, metadataKey)
	if metadata == nil {
		return nil, missing("/data/" + metadataKey)
	}
	if err := wantObject("/data/"+metadataKey, metadata); err != nil {
		return nil, err
	}
	dst := append(make([]byte, 0, len(raw)), '{')
	for _, m := range sortedMembers(raw) {
		dst = appendName(dst, string(m.name))
		if string(m.name) == rawKey {
			dst = appendBase64(dst, received)
		} else {
			dst = appendCompact(dst, m.value)
		}
	}
	return append(dst, '}'), nil
}

// member is an object's member: its name unescaped, its value raw.
type member struct{ name, value []byte }

// sortedMembers returns the members of an object by the bytes of their names.
func sortedMembers(object []byte) []member {
	var all []member
	for name, value := range members(object) {
		all = append(all, member{name, value})
	}
	slices.SortFunc(all, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	return all
}

// What follows reads one field each. It takes the field's raw value, which is
// nil when the field is absent.

// wantObject returns an error if a value that is there is no object.
func wantObject(pointer string, raw []byte) error {
	if raw[0] != '{' {
		return invalid(pointer, "must be an object, not %s", describe(raw))
	}
	return nil
}

// textField reads a string, and of a number or bool its own JSON text.
func textField(pointer string, raw []byte) ([]byte, error) {
	switch raw[0] {
	case '"':
		return unquote(raw), nil
	case 'n', '[', '{':
		return nil, invalid(pointer, "must be a string, not %s", describe(raw))
	default:
		return raw, nil
	}
}

// base64Field reads a required string of base64.
func base64Field(pointer string, raw []byte) ([]byte, error) {
	if raw == nil {
		return nil, missing(pointer)
	}
	if raw[0] != '"' {
		return nil, invalid(pointer, "must be a string of base64, not %s", describe(raw))
	}
	decoded, err := decodeBase64(unquote(raw))
	if err != nil {
		return nil, invalid(pointer, "must be base64 with the right padding, not %s", describe(raw))
	}
	return decoded, nil
}

// degreesField reads a required coordinate that is within limit on either
// side, ends included.
func degreesField(pointer string, raw []byte, limit float64) (float64, error) {
	if raw == nil {
		return 0, missing(pointer)
	}
	f, err := decodeFloat(pointer, raw)
	if err != nil {
		return 0, err
	}
	if f < -limit || limit < f {
		return 0, invalid(pointer, "must be between %v and %v, not %s", -limit, limit, describe(raw))
	}
	return f, nil
}

// integerField reads a required integer.
func integerField(pointer string, raw []byte) (int64, error) {
	if raw == nil {
		return 0, missing(pointer)
	}
	return decodeInteger(pointer, raw)
}

// rangeField reads a required integer from 0 to highest.
func rangeField(pointer string, raw []byte, highest int64) (int64, error) {
	n, err := integerField(pointer, raw)
	if err != nil {
		return 0, err
	}
	if n < 0 || highest < n {
		return 0, invalid(pointer, "must be between 0 and %d, not %s", highest, describe(raw))
	}
	return n, nil
}

// appendName appends the name of an object's member and its colon, after a
// comma unless it is the object's first.
func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(appendString(dst, name), ':')
}

// appendBase64 appends bytes as a JSON string of canonical base64, in which
// nothing needs an escape.
func appendBase64(dst, decoded []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, decoded)
	return append(dst, '"')
}
