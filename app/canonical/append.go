package canonical

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendName appends the name of an object's member and its colon, after a comma
// unless it is the object's first.
func AppendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(AppendString(dst, name), ':')
}

// AppendString appends text as a JSON string with the escapes of RFC 8785,
// section 3.2.2.2. Bytes that are no UTF-8 become U+FFFD.
func AppendString[T string | []byte](dst []byte, text T) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // it reports invalid UTF-8, and replaces it
	return dst
}

// AppendFloat appends a finite number as RFC 8785, section 3.2.2.3 has it:
// the shortest decimal that gives the same float64, with an exponent only
// below 1e-6 and from 1e21 up, and 0 for -0.
func AppendFloat(dst []byte, f float64) []byte {
	size := math.Abs(f)
	if size == 0 {
		return append(dst, '0')
	}
	if 1e-6 <= size && size < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// strconv's exponents have two digits at least; RFC 8785 has 1e-7, not 1e-07.
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// maxQuoted is how many bytes of a client's value an error repeats.
const maxQuoted = 40

// Quote returns text as a quoted Go string, cut to 40 bytes: for errors.
func Quote[T []byte | string](text T) string { return strconv.Quote(Shorten(text)) }

// Shorten cuts text to 40 bytes, between two characters.
func Shorten[T []byte | string](text T) string {
	if len(text) <= maxQuoted {
		return string(text)
	}
	short := text[:maxQuoted]
	for len(short) > maxQuoted-utf8.UTFMax && !utf8.RuneStart(text[len(short)]) {
		short = short[:len(short)-1]
	}
	return string(short) + "…"
}
