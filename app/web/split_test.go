package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// split returns all items of a body, each with <too long> in place of one that
// is, and the error that ended it.
func split(body string, fault error, f format, max int) (items []string, s *splitter, err error) {
	s = newSplitter([]byte(body), fault, f, max)
	for {
		item, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return items, s, nil
		case isInvalid(err):
			items = append(items, "<too long>")
		case err != nil:
			return items, s, err
		default:
			items = append(items, string(item))
		}
	}
}

func TestSplit(t *testing.T) {
	long := strings.Repeat("x", 40)
	tests := []struct {
		name   string
		format format
		body   string
		want   []string
		fault  string
	}{
		{"no array", document, "", []string{""}, ""},
		{"empty array", document, " [ ] \n", nil, ""},
		{"one in an array", document, `[{}]`, []string{`{}`}, ""},
		{"kinds of items", document, "[ {\"a\":[{}]} ,[1,[2]],\"]\\\"\",\t-1.5e3,true , null\n]",
			[]string{`{"a":[{}]}`, `[1,[2]]`, `"]\""`, `-1.5e3`, `true`, `null`}, ""},
		{"brackets in strings", document, `[{"]}":"[{\\"},{"\"}":1}]`, []string{`{"]}":"[{\\"}`, `{"\"}":1}`}, ""},
		{"one object", document, " {\"a\":\n1} \n", []string{" {\"a\":\n1} \n"}, ""},
		{"something else", document, "hello", []string{"hello"}, ""},
		{"two objects are no JSON", document, "{}\n{}", []string{"{}\n{}"}, ""},
		{"array without end", document, `[{},`, []string{`{}`}, "byte 4 of the body: the array has no end"},
		{"array with half an item", document, `[{},{"a"`, []string{`{}`}, "the array has no end"},
		{"array with half a string", document, `["a\`, nil, "the array has no end"},
		{"array of nothing", document, `[`, nil, "the array has no end"},
		{"comma at the end", document, `[1,]`, []string{"1"}, `byte 2 of the body: invalid character ','`},
		{"comma at the beginning", document, `[,1]`, nil, `byte 1 of the body: invalid character ','`},
		{"two commas", document, `[1,,2]`, []string{"1"}, `byte 3 of the body: invalid character ','`},
		{"no comma", document, `[{} {}]`, []string{`{}`}, `byte 4 of the body: invalid character '{' after array element`},
		{"wrong bracket", document, `[{}}`, []string{`{}`}, `byte 3 of the body: invalid character '}'`},
		{"after the array", document, "[1]\n[2]", []string{"1"}, `byte 4 of the body: the text goes on`},
		{"long item in an array", document, `[1,"` + long + `"]`, []string{"1"}, "larger than the limit of 30"},
		{"long document", document, `{"a":"` + long + `"}`, nil, "larger than the limit of 30"},
		{"no lines", lines, "", nil, ""},
		{"blank lines", lines, "\n \r\n\t\n", nil, ""},
		{"lines", lines, "{\"a\":1}\r\n\n {}\nno\n[1]", []string{"{\"a\":1}\r", ` {}`, `no`, `[1]`}, ""},
		{"as long as may be", lines, strings.Repeat("y", 30) + "\n1", []string{strings.Repeat("y", 30), "1"}, ""},
		{"long line", lines, "1\n" + long + "\n2\n" + long, []string{"1", "<too long>", "2", "<too long>"}, ""},
		{"array", undeclared, "\n[1,2]", []string{"1", "2"}, ""},
		{"lines of objects", undeclared, "\n{}\n{\"a\":1}\n", []string{`{}`, `{"a":1}`}, ""},
		{"one line", undeclared, `{}`, []string{`{}`}, ""},
		{"an object over many lines", undeclared, "{\n \"a\": 1\n}\n", []string{"{\n \"a\": 1\n}\n"}, ""},
		{"a line broken off in a string", undeclared, "{\"a\":\"\n{}", []string{`{"a":"`, `{}`}, ""},
		{"braces in a string", undeclared, "{\"{\\\"\":1}\n{}", []string{`{"{\"":1}`, `{}`}, ""},
		{"a long line first", undeclared, long + "\n1", []string{"<too long>", "1"}, ""},
		{"nothing", undeclared, " ", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items, s, err := split(tt.body, nil, tt.format, 30)
			assert.Equal(t, tt.want, items)
			if tt.fault == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, tt.fault)
			}
			_, err = s.next()
			assert.Equal(t, io.EOF, err, "and so it stays")
		})
	}
}

// A body that is cut off gives the items that came whole, and never ends as if
// it were whole, wherever it is cut and whatever it is.
func TestSplitCutOff(t *testing.T) {
	for f, body := range map[format]string{
		array:      ` [ {"a":"b\"]"} , 12 , null,"x" ] `,
		document:   "{\"a\":\n[1]} ",
		lines:      "{\"a\":1}\n\n12\r\n[{}]\n",
		undeclared: "{\"a\":1}\n12\n",
	} {
		declared := f
		if f == array {
			declared = document
		}
		whole, _, err := split(body, nil, declared, 30)
		require.NoError(t, err)
		for n := range len(body) + 1 {
			items, _, err := split(body[:n], io.ErrClosedPipe, declared, 30)
			assert.ErrorIs(t, err, io.ErrClosedPipe, "%q", body[:n])
			require.LessOrEqual(t, len(items), len(whole))
			assert.True(t, slices.Equal(whole[:len(items)], items), "%q", body[:n])
		}
	}
}

// FuzzBatch: of every JSON array the items are those that encoding/json finds,
// of lines those that are not blank; nothing panics, and no item is longer than
// it may be.
func FuzzBatch(f *testing.F) {
	for _, body := range []string{
		"", "[]", "[1]", `[{"a":"]"},[2,"\""],null]`, "{}\n{}\n", "{\n}", "[1,]", "[1]x", "\"\\", "[{\"a\":[}]",
	} {
		for declared := range 3 {
			f.Add([]byte(body), declared)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, declared int) {
		const max = 100
		as := []format{undeclared, document, lines}[uint(declared)%3]
		items, s, err := split(string(body), nil, as, max)
		for _, item := range items {
			assert.LessOrEqual(t, len(item), max)
		}
		switch {
		case as == lines:
			assert.NoError(t, err)
			assert.Equal(t, nonBlankLines(body, max), items)
		case s.format == array && json.Valid(body):
			want, fits := decoded(t, body, max)
			if fits {
				require.NoError(t, err)
				assert.Equal(t, want, items)
			} else {
				assert.Error(t, err)
			}
		case s.format == array:
			valid := err == nil
			for _, item := range items {
				valid = valid && json.Valid([]byte(item))
			}
			assert.False(t, valid, "%q is no JSON", body)
		}
	})
}

func nonBlankLines(body []byte, max int) (items []string) {
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		switch {
		case len(line) > max:
			items = append(items, "<too long>")
		case len(bytes.Trim(line, " \t\r")) > 0:
			items = append(items, string(line))
		}
	}
	return items
}

// decoded is what encoding/json makes of an array, and whether each item fits.
func decoded(t *testing.T, body []byte, max int) (items []string, fits bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	_, err := decoder.Token()
	require.NoError(t, err)
	for decoder.More() {
		var item json.RawMessage
		require.NoError(t, decoder.Decode(&item))
		if len(item) > max {
			return nil, false
		}
		items = append(items, string(item))
	}
	return items, true
}
