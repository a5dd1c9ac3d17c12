package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is taken and what is not, with the offset of the fault, is covered by
// cases.json.

// manyNames is an object of n members, each named by what name returns.
func manyNames(n int, name func(int) string) string {
	var text strings.Builder
	text.WriteByte('{')
	for i := range n {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `"%s":0`, name(i))
	}
	text.WriteByte('}')
	return text.String()
}

// hostileBodies are about as costly as bodies of their size can be.
var hostileBodies = []struct {
	name, text, reason string // no reason: it is valid
}{
	{"lists that are never closed", strings.Repeat("[", 1<<20), "the nesting is deeper than 64"},
	{"objects that are never closed", strings.Repeat(`{"":`, 1<<18), "the nesting is deeper than 64"},
	{"items without end", "[" + strings.Repeat("1,", 1<<19), "found the end"},
	{"items", "[" + strings.Repeat("1,", 1<<19) + "1]", ""},
	{"empty objects", "[" + strings.Repeat("{},", 1<<18) + "1]", ""},
	{"small objects", "[" + strings.Repeat(`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8},`, 20_000) + "1]", ""},
	{"300,000 members", manyNames(300_000, func(i int) string { return fmt.Sprintf("%x", i) }), ""},
	{"members sorted backwards", manyNames(100_000, func(i int) string { return fmt.Sprintf("%06d", 100_000-i) }), ""},
	{"members, the last one repeated", manyNames(100_000, func(i int) string { return fmt.Sprint(min(i, 99_998)) }), `the name "99998" is repeated`},
	{"300,000 members of one name", manyNames(300_000, func(int) string { return "" }), `the name "" is repeated`},
	{"members with escapes", manyNames(40_000, func(i int) string { return fmt.Sprintf(`\u0061%d`, i) }), ""},
	{"members with a long common start", manyNames(1000, func(i int) string { return strings.Repeat("x", 1000) + fmt.Sprint(i) }), ""},
	{"members never closed", strings.TrimSuffix(manyNames(100_000, func(i int) string { return fmt.Sprint(i) }), "}"), "found the end"},
	{"two long names", manyNames(2, func(i int) string { return strings.Repeat("x", 1<<19) + fmt.Sprint(i) }), ""},
	{"a long name twice", manyNames(2, func(int) string { return strings.Repeat("x", 1<<19) }), "is repeated"},
	{"a long string", `"` + strings.Repeat("é", 1<<19) + `"`, ""},
	{"a string of escapes", `"` + strings.Repeat(`\ud83c\udf88`, 1<<16) + `"`, ""},
	{"a long number", strings.Repeat("9", 1<<20), ""},
	{"a long exponent", "1e" + strings.Repeat("9", 1<<20), ""},
	{"blanks", strings.Repeat(" ", 1<<20) + "null", ""},
}

// Hostile bodies take memory in proportion to their size, and no more time
// than this test may run: a check of each name with each would take minutes.
func TestHostileBodies(t *testing.T) {
	for _, c := range hostileBodies {
		t.Run(c.name, func(t *testing.T) {
			text := []byte(c.text)
			var err error
			assert.LessOrEqual(t, allocated(func() { err = checkJSON(text) }), uint64(24*len(text)+4096))
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			requireInvalid(t, err, "", c.reason)
		})
	}
}

// The same within messages: beside the known keys of data, and as one of them.
func TestHostileMessages(t *testing.T) {
	const envelope = `{"callsign":"A","type":"LISTENER_INFO","time_created":1,"time_uploaded":1,"data":{"%s":%s}}`
	for _, c := range hostileBodies {
		if c.reason != "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			m, err := Decode(fmt.Appendf(nil, envelope, "x", c.text), "::1", testNow)
			require.NoError(t, err)
			assert.Equal(t, `{}`, string(m.Data))
			if _, err = Decode(fmt.Appendf(nil, envelope, "name", c.text), "::1", testNow); err != nil {
				requireInvalid(t, err, "/data/name", "must be a string, not ")
			}
		})
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// To check a message takes one allocation, for its names.
func TestCheckJSONAllocations(t *testing.T) {
	body := []byte(sampleBody)
	assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { _ = checkJSON(body) }), 1.0)
}

