package scgi

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// cgiBlock is the header block of CGI output: RFC 3875, section 6.3. It takes
// the output in any split and makes the same of it.
type cgiBlock struct {
	fields   []cgiField // those that the answer gets
	others   int        // those that it does not
	status   int        // 0 without a Status
	location string
	length   int64 // Content-Length; -1 without one
	hasCGI   bool  // there is a Content-Type, a Location or a Status
	whole    bool  // the empty line has come

	size int    // bytes of the lines that are taken
	line []byte // the beginning of the next one
}

// cgiField is a header field, with its canonical name.
type cgiField struct {
	key, value string
	only       bool // there is one at most: it takes the place of another
}

const inCGIOutput = "in CGI output: "

// fault is an error about the line that is being taken.
func (b *cgiBlock) fault(reason string) error {
	return &ProtocolError{Offset: b.size, Reason: inCGIOutput + reason}
}

// take takes what belongs to the block and returns the rest, which is not empty
// before the block is whole only with an error.
func (b *cgiBlock) take(p []byte) (rest []byte, err error) {
	for !b.whole {
		i := bytes.IndexByte(p, '\n')
		end := i + 1
		if i < 0 {
			end = len(p)
		}
		if b.size+len(b.line)+end > maxAnswerHeader {
			return nil, b.fault("the header is longer than " + strconv.Itoa(maxAnswerHeader) + " bytes")
		}
		if i < 0 {
			b.line = append(b.line, p...)
			return nil, nil
		}
		line := p[:i]
		if len(b.line) > 0 {
			b.line = append(b.line, line...)
			line = b.line
		}
		if err := b.takeLine(line); err != nil {
			return nil, err
		}
		b.size += len(line) + 1
		b.line = b.line[:0]
		p = p[end:]
	}
	return p, nil
}

// takeLine takes a line without its LF.
func (b *cgiBlock) takeLine(line []byte) error {
	text := string(bytes.TrimSuffix(line, []byte("\r")))
	if text == "" {
		return b.end()
	}
	key, value, isField := parseField(text)
	switch {
	case len(b.fields)+b.others == maxAnswerFields:
		return b.fault("the header has more than " + strconv.Itoa(maxAnswerFields) + " fields")
	case text[0] == ' ' || text[0] == '\t':
		return b.fault("a header field is folded: CGI has one line a field")
	case strings.HasPrefix(text, "HTTP/"): // no field's name has a slash
		return b.fault("an HTTP status line (NPH is not supported: print a Status field): " + quote(text))
	case !isField:
		return b.fault("this is no header field: " + quote(text))
	case hasControl(value):
		return b.fault("a header field holds control bytes: " + quote(text))
	}
	return b.takeField(key, value)
}

// hasControl reports whether a value holds what RFC 9110, section 5.5, has no
// place for: CR, where some would see the end of a line, and NUL among others.
func hasControl(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

func (b *cgiBlock) takeField(key, value string) error {
	switch key {
	case "Status":
		return b.takeStatus(value)
	case "Transfer-Encoding":
		if !strings.EqualFold(value, "identity") {
			return b.fault("a Transfer-Encoding, which is the server's to choose: " + quote(value))
		}
		b.others++
		return nil
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Upgrade":
		b.others++
		return nil
	case "Content-Length":
		n, err := strconv.ParseUint(value, 10, 63) // no sign
		if err != nil {
			return b.fault("Content-Length is no number: " + quote(value))
		}
		b.length = int64(n)
		return b.takeOnly(key, strconv.FormatUint(n, 10)) // without leading zeros
	case "Content-Type", "Location":
		if value == "" {
			return b.fault(key + " is empty")
		}
		b.hasCGI = true
		if key == "Location" {
			b.location = value
		}
		return b.takeOnly(key, value)
	}
	b.fields = append(b.fields, cgiField{key, value, false})
	return nil
}

func (b *cgiBlock) takeStatus(value string) error {
	status, _, ok := parseStatus(value)
	switch {
	case !ok || status < 200:
		return b.fault("Status is no number from 200 to 999: " + quote(value))
	case b.status != 0 && b.status != status:
		return b.fault("a second Status")
	}
	b.status, b.hasCGI = status, true
	b.others++
	return nil
}

// takeOnly takes a field that there is one of at most. The same one may come again.
func (b *cgiBlock) takeOnly(key, value string) error {
	switch first, again := b.find(key); {
	case !again:
		b.fields = append(b.fields, cgiField{key, value, true})
	case first != value:
		return b.fault("a second " + key)
	default:
		b.others++
	}
	return nil
}

// find returns the value of the first field of a name, and whether there is one.
func (b *cgiBlock) find(key string) (value string, ok bool) {
	for _, field := range b.fields {
		if field.key == key {
			return field.value, true
		}
	}
	return "", false
}

// end takes the empty line.
func (b *cgiBlock) end() error {
	switch {
	case b.size == 0:
		return b.fault("it begins with an empty line in place of a header")
	case !b.hasCGI:
		return b.fault("the header has none of Content-Type, Location and Status") // RFC 3875, section 6.3
	}
	if _, ok := b.find("Content-Length"); !ok {
		b.length = -1
	}
	b.whole = true
	return nil
}

// unfinished says why output that has ended is no answer.
func (b *cgiBlock) unfinished() error {
	if b.size+len(b.line) == 0 {
		return b.fault("there is none at all")
	}
	b.size += len(b.line)
	return b.fault("it ends before the empty line behind the header")
}

func (b *cgiBlock) answerStatus() int {
	switch {
	case b.status != 0:
		return b.status
	case b.location != "":
		return http.StatusFound
	}
	return http.StatusOK
}

// isLocal reports whether it is a local redirect: RFC 3875, section 6.2.2. With
// other fields, which one would lose, it is the client's. "//host" is not local.
func (b *cgiBlock) isLocal() bool {
	return b.status == 0 && len(b.fields) == 1 && strings.HasPrefix(b.location, "/") &&
		!strings.HasPrefix(b.location, "//") && !strings.Contains(b.location, "#")
}

// beginsField reports whether output begins with the name of a header field, of
// at most 256 bytes, and its colon, once that is known.
func beginsField(p []byte) (isField, known bool) {
	for i, c := range p {
		if !tokenBytes[c] {
			return c == ':' && i > 0, true
		}
		if i == 256 {
			return false, true
		}
	}
	return false, false
}
