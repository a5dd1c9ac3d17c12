package app

// This file takes a body of many messages apart, one at a time, without ever
// holding more than one. It finds where an item ends and no more: whether it
// is JSON, and a message, is for Decode to say.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// format is how items stand in a body.
type format int

const (
	undeclared format = iota // to be told by how it begins
	document                 // JSON: an array of items, or one item
	array                    // an array, whose bracket has been read
	lines                    // NDJSON: one item a line
)

// formatOf returns what a Content-Type declares.
func formatOf(contentType string) format {
	mediaType, _, _ := mime.ParseMediaType(contentType) // empty when there is none to be had
	switch strings.ToLower(mediaType) {
	case "application/json":
		return document
	case "application/x-ndjson":
		return lines
	}
	return undeclared
}

// splitter finds the items of a body. Its memory is one item and a buffer.
type splitter struct {
	r      *bufio.Reader
	format format
	max    int // bytes of an item

	offset int64  // bytes of the body that were read
	found  int    // items so far
	item   []byte // the one at hand; the next one takes its place
	held   bool   // the item was read already to tell the format
	ended  bool
}

func newSplitter(r io.Reader, f format, max int) *splitter {
	return &splitter{r: bufio.NewReaderSize(r, 16<<10), format: f, max: max}
}

// next returns the next item, which is good until the one after it is asked
// for, and io.EOF after the last. With an *InvalidError the item is none, and
// the next one may be asked for; every other error is the end.
func (s *splitter) next() ([]byte, error) {
	if s.ended {
		return nil, io.EOF
	}
	item, err := s.find()
	if err != nil && !isInvalid(err) {
		s.ended = true
		return nil, err
	}
	s.found++
	return item, err
}

