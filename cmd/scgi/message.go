package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/windsock-scgi/windsock/scgi"
)

// message is what the command line says of a request, whatever sends it.
type message struct {
	Header []string `short:"H" placeholder:"NAME:VALUE" sep:"none" help:"A header of the request. Repeatable."`
	Var    []string `placeholder:"NAME=VALUE" sep:"none" help:"A variable of the SCGI header, as it stands; NAME= is an empty one, NAME alone takes it away. Repeatable."`
	Data   *string  `short:"d" placeholder:"BODY|@FILE" help:"The body, as it stands: a text, @FILE, or @- for standard input. The method is then POST unless it is given."`
}

// request makes the request. Its body is a file's when it has one, so that it
// need not fit into memory; it is closed with the request's.
func (m *message) request(method, path string, stdin io.Reader) (*http.Request, error) {
	target, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, usageError{fmt.Errorf("the path %q: it must begin with a slash", path)}
	}
	target.Scheme, target.Host = "http", "localhost"
	r, err := http.NewRequest(method, target.String(), nil)
	if err != nil {
		return nil, usageError{err}
	}
	for _, field := range m.Header {
		name, value, ok := strings.Cut(field, ":")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("-H %q is not NAME:VALUE", field)}
		}
		r.Header.Add(name, strings.TrimSpace(value))
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	return r, m.setBody(r, stdin)
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
		r.Body, r.ContentLength = file, -1
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			r.ContentLength = info.Size()
		}
	}
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	return nil
}

// changeVars applies --var to the header of a request.
func (m *message) changeVars(vars scgi.Vars) ([]byte, error) {
	type variable struct{ name, value string }
	var all []variable
	for name, value := range vars.All() {
		all = append(all, variable{name, value})
	}
	for _, change := range m.Var {
		name, value, set := strings.Cut(change, "=")
		i := slices.IndexFunc(all, func(v variable) bool { return v.name == name })
		switch {
		case !set:
			all = slices.DeleteFunc(all, func(v variable) bool { return v.name == name })
		case i >= 0:
			all[i].value = value
		default:
			all = append(all, variable{name, value})
		}
	}
	block, err := scgi.AppendHeader(nil, func(yield func(name, value string) bool) {
		for _, v := range all {
			if !yield(v.name, v.value) {
				return
			}
		}
	})
	if err != nil {
		return nil, usageError{fmt.Errorf("--var: %w", err)}
	}
	return block, nil
}

// whole encodes a request with its body.
func (m *message) whole(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(orEmpty(r.Body))
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	var sent bytes.Buffer
	if err := scgi.WriteRequest(&sent, r); err != nil {
		return nil, err
	}
	vars, err := scgi.ReadHeader(bufio.NewReader(&sent), -1)
	if err != nil {
		return nil, err
	}
	block, err := m.changeVars(vars)
	return append(block, body...), err
}

func orEmpty(r io.Reader) io.Reader {
	if r == nil {
		return strings.NewReader("")
	}
	return r
}
