// Package app is the domain of windsock: what a message is and what the store
// that keeps messages promises. It knows no technology and no dialect.
//
// The packages below it do the work. Imports go only downward, in this order:
// canonical, app, habitat, commit, retention, feed, admission, web, cgihost. The
// package sqlite implements [Store]. Package main of cmd/windsock wires all of it.
package app

import (
	"encoding/hex"
	"net/netip"
	"time"
)

// Type is the name of a kind of message, as it stands in its envelope.
type Type string

// The types that windsock knows. Telem is made by a parser inside the system
// and forbidden to clients.
const (
	ReceivedTelem Type = "RECEIVED_TELEM"
	ListenerInfo  Type = "LISTENER_INFO"
	ListenerTelem Type = "LISTENER_TELEM"
	Telem         Type = "TELEM"
)

// Known reports whether t is one of the types that windsock knows.
func (t Type) Known() bool {
	switch t {
	case ReceivedTelem, ListenerInfo, ListenerTelem, Telem:
		return true
	}
	return false
}

// ID identifies a message by its content: the first 16 bytes of a SHA-256 over
// the callsign, the type, the client's time_created and the canonical data. An
// uploader's retry has the same ID, whatever its clock and address say by then.
type ID [16]byte

// String returns the 32 lower-case hex digits that clients see.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// Message is one valid message, ready to be stored.
type Message struct {
	ID       ID
	Callsign string // upper-case
	Type     Type

	// TimeCreated and TimeUploaded are UNIX seconds by the server's clock:
	// what the client sent, shifted by the error of the client's clock.
	TimeCreated, TimeUploaded int64
	// ClientCreated and ClientUploaded are the same two as the client sent them.
	ClientCreated, ClientUploaded int64

	Received time.Time  // when the server had the whole message; kept in microseconds
	Address  netip.Addr // of the client; the zero Addr once it was blanked
	Data     []byte     // canonical JSON, always an object

	// Key is the Idempotency-Key that the message came with, empty when with
	// none. It is no part of what readers get.
	Key string
}

// MaxKey is how many bytes an Idempotency-Key may have.
const MaxKey = 255

// messageOverhead is counted for a message on top of its callsign and data:
// about what the Message itself, its receipt and its waiter take.
const messageOverhead = 512

// Size returns about how many bytes of memory the message takes.
func (m *Message) Size() int { return messageOverhead + len(m.Callsign) + len(m.Data) + len(m.Key) }
