package terminal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each line is written by itself: none waits for the next one.
func TestLogWritesEachLine(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	logger, flush := NewLogger(w)
	lines := bufio.NewReader(r)
	for i := range 50_000 {
		logger.Info().Int("i", i).Msg("one")
		line, err := lines.ReadBytes('\n')
		require.NoError(t, err)
		var got struct{ I int }
		require.NoError(t, json.Unmarshal(line, &got))
		require.Equal(t, i, got.I)
	}
	flush()
}

// A reader that is too slow holds up nobody, and is told what it has missed.
func TestBacklogDrops(t *testing.T) {
	const size, n = 10, 100
	r, w := io.Pipe()
	told := make(chan int64, 1)
	b := newBacklog(w, size, func(dropped int64) { told <- dropped })
	for i := range n {
		_, err := fmt.Fprintf(b, "%d\n", i)
		require.NoError(t, err)
	}
	lines := bufio.NewScanner(r)
	require.True(t, lines.Scan())
	assert.Equal(t, "0", lines.Text(), "the first ones are kept")
	read := make(chan int)
	go func() {
		kept := 1
		for lines.Scan() {
			kept++
		}
		read <- kept
	}()
	dropped := <-told
	b.close()
	require.NoError(t, w.Close())
	assert.EqualValues(t, n, dropped+int64(<-read), "each is written or counted")
}

// An end writes what is left, however often it is asked for.
func TestLogFlush(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	logger, flush := NewLogger(w)
	for range 100 {
		logger.Info().Msg("one")
	}
	flush()
	flush()
	logger.Info().Msg("too late, and no harm")
	require.NoError(t, w.Close())
	all, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, 100, bytes.Count(all, []byte("\n")))
}
