package app

// This file is an entry as JSON: the object that readers get.

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/windsock-scgi/windsock/app/canonical"
)

// entryOverhead is about how much text an entry has besides its data.
const entryOverhead = 256

// TextSize is about how many bytes the page is as JSON or as events.
func (p *Page) TextSize() int {
	size := entryOverhead
	for i := range p.Entries {
		size += entryOverhead + len(p.Entries[i].Data)
	}
	return size
}

// AppendJSON appends the entry as the JSON object that readers get, on one line
// without its end. The address is for operators only.
func (e *Entry) AppendJSON(b []byte, withAddress bool) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `,"id":"`...)
	b = append(b, e.ID.String()...)
	b = append(b, `","callsign":`...)
	b = appendText(b, e.Callsign)
	b = append(b, `,"type":`...)
	b = appendText(b, string(e.Type))
	b = append(b, `,"time_created":`...)
	b = strconv.AppendInt(b, e.TimeCreated, 10)
	b = append(b, `,"time_uploaded":`...)
	b = strconv.AppendInt(b, e.TimeUploaded, 10)
	b = append(b, `,"data":`...)
	b = appendData(b, e.Data)
	if withAddress && e.Address.IsValid() {
		b = append(b, `,"address":"`...)
		b = append(b, e.Address.String()...)
		b = append(b, '"')
	}
	return append(b, '}')
}

// appendText appends text as a JSON string, whatever bytes it holds: a damaged
// row must not break the page that it stands in.
func appendText(b []byte, text string) []byte {
	return canonical.AppendString(b, text)
}

// appendData appends a message's data, which is JSON on one line. Damaged data
// that is not becomes a string.
func appendData(b, data []byte) []byte {
	if json.Valid(data) && utf8.Valid(data) && !bytes.ContainsAny(data, "\r\n") {
		return append(b, data...)
	}
	return appendText(b, string(data))
}
