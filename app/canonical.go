package app

// This file writes canonical JSON, of which there is one form for each value,
// and computes the identity of a message from it.

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"
)

// idVersion is the first byte that is hashed into an ID. Another way to make
// IDs or canonical data gets another version.
const idVersion = 1

// messageID returns the ID of a message that has everything else.
func messageID(m *Message) ID {
	var decimal [20]byte // the longest int64 has a sign and 19 digits
	created := strconv.AppendInt(decimal[:0], m.ClientCreated, 10)
	hashed := make([]byte, 0, 512) // on the stack; grows for long data
	hashed = append(hashed, idVersion)
	hashed = appendSized(hashed, m.Callsign)
	hashed = appendSized(hashed, m.Type)
	hashed = appendSized(hashed, created)
	hashed = appendSized(hashed, m.Data)
	sum := sha256.Sum256(hashed)
	return ID(sum[:len(ID{})])
}

// appendSized appends the length of part as eight bytes, then part.
func appendSized[T ~string | ~[]byte](dst []byte, part T) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(part)))
	return append(dst, part...)
}

// appendFloat appends a finite number as RFC 8785, section 3.2.2.3 has it:
// the shortest decimal that gives the same float64, with an exponent only
// below 1e-6 and from 1e21 up, and 0 for -0.
func appendFloat(dst []byte, f float64) []byte {
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

// appendString appends text as a JSON string with the escapes of RFC 8785,
// section 3.2.2.2: those that there must be, two characters long where JSON
// has such a form, else \u00xx.
func appendString[T string | []byte](dst []byte, text T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(text) {
		switch b := text[i]; {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b >= ' ':
			dst = append(dst, b)
		case shortEscape(b) != 0:
			dst = append(dst, '\\', shortEscape(b))
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
		}
	}
	return append(dst, '"')
}

// shortEscape returns the letter that escapes a control character, or 0.
func shortEscape(b byte) byte {
	switch b {
	case '\b':
		return 'b'
	case '\t':
		return 't'
	case '\n':
		return 'n'
	case '\f':
		return 'f'
	case '\r':
		return 'r'
	}
	return 0
}

// appendCompact appends a raw JSON value, which checkJSON has passed, as it
// came but for the blanks between its tokens.
func appendCompact(dst, raw []byte) []byte {
	for pos := 0; pos < len(raw); {
		switch {
		case raw[pos] == '"':
			end := skipString(raw, pos)
			dst = append(dst, raw[pos:end]...)
			pos = end
		case isBlank(raw[pos]):
			pos++
		default:
			dst = append(dst, raw[pos])
			pos++
		}
	}
	return dst
}
