package main

// This file reads the input of windsock post: it takes a stream apart into
// messages, and does not know what a valid message is. posttext.go reads those
// that follow one another, postchunk.go gathers those that are posted together.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxText is the limit for the text of one message in the input, in bytes, and so
// for a line of NDJSON. The server's own limit is smaller: 1 MiB, without the
// blanks that are left out here.
const maxText = 8 << 20

var errTooLong = fmt.Errorf("longer than the limit of %d bytes", maxText)

// item is one message of the input, or what stands in its place.
type item struct {
	text []byte // JSON on one line; nil when there is none
	line int    // the line where it begins; 0 in an array
	err  error  // why there is no text
	last bool   // nothing can be read after this error
}

// where returns ", line N" for an item whose line is known.
func (i item) where() string {
	if i.line == 0 {
		return ""
	}
	return fmt.Sprintf(", line %d", i.line)
}

// items takes the input apart into JSON texts: the elements of an array, or texts
// that follow one another. Those may share a line or span lines; mostly each has a
// line of its own. A byte order mark at the beginning is skipped.
func items(input io.Reader) iter.Seq[item] {
	return func(yield func(item) bool) {
		r := bufio.NewReaderSize(input, 64<<10)
		first, err := begin(r)
		switch {
		case errors.Is(err, io.EOF):
		case err != nil:
			yield(item{err: err, last: true})
		case first.opens == '[':
			elements(r, yield)
		default:
			(&texts{r: r, number: first.line - 1}).each(yield)
		}
	}
}

// beginning is where the first text of the input begins.
type beginning struct {
	opens byte // its first byte
	line  int
}

// begin skips a byte order mark and blanks.
func begin(r *bufio.Reader) (beginning, error) {
	if mark, _ := r.Peek(3); string(mark) == "\ufeff" {
		_, _ = r.Discard(len(mark)) // it is there
	}
	for line := 1; ; {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return beginning{}, err
		case c == '\n':
			line++
		case c != ' ' && c != '\t' && c != '\r':
			return beginning{c, line}, r.UnreadByte()
		}
	}
}

// elements yields the elements of an array. It ends at one that is no JSON, since
// where the next one begins would be a guess.
func elements(r io.Reader, yield func(item) bool) {
	in := &bounded{r: r, left: maxText}
	decoder := json.NewDecoder(in)
	_, err := decoder.Token() // the bracket
	for err == nil && decoder.More() {
		var element json.RawMessage
		if err = decoder.Decode(&element); err == nil && len(element) > maxText {
			err = errTooLong
		}
		if err == nil && !yield(item{text: oneLine(element)}) {
			return
		}
		in.left = maxText
	}
	if err == nil {
		err = endOfArray(decoder)
	}
	if err != nil {
		yield(item{err: unexpectedEnd(err), last: true})
	}
}

// endOfArray returns an error unless the array ends here, and the input with it.
func endOfArray(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return err
	}
	_, err := decoder.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("something follows the array")
	}
	return err
}

// unexpectedEnd makes an error of an end of the input within an array or a text.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// bounded reads from r until left bytes were read, then fails with errTooLong.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// oneLine returns a JSON text without the blanks between its tokens.
func oneLine(text []byte) []byte {
	var line bytes.Buffer
	if json.Compact(&line, text) != nil {
		return text // which cannot be: it has been decoded
	}
	return line.Bytes()
}
