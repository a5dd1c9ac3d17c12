package canonical

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Items walks over the items of a list. It makes sure that each is JSON by its
// grammar, and no more: whether an item is strict is for a Decoder of its own to
// say, so that a fault within an item does not end the list.
type Items struct {
	text []byte
	json *jsontext.Decoder
}

// NewItems returns the items of a text that begins with a list, after blanks.
func NewItems(text []byte) *Items {
	i := &Items{text: text, json: newLenient(text)}
	_, _ = i.json.ReadToken() // the bracket
	return i
}

// newLenient makes a decoder that knows JSON's grammar only.
func newLenient(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Next returns the next item, and io.EOF after the list when only blanks follow
// it. It returns io.ErrUnexpectedEOF when the text ends within the list, and
// otherwise a *SyntaxError.
func (i *Items) Next() ([]byte, error) {
	if i.json.StackDepth() == 0 {
		return nil, i.end()
	}
	if i.json.PeekKind() == ']' {
		if _, err := i.json.ReadToken(); err != nil {
			return nil, i.fault(err)
		}
		return nil, i.end()
	}
	item, err := i.json.ReadValue()
	if err != nil {
		return nil, i.fault(err)
	}
	end := i.json.InputOffset()
	return i.text[end-int64(len(item)) : end], nil
}

// Offset returns how far the items have been read, in bytes.
func (i *Items) Offset() int64 { return i.json.InputOffset() }

func (i *Items) end() error {
	if err := end(i.json, i.text); err != nil {
		return err
	}
	return io.EOF
}

func (i *Items) fault(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF:
		return io.ErrUnexpectedEOF
	case errors.As(err, &syntax):
		return &SyntaxError{syntax.ByteOffset, syntax.Err.Error()}
	}
	return err
}

// LeavesOpen reports whether a text begins with a value that it does not end.
func LeavesOpen(text []byte) bool {
	_, err := newLenient(text).ReadValue()
	return errors.Is(err, io.ErrUnexpectedEOF)
}
