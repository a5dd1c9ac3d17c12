//go:build !race

package canonical

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A text is read without an allocation. (Under the race detector a sync.Pool is empty
// at random.)
func TestDecoderAllocations(t *testing.T) {
	text := []byte(`{"callsign": "G8XYZ", "data": {"a": [1, {"b": "c"}], "frequency": 434650000.0}, "escaped": "\n"}`)
	assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { _ = check(text) }), 0.0)
}
