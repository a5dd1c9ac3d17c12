package habitat

// This file reads the two kinds of numbers that messages hold: integers, which
// never pass through a float64, and floats. Both may come as a JSON number or
// as a string, since old uploaders send strings.

import (
	"bytes"
	"math"
	"strconv"

	"github.com/windsock-scgi/windsock/app/canonical"
)

// blanksInStrings may stand around a number in a string: ASCII white space.
const blanksInStrings = " \t\n\v\f\r"

// maxExponent bounds exponents: past it a number is zero or fits no int64,
// whatever it is exactly, because no body has that many digits. Ten times as
// much fits an int of 32 bits.
const maxExponent = 1 << 27

// decodeInteger reads a raw JSON value as an int64. The fraction of a JSON number is
// cut towards zero; a string must hold a plain decimal integer.
func decodeInteger(pointer string, raw []byte) (int64, error) {
	n, ok, fits := int64(0), false, false
	switch raw[0] {
	case '"':
		n, ok, fits = parseInteger(canonical.Unquote(raw))
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		ok = true
		n, fits = cutNumber(raw)
	}
	switch {
	case !ok:
		return 0, invalid(pointer, "must be a number or a string that holds an integer, not %s", describe(raw))
	case !fits:
		return 0, invalid(pointer, "must fit 64 bits, not %s", describe(raw))
	}
	return n, nil
}

// parseInteger reads a decimal integer with a sign or none and blanks around
// it. ok says whether it is one, fits whether an int64 holds it.
func parseInteger(text []byte) (n int64, ok, fits bool) {
	text = bytes.Trim(text, blanksInStrings)
	negative := bytes.HasPrefix(text, []byte{'-'})
	if negative || bytes.HasPrefix(text, []byte{'+'}) {
		text = text[1:]
	}
	for _, b := range text {
		if !isDigit(b) {
			return 0, false, false
		}
	}
	if len(text) == 0 {
		return 0, false, false
	}
	n, fits = gather(text, nil, len(text), negative)
	return n, true, fits
}

// cutNumber returns a JSON number without its fraction. fits is false when
// that is no int64.
func cutNumber(text []byte) (n int64, fits bool) {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	mantissa, exponent := text, 0
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		mantissa, exponent = text[:i], parseExponent(text[i+1:])
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte{'.'})
	return gather(whole, fraction, len(whole)+exponent, negative)
}

// parseExponent reads the exponent of a JSON number, held within maxExponent.
func parseExponent(text []byte) int {
	negative := text[0] == '-'
	if negative || text[0] == '+' {
		text = text[1:]
	}
	exponent := 0
	for _, b := range text {
		exponent = min(exponent*10+int(b-'0'), maxExponent)
	}
	if negative {
		return -exponent
	}
	return exponent
}

// gather returns the integer of the first count digits of whole and fraction,
// with zeros after them. It takes no more steps than there are digits, and the
// twenty that overflow an int64.
func gather(whole, fraction []byte, count int, negative bool) (n int64, fits bool) {
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	var value uint64
	for i := range count {
		var digit uint64
		switch {
		case i < len(whole):
			digit = uint64(whole[i] - '0')
		case i-len(whole) < len(fraction):
			digit = uint64(fraction[i-len(whole)] - '0')
		case value == 0: // as in 0e999999999: only zeros are left
			return 0, true
		}
		if value > (limit-digit)/10 {
			return 0, false
		}
		value = value*10 + digit
	}
	if negative {
		return int64(-value), true
	}
	return int64(value), true
}

// decodeFloat reads a raw JSON value, a number or a string that is one, as a finite
// float64. What is too small for one is zero.
//
// Known limits, which are strconv's: a number with more than 800 digits before
// the point, or more than five in the exponent, may be taken as zero or as an
// overflow where the two would cancel out.
func decodeFloat(pointer string, raw []byte) (float64, error) {
	text := raw
	if raw[0] == '"' {
		text = bytes.Trim(canonical.Unquote(raw), blanksInStrings)
	}
	if !hasNumberBytes(text) {
		return 0, invalid(pointer, "must be a number, not %s", describe(raw))
	}
	f, err := strconv.ParseFloat(string(text), 64)
	switch {
	case math.IsInf(f, 0): // the error is a strconv.ErrRange
		return 0, invalid(pointer, "must fit a 64-bit float, not %s", describe(raw))
	case err != nil:
		return 0, invalid(pointer, "must be a number, not %s", describe(raw))
	}
	return f, nil
}

// hasNumberBytes keeps what else strconv.ParseFloat takes from it: hexadecimal
// floats, underscores, infinities and NaN.
func hasNumberBytes(text []byte) bool {
	for _, b := range text {
		if !isDigit(b) && b != '+' && b != '-' && b != '.' && b != 'e' && b != 'E' {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
