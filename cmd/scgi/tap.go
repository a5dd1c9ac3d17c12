package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"

	"github.com/windsock-scgi/windsock/scgi"
)

// tap is a connection on which the header of the request is changed as --var
// says and shown as it is sent, and that of the answer is kept as it comes. One
// goroutine may write while another one reads.
type tap struct {
	net.Conn
	message *message
	show    func(iter.Seq2[string, string]) // may be nil

	held []byte // of the request's header, until that is whole
	sent bool   // the header is

	answer
}

// Write implements io.Writer.
func (t *tap) Write(p []byte) (int, error) {
	if t.sent {
		return t.Conn.Write(p)
	}
	t.held = append(t.held, p...)
	body := bufio.NewReader(bytes.NewReader(t.held))
	vars, err := scgi.ReadHeader(body, -1)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return len(p), nil
	}
	if err != nil {
		return 0, err
	}
	changed := t.message.changed(vars.All())
	request, err := scgi.AppendHeader(nil, changed)
	if err != nil {
		return 0, err
	}
	if t.show != nil {
		t.show(changed)
	}
	t.held, t.sent = nil, true
	rest, _ := io.ReadAll(body) // it is in memory
	if _, err := t.Conn.Write(append(request, rest...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read implements io.Reader.
func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.answer.feed(p[:n])
	return n, err
}

// showVars shows variables as they are sent.
func showVars(w io.Writer, vars iter.Seq2[string, string]) {
	for name, value := range vars {
		fmt.Fprintf(w, "> %s=%s\n", printable(name), printable(value))
	}
}

// showLines shows a text line by line.
func showLines(w io.Writer, prefix, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "%s%s\n", prefix, printable(strings.TrimRight(line, "\r\n")))
	}
}

// printable makes of a peer's words what may be shown on a terminal: control
// characters are written as Go writes them.
func printable(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			fmt.Fprintf(&out, `\x%02x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
