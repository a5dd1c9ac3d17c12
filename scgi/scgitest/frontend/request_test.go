//go:build unix

package frontend

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// This file is an SCGI reader that was written for being checked by eye, not for speed: it says which of
// the files in testdata/scgi are sound and which are not, apart from the server's own reader.

// request is one SCGI request.
type request struct {
	vars []variable
	body []byte
	raw  []byte // as it came
}

type variable struct{ name, value string }

func (r request) get(name string) string {
	for _, v := range r.vars {
		if v.name == name {
			return v.value
		}
	}
	return ""
}

func (r request) names() []string {
	var names []string
	for _, v := range r.vars {
		names = append(names, v.name)
	}
	return names
}

var (
	errCut   = errors.New("ends too early") // the peer went away: nothing to answer
	errWrong = errors.New("malformed")
)

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errWrong, fmt.Sprintf(format, args...))
}

// readRequest reads one request and refuses whatever FRONTENDS.md says is to be refused.
func readRequest(r *bufio.Reader) (request, error) {
	block, err := readNetstring(r)
	if err != nil {
		return request{}, err
	}
	req := request{raw: fmt.Appendf(nil, "%d:%s,", len(block), block)}
	if req.vars, err = splitBlock(block); err != nil {
		return request{}, err
	}
	length, err := checkVars(req.vars)
	if err != nil {
		return request{}, err
	}
	req.body, err = readExactly(r, length)
	req.raw = append(req.raw, req.body...)
	return req, err
}

func readNetstring(r *bufio.Reader) ([]byte, error) {
	length, err := readLength(r)
	if err != nil {
		return nil, err
	}
	block, err := readExactly(r, length)
	if err != nil {
		return nil, err
	}
	end, err := r.ReadByte()
	if err != nil {
		return nil, errCut
	}
	if end != ',' {
		return nil, wrong("%q in place of the comma", end)
	}
	return block, nil
}

// maxBlock is the header limit that is taken here.
const maxBlock = 64 << 10

func readLength(r *bufio.Reader) (int, error) {
	var digits []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return 0, errCut
		}
		if b == ':' {
			return parseDigits(string(digits), maxBlock)
		}
		if b < '0' || b > '9' || len(digits) == 19 {
			return 0, wrong("length %q", append(digits, b))
		}
		digits = append(digits, b)
	}
}

// parseDigits takes decimal numbers in their only spelling.
func parseDigits(s string, limit int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s || n < 0 || n > limit {
		return 0, wrong("number %q", s)
	}
	return n, nil
}

func readExactly(r io.Reader, n int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil || len(data) < n {
		return data, errCut
	}
	return data, nil
}

func splitBlock(block []byte) ([]variable, error) {
	if len(block) == 0 || block[len(block)-1] != 0 {
		return nil, wrong("block does not end in NUL")
	}
	fields := bytes.Split(block[:len(block)-1], []byte{0})
	if len(fields)%2 != 0 {
		return nil, wrong("name without value")
	}
	var vars []variable
	for pair := range slices.Chunk(fields, 2) {
		if len(pair[0]) == 0 {
			return nil, wrong("empty name")
		}
		vars = append(vars, variable{string(pair[0]), string(pair[1])})
	}
	return vars, nil
}

// checkVars checks the variables and returns the body's length.
func checkVars(vars []variable) (int, error) {
	seen := map[string]string{}
	for _, v := range vars {
		if err := checkRepeated(v, seen); err != nil {
			return 0, err
		}
		seen[v.name] = v.value
	}
	if vars[0].name != "CONTENT_LENGTH" {
		return 0, wrong("%q before CONTENT_LENGTH", vars[0].name)
	}
	if seen["SCGI"] != "1" {
		return 0, wrong("SCGI=%q", seen["SCGI"])
	}
	if seen["REQUEST_METHOD"] == "" || seen["REQUEST_URI"]+seen["SCRIPT_NAME"]+seen["PATH_INFO"] == "" {
		return 0, wrong("no method or no path")
	}
	length := vars[0].value
	if other, ok := seen["HTTP_CONTENT_LENGTH"]; ok && other != length && other != "" {
		return 0, wrong("CONTENT_LENGTH=%s but HTTP_CONTENT_LENGTH=%s", length, other)
	}
	return parseDigits(length, math.MaxInt)
}

// checkRepeated lets request headers come several times, other variables only with the same value.
func checkRepeated(v variable, seen map[string]string) error {
	before, again := seen[v.name]
	once := v.name == "CONTENT_LENGTH" || v.name == "SCGI"
	header := strings.HasPrefix(v.name, "HTTP_") && v.name != "HTTP_CONTENT_LENGTH"
	if again && (once || !header && before != v.value) {
		return wrong("%s twice: %q, %q", v.name, before, v.value)
	}
	return nil
}
