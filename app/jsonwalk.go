package app

// This file walks over the members of an object in a text that checkJSON has
// passed; it checks nothing again.

import (
	"bytes"
	"iter"
	"unicode/utf16"
	"unicode/utf8"
)

// members iterates over the unescaped names and the raw values of an object,
// which starts at its brace.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		pos := skipBlanks(object, 1)
		for object[pos] != '}' {
			end := skipString(object, pos)
			name := unquote(object[pos:end])
			colon := skipBlanks(object, end)
			pos = skipBlanks(object, colon+1)
			end = skipValue(object, pos)
			if !yield(name, object[pos:end]) {
				return
			}
			pos = skipBlanks(object, end)
			if object[pos] == ',' {
				pos = skipBlanks(object, pos+1)
			}
		}
	}
}

// find returns the raw value of an object's member, or nil if it has none of
// that name.
func find(object []byte, name string) []byte {
	for other, value := range members(object) {
		if string(other) == name {
			return value
		}
	}
	return nil
}

// skipBlanks returns where the blanks of RFC 8259 at pos end.
func skipBlanks(text []byte, pos int) int {
	for pos < len(text) && isBlank(text[pos]) {
		pos++
	}
	return pos
}

// skipValue returns where the value at pos ends.
func skipValue(text []byte, pos int) int {
	switch text[pos] {
	case '"':
		return skipString(text, pos)
	case '{', '[':
		return skipNested(text, pos)
	}
	for pos < len(text) && !isBlank(text[pos]) && text[pos] != ',' && text[pos] != ']' && text[pos] != '}' {
		pos++
	}
	return pos
}

// skipNested returns where the object or list at pos ends.
func skipNested(text []byte, pos int) int {
	for depth := 0; ; {
		switch text[pos] {
		case '"':
			pos = skipString(text, pos)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		pos++
		if depth == 0 {
			return pos
		}
	}
}

// skipString returns where the string at pos ends, past its closing quote.
func skipString(text []byte, pos int) int {
	for pos++; text[pos] != '"'; pos++ {
		if text[pos] == '\\' {
			pos++
		}
	}
	return pos + 1
}

// unquote returns what a raw JSON string holds: a part of raw when nothing in
// it is escaped.
func unquote(raw []byte) []byte {
	inner := raw[1 : skipString(raw, 0)-1]
	if !hasEscape(inner) {
		return inner
	}
	return appendUnescaped(make([]byte, 0, len(inner)), inner)
}

func hasEscape(inner []byte) bool { return bytes.IndexByte(inner, '\\') >= 0 }

// appendUnescaped appends what a JSON string without its quotes stands for.
// That is never longer than the string.
func appendUnescaped(dst, inner []byte) []byte {
	for {
		plain, rest, found := bytes.Cut(inner, []byte{'\\'})
		dst = append(dst, plain...)
		if !found {
			return dst
		}
		if rest[0] == 'u' {
			r, size := unescapeRune(rest)
			dst = utf8.AppendRune(dst, r)
			inner = rest[size:]
			continue
		}
		dst = append(dst, unescapeByte(rest[0]))
		inner = rest[1:]
	}
}

// unescapeRune reads uXXXX, or uXXXX\uXXXX for a surrogate pair, and returns
// how long it is.
func unescapeRune(text []byte) (r rune, size int) {
	r = hexRune(text[1:5])
	if !utf16.IsSurrogate(r) {
		return r, len(`uXXXX`)
	}
	return utf16.DecodeRune(r, hexRune(text[7:11])), len(`uXXXX\uXXXX`)
}

func unescapeByte(b byte) byte {
	switch b {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return b // a quote, a slash or a backslash
	}
}

func hexRune(digits []byte) (r rune) {
	for _, b := range digits {
		switch {
		case isDigit(b):
			b -= '0'
		default:
			b = (b | 0x20) - 'a' + 10
		}
		r = r<<4 | rune(b)
	}
	return r
}

func isHex(b byte) bool {
	return isDigit(b) || 'a' <= b && b <= 'f' || 'A' <= b && b <= 'F'
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isBlank(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }
