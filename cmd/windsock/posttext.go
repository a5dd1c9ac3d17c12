package main

// This file reads JSON texts that follow one another, and finds the next one after
// a broken one.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// texts reads JSON texts that follow one another. When one is broken, the rest of
// the line where it begins is skipped, and the next text is looked for from the
// line after that. So a line of NDJSON that is cut off costs no other line.
type texts struct {
	r      *bufio.Reader
	buf    []byte // lines of r, kept since they may have to be read again
	pos    int    // where in buf the next line begins
	number int    // of the line before that
	long   bool   // the line after buf was too long: r is behind it
	err    error  // of r; io.EOF at its end
}

var errNoObject = errors.New("this is no JSON object")

// each yields the texts, and an error in the place of each broken one.
func (t *texts) each(yield func(item) bool) {
	for {
		next := t.next()
		if next.last && errors.Is(next.err, io.EOF) || !yield(next) || next.last {
			return
		}
	}
}

// next returns the next text, or why there is none.
func (t *texts) next() item {
	t.compact()
	line, err := t.nonBlank()
	if err != nil {
		return item{line: t.number, err: err, last: !errors.Is(err, errTooLong)}
	}
	text := bytes.TrimSpace(line)
	switch {
	case json.Valid(text):
		return item{text: bytes.Clone(text), line: t.number}
	case text[0] != '{': // it may be a line of a broken object
		return item{line: t.number, err: errNoObject}
	}
	return t.object(line)
}

// object returns the object that a line begins with. It may go on over the next
// lines, and other texts may follow it on its last line.
func (t *texts) object(line []byte) item {
	pos, number := t.pos, t.number
	lines := &spanned{texts: t, first: pos - len(line), unread: line}
	decoder := json.NewDecoder(lines)
	var text json.RawMessage
	if err := decoder.Decode(&text); err != nil {
		t.pos, t.number = pos, number
		return item{line: number, err: unexpectedEnd(err)}
	}
	buffered, _ := io.Copy(io.Discard, decoder.Buffered()) // it is in memory
	if left := int(buffered) + len(lines.unread); left > 0 {
		t.pos -= left
		t.number--
	}
	return item{text: oneLine(text), line: number}
}

// spanned reads a text that may span lines. It hands out one line at a time, so
// that a decoder takes no more lines than it needs.
type spanned struct {
	texts  *texts
	first  int    // where the text begins in texts.buf
	unread []byte // of the line at hand
}

func (s *spanned) Read(p []byte) (n int, err error) {
	if len(s.unread) == 0 {
		if s.unread, err = s.texts.line(); err != nil {
			s.texts.long = errors.Is(err, errTooLong) // it will be met again
			return 0, err
		}
		if s.texts.pos-s.first > maxText {
			return 0, errTooLong
		}
	}
	n = copy(p, s.unread)
	s.unread = s.unread[n:]
	return n, nil
}

// nonBlank returns the next line that holds more than blanks.
func (t *texts) nonBlank() ([]byte, error) {
	for {
		line, err := t.line()
		if err != nil || len(bytes.TrimSpace(line)) > 0 {
			return line, err
		}
	}
}

// line returns the next line, with its end. It is good until compact. After
// errTooLong the line after that one may be asked for.
func (t *texts) line() ([]byte, error) {
	if t.pos == len(t.buf) {
		if err := t.fill(); err != nil {
			return nil, err
		}
	}
	line := t.buf[t.pos:]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end+1]
	}
	t.pos += len(line)
	t.number++
	return line, nil
}

// compact drops lines that were read from buf, once they are the greater part.
func (t *texts) compact() {
	if t.pos > len(t.buf)/2 {
		t.buf = t.buf[:copy(t.buf, t.buf[t.pos:])]
		t.pos = 0
	}
}

// fill adds a line of r to buf, unless that is too long. Where r fails, the part of
// a line that came before is dropped.
func (t *texts) fill() error {
	begin, long := len(t.buf), t.long
	for t.err == nil && !t.long {
		part, err := t.r.ReadSlice('\n')
		t.buf = append(t.buf, part...)
		if len(t.buf)-begin > maxText {
			long, t.buf = true, t.buf[:begin]
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			t.err = err
		}
	}
	t.long = false
	switch {
	case long:
		t.number++
		return errTooLong
	case t.err != nil && (len(t.buf) == begin || !errors.Is(t.err, io.EOF)):
		t.buf = t.buf[:begin]
		return t.err
	}
	return nil
}
