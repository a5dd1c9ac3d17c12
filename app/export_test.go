package app

import "testing"

// Numbers of places, for the tests that fill them.
const (
	BatchPlaces   = batchPlaces
	DecoderPlaces = decoderPlaces
)

// What the tests over a real socket share with those of the decoder.
type MessageCase = messageCase

func ReadMessageCases(tb testing.TB) []MessageCase { return readMessageCases(tb) }

func (c *messageCase) Bytes() []byte         { return c.body() }
func (c *messageCase) RemoteAddress() string { return c.remoteAddr() }

// Works returns how many works wait for their turn.
func (c *Committer) Works() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.works)
}
