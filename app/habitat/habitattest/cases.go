// Package habitattest helps to test how messages are decoded: the cases of
// testdata/messages, random messages ([Generator]), and a second opinion on what a
// message is ([Judge]), which shares no code with the product.
package habitattest

import (
	"encoding/json"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
)

// Case is one row of testdata/messages/cases.json: a body, and the
// message or the error that it gives.
type Case struct {
	Name       string  `json:"name"`
	Body       string  `json:"body"`
	BodyBase64 []byte  `json:"body_base64"` // instead of Body when that is no UTF-8
	RemoteAddr *string `json:"remote_addr"` // 192.0.2.7 unless said
	Status     int     `json:"status"`      // 200 or 400

	Pointer string `json:"pointer"` // for 400: of the field at fault
	Error   string `json:"error"`   // for 400: part of the reason

	Want struct { // for 200
		Callsign        string   `json:"callsign"`
		Type            app.Type `json:"type"`
		Address         string   `json:"address"`
		ClientCreated   int64    `json:"client_created"`
		ClientUploaded  int64    `json:"client_uploaded"`
		CreatedMinusNow int64    `json:"created_minus_now"` // stored time_created less the server's now
		Data            string   `json:"data"`
	} `json:"want"`
}

// Bytes returns the body of the request.
func (c *Case) Bytes() []byte {
	if c.BodyBase64 != nil {
		return c.BodyBase64
	}
	return []byte(c.Body)
}

// RemoteAddress returns the REMOTE_ADDR of the request.
func (c *Case) RemoteAddress() string {
	if c.RemoteAddr != nil {
		return *c.RemoteAddr
	}
	return "192.0.2.7"
}

// WantAddress is the address that is stored; the zero Addr for "".
func (c *Case) WantAddress() netip.Addr {
	if c.Want.Address == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(c.Want.Address)
}

// ReadCases returns the rows of testdata/messages/cases.json.
func ReadCases(tb testing.TB) (cases []Case) {
	tb.Helper()
	ReadFile(tb, "cases.json", &cases)
	require.Greater(tb, len(cases), 500)
	return cases
}

// ReadFile decodes a file of testdata/messages, for a test of a package below app.
func ReadFile(tb testing.TB, name string, into any) {
	tb.Helper()
	text, err := os.ReadFile("../../testdata/messages/" + name)
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, into))
}
