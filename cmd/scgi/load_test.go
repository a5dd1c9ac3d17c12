package main_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// loadReport is what load --json writes.
type loadReport struct {
	Requests int64
	Seconds  float64
	Rate     float64
	Bytes    int64
	Latency  map[string]float64
	Statuses map[string]int64
	Errors   map[string]int64
	NotBegun int64 `json:"not_begun"`
}

func parseReport(t *testing.T, text string) (report loadReport) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &report), text)
	return report
}
