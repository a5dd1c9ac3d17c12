package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/windsock-scgi/windsock/scgi"
)

// message is what the command line says of a request, whatever sends it.
type message struct {
	Header []string `short:"H" placeholder:"NAME:VALUE" sep:"none" help:"A header of the request. Repeatable."`
	Var    []string `placeholder:"NAME=VALUE" sep:"none" help:"A variable of the SCGI header, as it stands, in place of the usual one if there is one. Repeatable."`
	Data   *string  `short:"d" placeholder:"BODY|@FILE" help:"The body, as it stands: a text, @FILE, or @- for standard input."`
}

// request makes the request, or says what is wrong with it. Its body is a file
// when -d names one, so that it need not fit into memory.
func (m *message) request(method, path string, stdin io.Reader) (*http.Request, error) {
	target, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, usageError{fmt.Errorf("the path %q: want one that begins with a slash, and blanks in it as %%20", path)}
	}
	r, err := http.NewRequest(method, "http://localhost/", nil)
	if err != nil {
		return nil, usageError{err}
	}
	target.Scheme, target.Host = r.URL.Scheme, r.URL.Host
	r.URL = target
	if err := m.setHeader(r); err != nil {
		return nil, usageError{err}
	}
	if _, err := m.block(r); err != nil {
		return nil, usageError{err}
	}
	return r, m.setBody(r, stdin)
}

func (m *message) setHeader(r *http.Request) error {
	for _, field := range m.Header {
		name, value, ok := strings.Cut(field, ":")
		if !ok || name == "" {
			return fmt.Errorf("-H %q: want NAME:VALUE", field)
		}
		r.Header.Add(name, strings.TrimSpace(value))
	}
	for _, change := range m.Var {
		if name, _, ok := strings.Cut(change, "="); !ok || name == "" {
			return fmt.Errorf("--var %q: want NAME=VALUE", change)
		}
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	return nil
}

func (m *message) setBody(r *http.Request, stdin io.Reader) error {
	if m.Data == nil {
		return nil
	}
	name, isFile := strings.CutPrefix(*m.Data, "@")
	switch {
	case !isFile:
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(*m.Data)), int64(len(*m.Data))
	case name == "-":
		r.Body, r.ContentLength = io.NopCloser(stdin), -1
	default:
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		r.Body, r.ContentLength = file, -1 // unless it is known:
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			r.ContentLength = info.Size()
		}
	}
	return nil
}

// block is the header of a request as it is sent, with --var applied.
func (m *message) block(r *http.Request) ([]byte, error) {
	var sent bytes.Buffer
	if err := scgi.WriteRequest(&sent, r); err != nil {
		return nil, err
	}
	vars, err := scgi.ReadHeader(bufio.NewReader(&sent), -1)
	if err != nil {
		return nil, err
	}
	return scgi.AppendHeader(nil, m.changed(vars.All()))
}

// whole is a request with its body as it is sent.
func (m *message) whole(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return m.block(r)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxHeldBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("-d: %w", err)
	case len(body) > maxHeldBody:
		return nil, fmt.Errorf("-d: the body is longer than %d bytes", maxHeldBody)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	block, err := m.block(r)
	return append(block, body...), err
}

// maxHeldBody bounds a body that must be held: all of load's, and of request's
// those of which the length is not known.
const maxHeldBody = 64 << 20

// changed applies --var: each takes the place of the variable of that name, or
// comes after the others.
func (m *message) changed(vars iter.Seq2[string, string]) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		changes, order := m.changes()
		for name, value := range vars {
			if change, ok := changes[name]; ok {
				value = change
				delete(changes, name)
			}
			if !yield(name, value) {
				return
			}
		}
		for _, name := range order {
			if value, ok := changes[name]; ok && !yield(name, value) {
				return
			}
		}
	}
}

// changes are the variables of --var; the last of a name counts.
func (m *message) changes() (values map[string]string, order []string) {
	values = make(map[string]string)
	for _, change := range m.Var {
		name, value, _ := strings.Cut(change, "=")
		if _, again := values[name]; !again {
			order = append(order, name)
		}
		values[name] = value
	}
	return values, order
}