// A name is found repeated wherever it stands among others, below and above
// the number from which on names are sorted.
func TestRepeatedNames(t *testing.T) {
	for n := range 3*fewNames + 1 {
		distinct := manyNames(n, func(i int) string { return fmt.Sprint(i) })
		require.NoError(t, checkJSON([]byte(distinct)))
		for second := range n {
			for first := range second {
				name := func(i int) string {
					if i == second {
						return fmt.Sprintf(`\u00%02x`, 'a'+first)
					}
					return string(rune('a' + i))
				}
				err := checkJSON([]byte(manyNames(n, name)))
				// Each member before it takes six bytes: "a":0,
				requireInvalid(t, err, "", fmt.Sprintf("byte %d: the name %q is repeated", 1+6*second, string(rune('a'+first))))
			}
		}
	}
}

func TestMembers(t *testing.T) {
	object := []byte("{ \"a\" : 1 ,\"\\u0062\\n\":\t\"}\\\"\" , \"c\":[{\"d\":[\"]\"]}] ,\"\":{ } , \"e\":-1.5e3\n}")
	require.NoError(t, checkJSON(object))
	var got []string
	for name, value := range members(object) {
		got = append(got, string(name), string(value))
	}
	assert.Equal(t, []string{"a", "1", "b\n", `"}\""`, "c", `[{"d":["]"]}]`, "", "{ }", "e", "-1.5e3"}, got)
	assert.Equal(t, "-1.5e3", string(find(object, "e")))
	assert.Equal(t, "{ }", string(find(object, "")))
	assert.Nil(t, find(object, "d"))
	for range members([]byte(" {}")[1:]) {
		t.Error("an empty object has no members")
	}
}

func TestUnquote(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`""`, ""},
		{`"abc"`, "abc"},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{`"\u0000\u00e9\u20AC\uffff"`, "\x00é€\uffff"},
		{`"a\ud83c\udf88b\uD83C\uDF88"`, "a🎈b🎈"},
		{`"\\u0041"`, `\u0041`},
		{`"\\"`, `\`},
		{`"é" , "x"`, "é"},
	} {
		assert.Equal(t, c.want, string(unquote([]byte(c.raw))))
	}
}

// FuzzStrictJSON compares with encoding/json: what that rejects is rejected,
// and what it takes is rejected only for one of the rules that it lacks.
func FuzzStrictJSON(f *testing.F) {
	for _, c := range readMessageCases(f) {
		f.Add(c.body())
	}
	f.Add([]byte(`{"a":[{"\u0061":1,"\ud83c\udf88":2,"🎈":3}],"b":"\ud83c"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := checkJSON(text)
		if err != nil {
			requireShowable(t, err)
			require.False(t, mustAccept(text), "%q: %v", text, err)
			return
		}
		require.True(t, json.Valid(text), "%q", text)
		require.True(t, utf8.Valid(text), "%q", text)
		compareMembers(t, text)
		compact := appendCompact(nil, text)
		require.NoError(t, checkJSON(compact))
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, text))
		require.Equal(t, want.String(), string(compact))
	})
}

// compareMembers checks that members sees what encoding/json does.
func compareMembers(t *testing.T, text []byte) {
	t.Helper()
	root := text[skipBlanks(text, 0):]
	if root[0] == '"' {
		var want string
		require.NoError(t, json.Unmarshal(text, &want))
		require.Equal(t, want, string(unquote(root)))
	}
	if root[0] != '{' {
		return
	}
	var want map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &want))
	for name, value := range members(root) {
		require.Equal(t, string(want[string(name)]), string(value))
		delete(want, string(name))
	}
	require.Empty(t, want)
}

var surrogateEscape = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

// mustAccept says whether text is valid by encoding/json and obeys the rules
// that this one lacks. It is false too for what it cannot tell: text that
// escapes any surrogate.
func mustAccept(text []byte) bool {
	return json.Valid(text) && utf8.Valid(text) && !surrogateEscape.Match(text) &&
		!deepOrRepeated(json.NewDecoder(bytes.NewReader(text)))
}

// deepOrRepeated says whether the next value nests too deep or repeats a name.
func deepOrRepeated(d *json.Decoder) bool {
	d.UseNumber()
	type object struct {
		names  map[string]bool // nil for a list
		inName bool
	}
	var open []object
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return false
		}
		inner := len(open) - 1
		switch token := token.(type) {
		case json.Delim:
			if token == '}' || token == ']' {
				open = open[:inner]
				inner--
				break
			}
			next := object{}
			if token == '{' {
				next = object{map[string]bool{}, true}
			}
			if open = append(open, next); len(open) > maxDepth {
				return true
			}
			continue
		case string:
			if inner >= 0 && open[inner].inName {
				if open[inner].names[token] {
					return true
				}
				open[inner].names[token] = true
				open[inner].inName = false
				continue
			}
		}
		// A value ended: in an object a name comes next.
		if inner >= 0 {
			open[inner].inName = open[inner].names != nil
		}
	}
}
