package habitat

// This file decodes base64 as leniently as the service that windsock takes
// over from did: by the rules of CPython's binascii.a2b_base64 when it is not
// strict.

import "errors"

// errPadding is returned by decodeBase64 for text that ends within a group of
// four characters.
var errPadding = errors.New("habitat: base64 ends within a group of four")

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// base64Values holds each character's value plus one, and zero for what is
// outside the alphabet.
var base64Values = func() (values [256]byte) {
	for i := range len(base64Alphabet) {
		values[base64Alphabet[i]] = byte(i + 1)
	}
	return values
}()

// decodeBase64 returns the bytes that text holds. Characters outside the
// alphabet are dropped. A '=' counts only where it may stand, behind the
// second and third character of a group, and once a group is full with it,
// the rest is ignored.
func decodeBase64(text []byte) ([]byte, error) {
	decoded := make([]byte, 0, len(text)/4*3+2)
	var group uint32 // the bits of the characters so far
	inGroup, pads := 0, 0
	for _, c := range text {
		if c == '=' && inGroup >= 2 {
			pads++
			if inGroup+pads >= 4 {
				return decoded, nil
			}
			continue
		}
		value := base64Values[c]
		if value == 0 {
			continue
		}
		pads = 0
		group = group<<6 | uint32(value-1)
		inGroup = (inGroup + 1) % 4
		// Each character of a group but the first completes a byte; the bits
		// below it, of which four, two or none are there, are the next one's.
		switch inGroup {
		case 2:
			decoded = append(decoded, byte(group>>4))
		case 3:
			decoded = append(decoded, byte(group>>2))
		case 0:
			decoded = append(decoded, byte(group))
		}
	}
	if inGroup != 0 {
		return nil, errPadding
	}
	return decoded, nil
}
