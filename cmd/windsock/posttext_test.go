package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever the input is, what is found in it is JSON on one line, in the order of the
// lines, and does not depend on how the input comes.
func FuzzItems(f *testing.F) {
	for _, input := range []string{"", "{}", "[{},1]", "[1,", "{}\n?\n{\"a\":\n1}{}x\n{", "\ufeff\n{}", "{\"a\":\n{}\n{}", "[1]2", "{\n{\n{\n}", "1 2\n\"a\nb\""} {
		f.Add([]byte(input))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var all []item
		line, ended := 0, false
		for i := range items(bytes.NewReader(input)) {
			require.False(t, ended)
			ended = i.last
			all = append(all, i)
			if i.err == nil {
				require.True(t, json.Valid(i.text))
				require.NotContains(t, string(i.text), "\n")
			}
			require.LessOrEqual(t, line, i.line)
			line = i.line
		}
		require.LessOrEqual(t, line, bytes.Count(input, []byte{'\n'})+1)
		n := 0
		for i := range items(iotest.OneByteReader(bytes.NewReader(input))) {
			require.Less(t, n, len(all))
			require.Equal(t, string(all[n].text), string(i.text))
			require.Equal(t, all[n].line, i.line)
			n++
		}
		require.Equal(t, len(all), n)
	})
}

// A good line is found whatever stands on the lines before it.
func FuzzItemsGoOn(f *testing.F) {
	for _, line := range []string{"", "{", "{\"a\":", "{\"a\":{", "\"", "x", "{}x", "{\"a\":\""} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, broken string) {
		if strings.Contains(broken, "\n") || strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(broken, "\ufeff"), " \t\r"), "[") {
			return // other lines, or an array
		}
		const good = `{"good":1}`
		var found []int
		for i := range items(strings.NewReader(broken + "\n" + good + "\n" + good + "\n")) {
			if string(i.text) == good {
				found = append(found, i.line)
			}
		}
		assert.Subset(t, found, []int{2, 3})
	})
}
