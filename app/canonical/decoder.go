// Package canonical reads strict JSON and writes canonical JSON, so that a value
// has one form, and computes the identity of a message from that form.
//
// Strict means RFC 8259 and in addition: valid UTF-8 without a byte order mark, no
// name twice in an object, no half of a surrogate pair, at most MaxDepth objects
// and lists within each other, and at most MaxNames names. The syntax is jsontext's
// (which will be Go's encoding/json/jsontext); the two bounds are ours.
//
// Canonical means RFC 8785: no blanks, keys sorted by their bytes, strings with
// the escapes that there must be, and numbers as the shortest decimal that gives
// the same float64.
package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxDepth is how many objects and lists may be open at once.
	MaxDepth = 64
	// MaxNames is how many names all objects of a text may have together. The
	// decoder takes some 100 bytes for each name of an object that is open.
	MaxNames = 10_000
)

// SyntaxError is returned for a text that is not strict JSON.
type SyntaxError struct {
	Offset int64  // of the fault, in bytes; the first byte of the text is 0
	Reason string // short, and may be shown to a client
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("JSON error at byte %d: %s", e.Offset, e.Reason)
}

// Decoder reads one text from its beginning to its end, without ever going back.
// It is made by NewDecoder and given back by Close. Every error is a *SyntaxError
// or that of a caller's function.
type Decoder struct {
	text   []byte
	names  int
	buffer bytes.Buffer // jsontext reads a *bytes.Buffer without copying it
	json   jsontext.Decoder
}

var decoders = sync.Pool{New: func() any { return new(Decoder) }}

// NewDecoder returns a decoder for a text, which must not change until Close.
func NewDecoder(text []byte) *Decoder {
	d := decoders.Get().(*Decoder)
	d.text, d.names = text, 0
	d.buffer = *bytes.NewBuffer(text)
	d.json.Reset(&d.buffer)
	return d
}

// Close gives the decoder back. Slices of the text that it returned stay valid.
func (d *Decoder) Close() {
	d.text, d.buffer = nil, bytes.Buffer{}
	d.json.Reset(&d.buffer)
	decoders.Put(d)
}

// IsObject reports whether an object comes next.
func (d *Decoder) IsObject() bool { return d.json.PeekKind() == '{' }

// Object reads the object that comes next. It calls member with each name,
// unescaped, and member must read the value that belongs to it.
func (d *Decoder) Object(member func(name []byte) error) error {
	if err := d.token(); err != nil {
		return err
	}
	for d.json.PeekKind() != '}' {
		name, err := d.scalar()
		if err != nil {
			return err
		}
		if err := d.count(); err != nil {
			return err
		}
		if err := member(Unquote(name)); err != nil {
			return err
		}
	}
	return d.token()
}

// Value reads the value that comes next, and returns its part of the text.
func (d *Decoder) Value() ([]byte, error) {
	if kind := d.json.PeekKind(); kind != '{' && kind != '[' {
		return d.scalar()
	}
	if err := d.token(); err != nil {
		return nil, err
	}
	start, outer := d.json.InputOffset()-1, d.json.StackDepth()-1
	for d.json.StackDepth() > outer {
		if err := d.token(); err != nil {
			return nil, err
		}
		// Names and values take turns in an object, a name first.
		if kind, length := d.json.StackIndex(d.json.StackDepth()); kind == '{' && length%2 == 1 {
			if err := d.count(); err != nil {
				return nil, err
			}
		}
	}
	return d.text[start:d.json.InputOffset()], nil
}

// End returns an error unless the text ends here, but for blanks.
func (d *Decoder) End() error { return end(&d.json, d.text) }

// end makes sure that only blanks are left of a text.
func end(json *jsontext.Decoder, text []byte) error {
	rest := bytes.TrimLeft(text[json.InputOffset():], " \t\r\n")
	if len(rest) > 0 {
		return &SyntaxError{int64(len(text) - len(rest)), "the text goes on after its value"}
	}
	return nil
}

// scalar reads a value that is no object and no list, or the name of a member.
func (d *Decoder) scalar() ([]byte, error) {
	value, err := d.json.ReadValue()
	if err != nil {
		return nil, d.fault(err)
	}
	end := d.json.InputOffset()
	return d.text[end-int64(len(value)) : end], nil
}

// token reads one token.
func (d *Decoder) token() error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.fault(err)
	}
	if d.json.StackDepth() > MaxDepth {
		return &SyntaxError{d.json.InputOffset() - 1, fmt.Sprintf("the nesting is deeper than %d", MaxDepth)}
	}
	return nil
}

// count counts a name.
func (d *Decoder) count() error {
	if d.names++; d.names > MaxNames {
		return &SyntaxError{d.json.InputOffset(), fmt.Sprintf("there are more than %d names", MaxNames)}
	}
	return nil
}

// fault makes an error of jsontext's one of ours.
func (d *Decoder) fault(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return &SyntaxError{int64(len(d.text)), "the text ends too early"}
	case !errors.As(err, &syntax):
		return &SyntaxError{d.json.InputOffset(), "the text cannot be read"} // a *bytes.Buffer does not fail
	case errors.Is(err, jsontext.ErrDuplicateName):
		return &SyntaxError{syntax.ByteOffset, "the name " + Quote(syntax.JSONPointer.LastToken()) + " is repeated in its object"}
	}
	return &SyntaxError{syntax.ByteOffset, syntax.Err.Error()}
}

// Unquote returns what a string of the text stands for: a part of it when nothing
// is escaped. It must have passed the decoder.
func Unquote(value []byte) []byte {
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	text, _ := jsontext.AppendUnquote(nil, value) // it has passed
	return text
}
