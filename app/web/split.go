package web

// This file takes a body of many messages apart. It finds where an item ends and
// no more: whether it is a message is for Decode to say.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/canonical"
)

// format is how items stand in a body.
type format int

const (
	undeclared format = iota // told by how the body begins
	document                 // JSON: an array of items, or one item
	array                    // an array
	lines                    // NDJSON: one item a line
)

// formatOf returns what a Content-Type declares.
func formatOf(contentType string) format {
	mediaType, _, _ := mime.ParseMediaType(contentType) // empty when it is malformed
	switch strings.ToLower(mediaType) {
	case "application/json":
		return document
	case "application/x-ndjson":
		return lines
	}
	return undeclared
}

const blanks = " \t\r\n"

// splitter finds the items of a body.
type splitter struct {
	text   []byte // what has come of the body
	fault  error  // why that is not all; nil when it is
	format format
	max    int // bytes of an item
	items  *canonical.Items
	ended  bool
}

func newSplitter(text []byte, fault error, f format, max int) *splitter {
	s := &splitter{text: text, fault: fault, format: tell(text, f), max: max}
	if s.format == array {
		s.items = canonical.NewItems(text)
	}
	return s
}

// tell returns the format of a body by its first bytes. An array begins with its
// bracket. Without a Content-Type, one object over many lines is told from NDJSON
// by its first line, which ends within the object.
func tell(text []byte, declared format) format {
	text = bytes.TrimLeft(text, blanks)
	switch {
	case declared == lines:
		return lines
	case bytes.HasPrefix(text, []byte{'['}):
		return array
	case declared == document:
		return document
	}
	_, rest, _ := bytes.Cut(text, []byte{'\n'})
	if first := text[:len(text)-len(rest)]; canonical.LeavesOpen(first) {
		return document
	}
	return lines
}

// next returns the next item, and io.EOF after the last. With an *InvalidError the
// item is too long, and the next one may be asked for; every other error is the
// end.
func (s *splitter) next() ([]byte, error) {
	if s.ended {
		return nil, io.EOF
	}
	item, err := s.find()
	s.ended = s.format == document || err != nil && !isInvalid(err)
	if err != nil {
		return nil, err
	}
	return item, nil
}

func (s *splitter) find() ([]byte, error) {
	switch s.format {
	case array:
		return s.nextOfArray()
	case lines:
		return s.nextLine()
	}
	if len(s.text) > s.max {
		return nil, s.tooLarge()
	}
	return s.text, s.fault
}

// nextLine returns the next line that is not blank. The last one need not have an
// end, unless the body has ended early.
func (s *splitter) nextLine() ([]byte, error) {
	for len(s.text) > 0 {
		line, rest, whole := bytes.Cut(s.text, []byte{'\n'})
		if !whole && s.fault != nil {
			break
		}
		s.text = rest
		switch {
		case len(line) > s.max:
			return nil, &app.InvalidError{Reason: fmt.Sprintf("must have at most %d bytes", s.max)}
		case len(bytes.TrimLeft(line, blanks)) > 0:
			return line, nil
		}
	}
	if s.fault != nil {
		return nil, s.fault
	}
	return nil, io.EOF
}

// nextOfArray returns the next item of an array.
func (s *splitter) nextOfArray() ([]byte, error) {
	start := s.items.Offset()
	item, err := s.items.Next()
	var syntax *canonical.SyntaxError
	switch cutOff := errors.Is(err, io.ErrUnexpectedEOF); {
	case errors.As(err, &syntax):
		return nil, s.broken(syntax.Offset, syntax.Reason)
	case len(item) > s.max, cutOff && int64(len(s.text))-start > int64(s.max):
		return nil, s.tooLarge()
	case s.fault != nil && (err != nil || s.items.Offset() == int64(len(s.text))):
		return nil, s.fault // an item at the end may be cut off: 12 looks whole, and was 123
	case cutOff:
		return nil, s.broken(int64(len(s.text)), "the array has no end")
	}
	return item, err
}

func (s *splitter) broken(offset int64, reason string) error {
	return &statusError{status: http.StatusBadRequest,
		detail: fmt.Sprintf("JSON error at byte %d of the body: %s.", offset, reason)}
}

func (s *splitter) tooLarge() error {
	return &statusError{status: http.StatusRequestEntityTooLarge,
		detail: fmt.Sprintf("A message is larger than the limit of %d bytes.", s.max)}
}
