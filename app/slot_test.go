package app

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A batch waits for its turn, and is refused when that does not come.
func TestBatchSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := make(chan struct{}, 1)
		require.NoError(t, takeSlot(slots))
		began := time.Now()
		answer := answerTo(takeSlot(slots))
		assert.Equal(t, batchPatience, time.Since(began))
		assert.Equal(t, http.StatusServiceUnavailable, answer.status)
		assert.NotEmpty(t, answer.header.Get("Retry-After"))

		taken := make(chan error)
		go func() { taken <- takeSlot(slots) }()
		synctest.Wait()
		<-slots // the first batch has ended
		assert.NoError(t, <-taken)
	})
}
