package apptest

import (
	"bytes"
	"sync"
)

// Sayings keeps what was logged since Take was called last.
type Sayings struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *Sayings) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

// Take returns what was logged since the last Take.
func (s *Sayings) Take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.text.Reset()
	return s.text.String()
}
