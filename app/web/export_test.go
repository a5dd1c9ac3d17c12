package web

// Numbers of places, for the tests that fill them.
const (
	BatchPlaces   = batchPlaces
	DecoderPlaces = decoderPlaces
)
