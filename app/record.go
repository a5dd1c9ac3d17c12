package app

// This file is a line of an export: all that the log holds of a message, as JSON.

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/windsock-scgi/windsock/app/canonical"
)

// Record is all that a log holds of a message. Its Key is empty: Keys has them.
type Record struct {
	Entry
	// Keys are the Idempotency-Keys that stand for the message. There is more than
	// one when a retry came with another key.
	Keys []string
	// Damage says why the message cannot be what was stored; nil for a good one.
	Damage error
}

// AppendJSON appends the record as one line of JSON, without its end: the object
// that readers get, and address, client_created and client_uploaded (UNIX seconds,
// as the client sent them), received (UNIX microseconds), keys, and damaged with the
// reason. Address, keys and damaged are left out where there are none. A character
// of a key stands for a byte, since the bytes of a key need not be UTF-8.
func (r *Record) AppendJSON(b []byte) []byte {
	b = r.Entry.AppendJSON(b, true)
	b = append(b[:len(b)-1], `,"client_created":`...) // in the place of the brace
	b = strconv.AppendInt(b, r.ClientCreated, 10)
	b = append(b, `,"client_uploaded":`...)
	b = strconv.AppendInt(b, r.ClientUploaded, 10)
	b = append(b, `,"received":`...)
	b = strconv.AppendInt(b, r.Received.UnixMicro(), 10)
	if len(r.Keys) > 0 {
		b = append(b, `,"keys":`...)
		b = appendKeys(b, r.Keys)
	}
	if r.Damage != nil {
		b = append(b, `,"damaged":`...)
		b = appendText(b, r.Damage.Error())
	}
	return append(b, '}')
}

func appendKeys(b []byte, keys []string) []byte {
	for i, key := range keys {
		b = append(b, "[,"[min(i, 1)])
		characters := make([]rune, len(key))
		for i := range len(key) {
			characters[i] = rune(key[i])
		}
		b = appendText(b, string(characters))
	}
	return append(b, ']')
}

// ParseRecord reads what [Record.AppendJSON] has written. It looks at the form
// only: whether the message is a good one is for Verify to say.
func ParseRecord(line []byte) (Record, error) {
	if !utf8.Valid(line) || !json.Valid(line) {
		return Record{}, errors.New("the line is not JSON")
	}
	var l recordLine
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return Record{}, err
	}
	return l.record()
}

// recordLine is a record in JSON. A member that is absent is nil.
type recordLine struct {
	Seq            *int64          `json:"seq"`
	ID             *string         `json:"id"`
	Callsign       *string         `json:"callsign"`
	Type           *Type           `json:"type"`
	TimeCreated    *int64          `json:"time_created"`
	TimeUploaded   *int64          `json:"time_uploaded"`
	Data           json.RawMessage `json:"data"`
	Address        *string         `json:"address"`
	ClientCreated  *int64          `json:"client_created"`
	ClientUploaded *int64          `json:"client_uploaded"`
	Received       *int64          `json:"received"`
	Keys           []string        `json:"keys"`
	Damaged        *string         `json:"damaged"`
}

func (l *recordLine) record() (r Record, err error) {
	if name := l.absent(); name != "" {
		return Record{}, fmt.Errorf("%s is missing: is this a line of windsock export?", name)
	}
	r.Entry = Entry{Seq: *l.Seq, Message: Message{
		Callsign: *l.Callsign, Type: *l.Type, Data: l.Data,
		TimeCreated: *l.TimeCreated, TimeUploaded: *l.TimeUploaded,
		ClientCreated: *l.ClientCreated, ClientUploaded: *l.ClientUploaded,
		Received: time.UnixMicro(*l.Received).UTC(),
	}}
	if r.ID, err = parseID(*l.ID); err != nil {
		return Record{}, err
	}
	if l.Address != nil {
		if r.Address, err = netip.ParseAddr(*l.Address); err != nil {
			return Record{}, fmt.Errorf("the address %s is none", canonical.Quote(*l.Address))
		}
	}
	if l.Damaged != nil {
		r.Damage = errors.New(*l.Damaged)
	}
	r.Keys, err = parseKeys(l.Keys)
	return r, err
}

// parseID is the inverse of ID.String.
func parseID(text string) (id ID, err error) {
	b, err := hex.DecodeString(text)
	if err == nil && len(b) == len(id) {
		id = ID(b)
	}
	if id.String() != text {
		return ID{}, fmt.Errorf("the id %s is not 32 lower-case hex digits", canonical.Quote(text))
	}
	return id, nil
}

// absent returns the name of the first required member that is not there.
func (l *recordLine) absent() string {
	for _, member := range []struct {
		name   string
		absent bool
	}{
		{"seq", l.Seq == nil},
		{"id", l.ID == nil},
		{"callsign", l.Callsign == nil},
		{"type", l.Type == nil},
		{"time_created", l.TimeCreated == nil},
		{"time_uploaded", l.TimeUploaded == nil},
		{"data", l.Data == nil},
		{"client_created", l.ClientCreated == nil},
		{"client_uploaded", l.ClientUploaded == nil},
		{"received", l.Received == nil},
	} {
		if member.absent {
			return member.name
		}
	}
	return ""
}

func parseKeys(texts []string) (keys []string, err error) {
	for _, text := range texts {
		var key []byte
		for _, character := range text {
			if character > 0xFF {
				return nil, fmt.Errorf("the key %s has a character that stands for no byte", canonical.Quote(text))
			}
			key = append(key, byte(character))
		}
		if len(key) == 0 || len(key) > MaxKey {
			return nil, fmt.Errorf("a key has %d bytes, not 1 to %d", len(key), MaxKey)
		}
		keys = append(keys, string(key))
	}
	return keys, nil
}
