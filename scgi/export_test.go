package scgi

// What the tests look at from inside.
var (
	ParseBlock = parseBlock
	NewRequest = newRequest
)

// HeldBody is the longest body that is sent in one piece with its header.
const HeldBody = maxHeldBody
