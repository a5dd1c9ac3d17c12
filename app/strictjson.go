package app

// This file is strict JSON: one validating pass over a whole text, which
// builds no tree. jsonwalk.go walks over what has passed. encoding/json is not strict enough for the contract: it takes
// the last of a repeated name and replaces invalid UTF-8.

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth is how many objects and lists may be open at once.
	maxDepth = 64
	// fewNames is up to how many names of one object are compared each with
	// each, which is faster than to sort them. Envelopes and data have fewer.
	fewNames = 8
	// usualNames is how many names there is room for at once; more take
	// another allocation. A LISTENER_TELEM has 12.
	usualNames = 16
)

// checkJSON returns an error unless text is exactly one JSON text by the
// grammar of RFC 8259 that in addition is valid UTF-8 without a byte order
// mark, repeats no name within an object, escapes no half of a surrogate pair
// and nests no deeper than maxDepth.
//
// It takes O(n log n) time at most. Its memory is two ints for each name of the
// objects open at one moment.
func checkJSON(text []byte) error {
	c := jsonChecker{text: text, names: make([]span, 0, usualNames)}
	// RFC 8259, section 8.1: "Implementations MUST NOT add a byte order mark".
	if bytes.HasPrefix(text, []byte("\uFEFF")) {
		return c.fail(0, "there must be no byte order mark")
	}
	c.blanks()
	if err := c.value(1); err != nil {
		return err
	}
	c.blanks()
	if c.pos < len(text) {
		return c.unexpected("the end")
	}
	return nil
}

// jsonChecker is the state of one validating pass.
type jsonChecker struct {
	text []byte
	pos  int
	// names are those of all the objects open now, the innermost one's last.
	names []span
	// left and right are scratch space to compare names that have escapes.
	left, right []byte
}

// span is where a name stands in the text, without its quotes.
type span struct{ start, end int }