func (s *splitter) find() ([]byte, error) {
	if s.found == 0 && (s.format == undeclared || s.format == document) {
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	switch s.format {
	case array:
		return s.nextOfArray()
	case lines:
		return s.nextLine()
	}
	s.ended = true
	return s.rest()
}

// intact reports whether the next item can be trusted to begin where it seems
// to, given that this one is not valid. Lines keep their faults to themselves.
func (s *splitter) intact(item []byte) bool { return s.format != array || json.Valid(item) }

// begin tells by its first bytes what a body is. An array begins with its
// bracket. Without a Content-Type, one object over many lines is told from
// NDJSON by its first line, which leaves something open.
func (s *splitter) begin() error {
	c, err := s.peekAfterBlanks()
	switch {
	case err == io.EOF: // no lines, but in JSON an item that is empty
		if s.format == undeclared {
			s.format = lines
		}
		return nil
	case err != nil:
		return err
	case c == '[':
		s.format = array
		_, err = s.readByte()
		return err
	case s.format == document:
		return nil
	}
	s.format = lines
	if _, err = s.readLine(); err != nil {
		return err
	}
	if s.held = true; leavesOpen(s.item) {
		s.format = document
	}
	return nil
}

// leavesOpen reports whether a line ends within an object or a list, but not
// within a string: no string goes on over a line's end.
func leavesOpen(line []byte) bool {
	depth := 0
	for pos := 0; pos < len(line); pos++ {
		switch line[pos] {
		case '"':
			for pos++; pos < len(line) && line[pos] != '"'; pos++ {
				if line[pos] == '\\' {
					pos++
				}
			}
			if pos >= len(line) {
				return false
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return depth > 0
}

// rest returns all that is left as one item.
func (s *splitter) rest() ([]byte, error) {
	if !s.held {
		s.item = s.item[:0]
	} else if len(s.item) == s.max {
		return nil, s.tooLarge()
	} else {
		s.item = append(s.item, '\n') // which ended the line
	}
	for {
		part, err := s.r.Peek(1)
		if len(part) > 0 {
			part, _ = s.r.Peek(s.r.Buffered())
			if len(s.item)+len(part) > s.max {
				return nil, s.tooLarge()
			}
			s.item = append(s.item, part...)
			_, err = s.r.Discard(len(part))
		}
		if err == io.EOF {
			return s.item, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// nextLine returns the next line that is not blank.
func (s *splitter) nextLine() ([]byte, error) {
	if s.held {
		s.held = false
		return s.item, nil
	}
	for {
		line, err := s.readLine()
		if err != nil || skipBlanks(line, 0) < len(line) {
			return line, err
		}
	}
}

// readLine reads one line into the item, without its end. The last one need
// not have an end; but where the body fails, what came of a line is none.
func (s *splitter) readLine() ([]byte, error) {
	s.item = s.item[:0]
	for long := false; ; {
		part, err := s.r.ReadSlice('\n')
		s.offset += int64(len(part))
		content, ended := bytes.CutSuffix(part, []byte{'\n'})
		if long = long || len(s.item)+len(content) > s.max; long {
			s.item = s.item[:0] // and none of the rest is kept
		} else {
			s.item = append(s.item, content...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(s.item) == 0 && !long:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case long:
			return nil, invalid("", "must have at most %d bytes", s.max)
		case ended || err == io.EOF:
			return s.item, nil
		}
	}
}

// nextOfArray returns the next item of an array.
func (s *splitter) nextOfArray() ([]byte, error) {
	c, err := s.afterBlanks()
	if err != nil {
		return nil, err
	}
	switch {
	case c == ']':
		return nil, s.afterArray()
	case s.found > 0 && c != ',':
		return nil, s.broken(`"," or "]"`)
	case s.found > 0:
		if c, err = s.afterBlanks(); err != nil {
			return nil, err
		}
	}
	return s.value(c)
}

// afterArray makes sure that nothing comes after an array, and returns io.EOF.
func (s *splitter) afterArray() error {
	if _, err := s.peekAfterBlanks(); err != nil {
		return err
	}
	_, _ = s.readByte() // it is there
	return s.broken("the end")
}

// value reads the value that begins with c.
func (s *splitter) value(c byte) (_ []byte, err error) {
	s.item = append(s.item[:0], c)
	switch c {
	case '{', '[':
		err = s.nested()
	case '"':
		err = s.str()
	case ',', ']', '}', ':':
		err = s.broken("a value")
	default:
		err = s.scalar()
	}
	return s.item, err
}

// nested reads on to the end of an object or list. Which bracket closes which
// is not looked at: that takes memory for every one that is open.
func (s *splitter) nested() error {
	for depth := 1; depth > 0; {
		c, err := s.take()
		if err != nil {
			return err
		}
		switch c {
		case '"':
			if err := s.str(); err != nil {
				return err
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return nil
}

// str reads on to the end of a string.
func (s *splitter) str() error {
	for {
		c, err := s.take()
		if err == nil && c == '\\' {
			c = 0 // whatever comes next is no end
			_, err = s.take()
		}
		if err != nil || c == '"' {
			return err
		}
	}
}

// scalar reads on to where a number, true, false or null ends.
func (s *splitter) scalar() error {
	for {
		next, err := s.r.Peek(1)
		if err == io.EOF {
			return nil // the array misses its end later
		}
		if err != nil {
			return err
		}
		if c := next[0]; isBlank(c) || c == ',' || c == ']' {
			return nil
		}
		if _, err := s.take(); err != nil {
			return err
		}
	}
}

// take reads one byte of an item in an array.
func (s *splitter) take() (byte, error) {
	c, err := s.readByte()
	switch {
	case err == io.EOF:
		return 0, s.brokenOff()
	case err != nil:
		return 0, err
	case len(s.item) >= s.max:
		return 0, s.tooLarge()
	}
	s.item = append(s.item, c)
	return c, nil
}

// afterBlanks reads the next byte of an array that is not blank.
func (s *splitter) afterBlanks() (byte, error) {
	if _, err := s.peekAfterBlanks(); err == io.EOF {
		return 0, s.brokenOff()
	} else if err != nil {
		return 0, err
	}
	return s.readByte()
}

// peekAfterBlanks steps over blanks and returns the byte behind them, unread.
func (s *splitter) peekAfterBlanks() (byte, error) {
	for {
		next, err := s.r.Peek(1)
		if err != nil {
			return 0, err
		}
		if !isBlank(next[0]) {
			return next[0], nil
		}
		_, _ = s.readByte() // it is there
	}
}

func (s *splitter) readByte() (byte, error) {
	c, err := s.r.ReadByte()
	if err == nil {
		s.offset++
	}
	return c, err
}

// broken is the error for the byte that was read last.
func (s *splitter) broken(expected string) error {
	return s.fail(fmt.Sprintf("JSON error at byte %d of the body: expected %s.", s.offset-1, expected))
}

func (s *splitter) brokenOff() error {
	return s.fail(fmt.Sprintf("JSON error at byte %d of the body: the array has no end.", s.offset))
}

func (s *splitter) fail(detail string) error {
	return &statusError{status: http.StatusBadRequest, detail: detail}
}

func (s *splitter) tooLarge() error {
	return &statusError{status: http.StatusRequestEntityTooLarge,
		detail: fmt.Sprintf("A message is larger than the limit of %d bytes.", s.max)}
}
