package canonical

import (
	"crypto/sha256"
	"encoding/binary"
)

// Identity returns the first 16 bytes of a SHA-256 over a version and parts, each
// part preceded by its length as eight bytes, big-endian. So no two lists of parts
// are hashed alike.
func Identity(version byte, parts ...[]byte) [16]byte {
	hashed := make([]byte, 0, 512) // on the stack; grows for long parts
	hashed = append(hashed, version)
	for _, part := range parts {
		hashed = binary.BigEndian.AppendUint64(hashed, uint64(len(part)))
		hashed = append(hashed, part...)
	}
	sum := sha256.Sum256(hashed)
	return [16]byte(sum[:16])
}