// value checks any value. depth is what an object or list here would have.
func (c *jsonChecker) value(depth int) error {
	switch c.peek() {
	case '{':
		return c.object(depth)
	case '[':
		return c.list(depth)
	case '"':
		return c.str()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

func (c *jsonChecker) object(depth int) error {
	if err := c.open(depth); err != nil {
		return err
	}
	outer := len(c.names)
	if c.take('}') {
		return nil
	}
	for {
		if err := c.member(depth); err != nil {
			return err
		}
		if c.take('}') {
			break
		}
		if err := c.comma(`"," or "}"`); err != nil {
			return err
		}
	}
	err := c.distinct(c.names[outer:])
	c.names = c.names[:outer]
	return err
}

func (c *jsonChecker) member(depth int) error {
	if c.peek() != '"' {
		return c.unexpected("a name in quotes")
	}
	start := c.pos + 1
	if err := c.str(); err != nil {
		return err
	}
	c.names = append(c.names, span{start, c.pos - 1})
	c.blanks()
	if !c.take(':') {
		return c.unexpected(`":"`)
	}
	c.blanks()
	err := c.value(depth + 1)
	c.blanks()
	return err
}

func (c *jsonChecker) list(depth int) error {
	if err := c.open(depth); err != nil {
		return err
	}
	if c.take(']') {
		return nil
	}
	for {
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.blanks()
		if c.take(']') {
			return nil
		}
		if err := c.comma(`"," or "]"`); err != nil {
			return err
		}
	}
}

// open steps into an object or list.
func (c *jsonChecker) open(depth int) error {
	if depth > maxDepth {
		return c.fail(c.pos, "the nesting is deeper than %d", maxDepth)
	}
	c.pos++
	c.blanks()
	return nil
}

// comma steps over the comma after a member or an item.
func (c *jsonChecker) comma(expected string) error {
	if !c.take(',') {
		return c.unexpected(expected)
	}
	c.blanks()
	return nil
}

// distinct returns an error if two of the names, which are those of one
// object, are the same after unescaping.
func (c *jsonChecker) distinct(names []span) error {
	if len(names) <= fewNames {
		return c.distinctFew(names)
	}
	slices.SortFunc(names, func(a, b span) int {
		return cmp.Or(c.compare(a, b), a.start-b.start)
	})
	for i := range names[1:] {
		if c.compare(names[i], names[i+1]) == 0 {
			return c.repeated(names[i+1])
		}
	}
	return nil
}

func (c *jsonChecker) distinctFew(names []span) error {
	for i, name := range names {
		for _, earlier := range names[:i] {
			if c.compare(name, earlier) == 0 {
				return c.repeated(name)
			}
		}
	}
	return nil
}

// compare orders two names by their unescaped bytes.
func (c *jsonChecker) compare(a, b span) int {
	left, right := c.text[a.start:a.end], c.text[b.start:b.end]
	if hasEscape(left) {
		c.left = appendUnescaped(c.left[:0], left)
		left = c.left
	}
	if hasEscape(right) {
		c.right = appendUnescaped(c.right[:0], right)
		right = c.right
	}
	return bytes.Compare(left, right)
}

func (c *jsonChecker) repeated(name span) error {
	text := appendUnescaped(nil, c.text[name.start:name.end])
	return c.fail(name.start-1, "the name %s is repeated in its object", quote(text))
}

// str checks a string, from its opening quote on.
func (c *jsonChecker) str() error {
	c.pos++
	for c.pos < len(c.text) {
		switch b := c.text[c.pos]; {
		case b == '"':
			c.pos++
			return nil
		case b == '\\':
			if err := c.escape(); err != nil {
				return err
			}
		case b < ' ':
			return c.fail(c.pos, "control characters in strings must be escaped")
		case b < utf8.RuneSelf:
			c.pos++
		default:
			r, size := utf8.DecodeRune(c.text[c.pos:])
			if r == utf8.RuneError && size == 1 {
				return c.fail(c.pos, "the text is not valid UTF-8")
			}
			c.pos += size
		}
	}
	return c.unexpected("a closing quote")
}

// escape checks an escape within a string, from its backslash on.
func (c *jsonChecker) escape() error {
	c.pos++
	switch c.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.pos++
		return nil
	case 'u':
		return c.unicodeEscape()
	default:
		return c.unexpected(`one of "\/bfnrtu after a backslash`)
	}
}

// unicodeEscape checks \uXXXX, or two of them that make a surrogate pair.
func (c *jsonChecker) unicodeEscape() error {
	start := c.pos - 1
	first, err := c.hex4()
	if err != nil || !utf16.IsSurrogate(first) {
		return err
	}
	if bytes.HasPrefix(c.text[c.pos:], []byte(`\u`)) {
		c.pos++
		second, err := c.hex4()
		if err != nil {
			return err
		}
		if utf16.DecodeRune(first, second) != utf8.RuneError {
			return nil
		}
	}
	return c.fail(start, "half of a surrogate pair stands alone")
}

// hex4 reads the u of an escape and its four hex digits.
func (c *jsonChecker) hex4() (rune, error) {
	for range 4 {
		c.pos++
		if !isHex(c.peek()) {
			return 0, c.unexpected("a hex digit")
		}
	}
	c.pos++
	return hexRune(c.text[c.pos-4 : c.pos]), nil
}

// number checks a number by RFC 8259, section 6:
// [ minus ] int [ frac ] [ exp ].
func (c *jsonChecker) number() error {
	negative := c.take('-')
	if !isDigit(c.peek()) && !negative {
		return c.unexpected("a value")
	}
	// "Leading zeros are not allowed": whatever follows a 0 is not of the int.
	if !c.take('0') {
		if err := c.digits(); err != nil {
			return err
		}
	}
	if c.take('.') {
		if err := c.digits(); err != nil {
			return err
		}
	}
	if c.take('e') || c.take('E') {
		_ = c.take('+') || c.take('-')
		return c.digits()
	}
	return nil
}

// digits steps over one digit or more.
func (c *jsonChecker) digits() error {
	if !isDigit(c.peek()) {
		return c.unexpected("a digit")
	}
	for isDigit(c.peek()) {
		c.pos++
	}
	return nil
}

// literal steps over true, false or null.
func (c *jsonChecker) literal(word string) error {
	if !bytes.HasPrefix(c.text[c.pos:], []byte(word)) {
		return c.unexpected("a value")
	}
	c.pos += len(word)
	return nil
}

func (c *jsonChecker) blanks() { c.pos = skipBlanks(c.text, c.pos) }

// peek returns the byte at the position, or at the end a NUL, which stands
// nowhere in JSON either.
func (c *jsonChecker) peek() byte {
	if c.pos < len(c.text) {
		return c.text[c.pos]
	}
	return 0
}

// take steps over b if it is next.
func (c *jsonChecker) take(b byte) bool {
	if c.pos < len(c.text) && c.text[c.pos] == b {
		c.pos++
		return true
	}
	return false
}

// unexpected is the error for what stands at the position.
func (c *jsonChecker) unexpected(expected string) error {
	if c.pos >= len(c.text) {
		return c.fail(len(c.text), "expected %s, found the end", expected)
	}
	_, size := utf8.DecodeRune(c.text[c.pos:])
	return c.fail(c.pos, "expected %s, found %s", expected, quote(c.text[c.pos:c.pos+size]))
}

// fail is the error for the byte at pos; the first one of the text is byte 0.
func (c *jsonChecker) fail(pos int, format string, args ...any) error {
	return invalid("", "JSON error at byte %d: %s", pos, fmt.Sprintf(format, args...))
}
