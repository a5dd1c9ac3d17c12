package cgihost

import (
	"bufio"
	"errors"
	"io"

	"github.com/rs/zerolog"
)

// What a program's errors may take in the log, for one request.
const (
	maxErrorLine  = 1 << 10 // bytes; what is longer goes on in another line
	maxErrorLines = 200
)

// logLines logs what a program prints as errors, a line each, and reads all of
// it, so that the program never waits.
func logLines(r io.Reader, logger *zerolog.Logger) {
	lines, dropped := 0, 0
	for br := bufio.NewReaderSize(r, maxErrorLine); ; {
		line, err := br.ReadSlice('\n')
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		switch {
		case len(line) == 0:
		case lines < maxErrorLines:
			lines++
			logger.Warn().Bytes("stderr", line).Msg("CGI program")
		default:
			dropped++
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break // io.EOF, or nobody is left to write
		}
	}
	if dropped > 0 {
		logger.Warn().Int("lines", dropped).Msg("a CGI program printed more errors than are logged for one request")
	}
}
