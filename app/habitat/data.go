package habitat

// This file turns the data of each type of message into canonical JSON: which
// keys it has, which of them are required and what each may hold. The keys
// are written sorted by their bytes.

import (
	"encoding/base64"
	"strconv"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/canonical"
)

// fields are the raw values of all keys that data may have, whatever the type; nil
// for those that are absent.
type fields struct {
	text, frequency                []byte // RECEIVED_TELEM; the key of text is string
	antenna, location, name, radio []byte // LISTENER_INFO
	altitude, latitude, longitude  []byte // LISTENER_TELEM
	clock, hour, minute, second    []byte // its time, and what that holds
}

// read reads data, and returns it as a raw value. Unknown keys are dropped.
func (f *fields) read(d *canonical.Decoder) ([]byte, error) {
	return readObject(d, func(name []byte) (err error) {
		if string(name) == "time" {
			f.clock, err = f.readClock(d)
			return err
		}
		value, err := d.Value()
		if field := f.field(name); field != nil {
			*field = value
		}
		return err
	})
}

// field returns where the value of a key belongs, nil for an unknown one.
func (f *fields) field(name []byte) *[]byte {
	switch string(name) {
	case "string":
		return &f.text
	case "frequency":
		return &f.frequency
	case "antenna":
		return &f.antenna
	case "location":
		return &f.location
	case "name":
		return &f.name
	case "radio":
		return &f.radio
	case "altitude":
		return &f.altitude
	case "latitude":
		return &f.latitude
	case "longitude":
		return &f.longitude
	}
	return nil
}

func (f *fields) readClock(d *canonical.Decoder) ([]byte, error) {
	return readObject(d, func(name []byte) (err error) {
		value, err := d.Value()
		switch string(name) {
		case "hour":
			f.hour = value
		case "minute":
			f.minute = value
		case "second":
			f.second = value
		}
		return err
	})
}

// anObject stands for the raw value of an object whose members have been read.
var anObject = []byte{'{'}

// readObject reads the members of a value that is an object and returns anObject.
// Of any other value it returns the raw value.
func readObject(d *canonical.Decoder, member func(name []byte) error) ([]byte, error) {
	if !d.IsObject() {
		return d.Value()
	}
	return anObject, d.Object(member)
}

// canonical returns the canonical JSON of a message's data, whose raw value is raw.
func (f *fields) canonical(t app.Type, raw []byte) ([]byte, error) {
	if err := wantObject("/data", raw); err != nil {
		return nil, err
	}
	switch t {
	case app.ReceivedTelem:
		return f.receivedTelem()
	case app.ListenerInfo:
		return f.listenerInfo()
	case app.ListenerTelem:
		return f.listenerTelem()
	default:
		return nil, invalid("/type", "must be a type that clients send, not %s", quote(string(t)))
	}
}

// receivedTelem is what a listener received: the string as base64 and, if it
// is known, the frequency in Hz.
func (f *fields) receivedTelem() ([]byte, error) {
	received, err := base64Field("/data/string", f.text)
	if err != nil {
		return nil, err
	}
	const room = len(`{"frequency":,"string":""}`) + 24 // a float64 has up to 24 characters
	dst := make([]byte, 0, room+base64.StdEncoding.EncodedLen(len(received)))
	dst = append(dst, '{')
	if f.frequency != nil {
		hertz, err := decodeFloat("/data/frequency", f.frequency)
		if err != nil {
			return nil, err
		}
		if hertz < 0 {
			return nil, invalid("/data/frequency", "must be 0 or more, not %s", describe(f.frequency))
		}
		dst = canonical.AppendFloat(canonical.AppendName(dst, "frequency"), hertz)
	}
	dst = appendBase64(canonical.AppendName(dst, "string"), received)
	return append(dst, '}'), nil
}

// listenerInfo describes a listener's station in strings, each of them
// optional.
func (f *fields) listenerInfo() ([]byte, error) {
	dst := []byte{'{'}
	for _, member := range [...]struct {
		name  string
		value []byte
	}{{"antenna", f.antenna}, {"location", f.location}, {"name", f.name}, {"radio", f.radio}} {
		if member.value == nil {
			continue
		}
		text, err := textField("/data/"+member.name, member.value)
		if err != nil {
			return nil, err
		}
		dst = canonical.AppendString(canonical.AppendName(dst, member.name), text)
	}
	return append(dst, '}'), nil
}

// listenerTelem is where a listener is, and at what time of its day.
func (f *fields) listenerTelem() ([]byte, error) {
	latitude, err := degreesField("/data/latitude", f.latitude, 90)
	if err != nil {
		return nil, err
	}
	longitude, err := degreesField("/data/longitude", f.longitude, 180)
	if err != nil {
		return nil, err
	}
	altitude, err := integerField("/data/altitude", f.altitude)
	if err != nil {
		return nil, err
	}
	clock, err := f.timeOfDay("/data/time")
	if err != nil {
		return nil, err
	}
	dst := append(make([]byte, 0, 160), '{') // room for all numbers at their longest
	dst = strconv.AppendInt(canonical.AppendName(dst, "altitude"), altitude, 10)
	dst = canonical.AppendFloat(canonical.AppendName(dst, "latitude"), latitude)
	dst = canonical.AppendFloat(canonical.AppendName(dst, "longitude"), longitude)
	dst = clock.append(canonical.AppendName(dst, "time"))
	return append(dst, '}'), nil
}

// timeOfDay is the time of a LISTENER_TELEM.
type timeOfDay struct{ hour, minute, second int64 }

// timeOfDay reads a required time. An hour may be 24, and a second 60 or 61
// for leap seconds.
func (f *fields) timeOfDay(pointer string) (t timeOfDay, err error) {
	if f.clock == nil {
		return t, missing(pointer)
	}
	if err := wantObject(pointer, f.clock); err != nil {
		return t, err
	}
	if t.hour, err = rangeField(pointer+"/hour", f.hour, 24); err != nil {
		return t, err
	}
	if t.minute, err = rangeField(pointer+"/minute", f.minute, 59); err != nil {
		return t, err
	}
	t.second, err = rangeField(pointer+"/second", f.second, 61)
	return t, err
}

func (t timeOfDay) append(dst []byte) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(canonical.AppendName(dst, "hour"), t.hour, 10)
	dst = strconv.AppendInt(canonical.AppendName(dst, "minute"), t.minute, 10)
	dst = strconv.AppendInt(canonical.AppendName(dst, "second"), t.second, 10)
	return append(dst, '}')
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
		return canonical.Unquote(raw), nil
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
	decoded, err := decodeBase64(canonical.Unquote(raw))
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

// appendBase64 appends bytes as a JSON string of canonical base64, in which
// nothing needs an escape.
func appendBase64(dst, decoded []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, decoded)
	return append(dst, '"')
}
