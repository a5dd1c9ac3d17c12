package canonical

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
	{"items without end", "[" + strings.Repeat("1,", 1<<19), "ends too early"},
	{"items", "[" + strings.Repeat("1,", 1<<19) + "1]", ""},
	{"empty objects", "[" + strings.Repeat("{},", 1<<18) + "1]", ""},
	{"small objects", "[" + strings.Repeat(`{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8},`, 1_200) + "1]", ""},
	{"300,000 members", manyNames(300_000, func(i int) string { return fmt.Sprintf("%x", i) }), "more than 10000 names"},
	{"10,000 members", manyNames(10_000, func(i int) string { return fmt.Sprintf("%x", i) }), ""},
	{"10,001 names in small objects", "[" + strings.Repeat(`{"a":1},`, 10_000) + `{"b":1}]`, "more than 10000 names"},
	{"members sorted backwards", manyNames(10_000, func(i int) string { return fmt.Sprintf("%06d", 100_000-i) }), ""},
	{"members, the last one repeated", manyNames(10_000, func(i int) string { return fmt.Sprint(min(i, 9_998)) }), `the name "9998" is repeated`},
	{"300,000 members of one name", manyNames(300_000, func(int) string { return "" }), `the name "" is repeated`},
	{"members with escapes", manyNames(10_000, func(i int) string { return fmt.Sprintf(`\u0061%d`, i) }), ""},
	{"members with a long common start", manyNames(1000, func(i int) string { return strings.Repeat("x", 1000) + fmt.Sprint(i) }), ""},
	{"members never closed", strings.TrimSuffix(manyNames(10_000, func(i int) string { return fmt.Sprint(i) }), "}"), "ends too early"},
	{"two long names", manyNames(2, func(i int) string { return strings.Repeat("x", 1<<19) + fmt.Sprint(i) }), ""},
	{"a long name twice", manyNames(2, func(int) string { return strings.Repeat("x", 1<<19) }), "is repeated"},
	{"a long string", `"` + strings.Repeat("é", 1<<19) + `"`, ""},
	{"a string of escapes", `"` + strings.Repeat(`\ud83c\udf88`, 1<<16) + `"`, ""},
	{"a long number", strings.Repeat("9", 1<<20), ""},
	{"a long exponent", "1e" + strings.Repeat("9", 1<<20), ""},
	{"blanks", strings.Repeat(" ", 1<<20) + "null", ""},
}

// check reads a text that is one value.
func check(text []byte) error {
	d := NewDecoder(text)
	defer d.Close()
	if _, err := d.Value(); err != nil {
		return err
	}
	return d.End()
}

// requireSyntaxError expects a reason that is fit to be shown to a client.
func requireSyntaxError(t *testing.T, err error, reason string) {
	t.Helper()
	var syntax *SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Contains(t, err.Error(), reason)
	require.LessOrEqual(t, len(err.Error()), 300)
	require.True(t, utf8.ValidString(err.Error()), "%q", err)
	require.NotContains(t, err.Error(), "\n")
}

// Hostile texts take memory that is bounded, however they are made, and no more time
// than this test may run: a check of each name with each would take minutes.
func TestHostileTexts(t *testing.T) {
	for _, c := range hostileBodies {
		t.Run(c.name, func(t *testing.T) {
			text := []byte(c.text)
			var err error
			assert.LessOrEqual(t, allocated(func() { err = check(text) }), uint64(8<<20))
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			requireSyntaxError(t, err, c.reason)
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

// A name is found repeated wherever it stands among others, escaped or not.
func TestRepeatedNames(t *testing.T) {
	for _, n := range []int{2, 3, 10, 63, 64, 65, 66, 200} {
		distinct := manyNames(n, func(i int) string { return fmt.Sprint(i) })
		require.NoError(t, check([]byte(distinct)))
		for _, second := range []int{1, n / 2, n - 1} {
			for _, first := range []int{0, second / 2, second - 1} {
				name := func(i int) string {
					if i == second {
						return fmt.Sprintf(`\u%04x`, 'Ā'+first)
					}
					return string('Ā' + rune(i))
				}
				if first != second {
					err := check([]byte(manyNames(n, name)))
					// Each member before it takes seven bytes: "Ā":0,
					requireSyntaxError(t, err, fmt.Sprintf("byte %d: the name %q is repeated", 1+7*second, string('Ā'+rune(first))))
				}
			}
		}
	}
}

// members are the names and raw values of an object.
func members(t *testing.T, text []byte) (all []string) {
	t.Helper()
	d := NewDecoder(text)
	defer d.Close()
	require.True(t, d.IsObject())
	require.NoError(t, d.Object(func(name []byte) error {
		value, err := d.Value()
		all = append(all, string(name), string(value))
		return err
	}))
	require.NoError(t, d.End())
	return all
}

func TestObject(t *testing.T) {
	object := []byte("{ \"a\" : 1 ,\"\\u0062\\n\":\t\"}\\\"\" , \"c\":[{\"d\":[\"]\"]}] ,\"\":{ } , \"e\":-1.5e3\n}")
	assert.Equal(t, []string{"a", "1", "b\n", `"}\""`, "c", `[{"d":["]"]}]`, "", "{ }", "e", "-1.5e3"}, members(t, object))
	assert.Empty(t, members(t, []byte(" {} ")))
}

// A caller's own error ends the reading, and nested objects are read where they stand.
func TestObjectWithin(t *testing.T) {
	d := NewDecoder([]byte(`{"a":{"b":1},"c":2}`))
	defer d.Close()
	var got []string
	stop := errors.New("stop")
	err := d.Object(func(name []byte) error {
		if got = append(got, string(name)); string(name) == "c" {
			return stop
		}
		return d.Object(func(name []byte) error {
			value, err := d.Value()
			got = append(got, string(name), string(value))
			return err
		})
	})
	assert.Equal(t, stop, err)
	assert.Equal(t, []string{"a", "b", "1", "c"}, got)
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
	} {
		assert.Equal(t, c.want, string(Unquote([]byte(c.raw))))
	}
}

// FuzzDecoder compares with encoding/json: what that rejects is rejected,
// and what it takes is rejected only for one of the rules that it lacks.
func FuzzDecoder(f *testing.F) {
	for _, text := range []string{`{"a":[{"\u0061":1,"\ud83c\udf88":2,"🎈":3}],"b":"\ud83c"}`, `{"a":1,}`, `[1,]`, "{}x", "", " ", "\uFEFF1", "1e5", `"\/\u00e9"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := check(text); err != nil {
			requireSyntaxError(t, err, "")
			require.False(t, mustAccept(text), "%q: %v", text, err)
			return
		}
		require.True(t, json.Valid(text), "%q", text)
		require.True(t, utf8.Valid(text), "%q", text)
		compareObject(t, bytes.TrimLeft(text, " \t\r\n"))
	})
}

// compareObject checks that Object and Unquote see what encoding/json does.
func compareObject(t *testing.T, text []byte) {
	t.Helper()
	if text[0] == '"' {
		var want string
		require.NoError(t, json.Unmarshal(text, &want))
		require.Equal(t, want, string(Unquote(bytes.TrimRight(text, " \t\r\n"))))
	}
	if text[0] != '{' {
		return
	}
	var want map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &want))
	all := members(t, text)
	for i := 0; i < len(all); i += 2 {
		require.Equal(t, string(want[all[i]]), all[i+1])
		delete(want, all[i])
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
			if open = append(open, next); len(open) > MaxDepth {
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
