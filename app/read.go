package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// How many messages a page has, and how long looking for them may take: the
// newest of a rare kind can be far back.
const (
	defaultPage = 100
	maxPage     = 1000
	maxReadTime = 10 * time.Second
)

// read is GET /messages: a page of what is stored, as JSON, or as NDJSON for a
// client that asks for it. It holds no addresses.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) error {
	values, err := queryValues(r)
	if err != nil {
		return err
	}
	query, err := parseQuery(values)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxReadTime)
	defer cancel()
	page, err := h.Log.Read(ctx, query)
	if err != nil {
		return fmt.Errorf("reading messages: %w", err)
	}
	if accepts(r, "application/x-ndjson") {
		// NDJSON has no other place for it.
		w.Header().Add("Link", link(values, page.Log, page.Next, "next"))
		w.Header().Add("Link", link(values, page.Log, max(page.Oldest-1, 0), "first"))
		return writeWhole(w, "application/x-ndjson", appendPage(nil, page, true))
	}
	return writeWhole(w, "application/json", appendPage(nil, page, false))
}

// queryValues parses the query of a request. One that is half understood would
// read from where nobody meant.
func queryValues(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &statusError{status: http.StatusBadRequest, detail: "The query is not well formed."}
	}
	return values, nil
}

// link is where to read on, or where there is the first message to read: RFC
// 8288, relative to what was asked for.
func link(values url.Values, log string, after int64, rel string) string {
	values.Del("last")
	values.Set("log", log)
	values.Set("after", strconv.FormatInt(after, 10))
	return "<?" + values.Encode() + `>; rel="` + rel + `"`
}

// writeWhole answers with a body that is whole, and says how long it is: so one
// that is cut off on its way does not look like another.
func writeWhole(w http.ResponseWriter, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, err := w.Write(body)
	return errAnswered(err)
}

// parseQuery reads the query of GET /messages. With last, limit and after mean
// nothing.
func parseQuery(values url.Values) (Query, error) {
	q := Query{
		Type:     Type(values.Get("type")),
		Callsign: strings.ToUpper(values.Get("callsign")),
		Log:      values.Get("log"),
	}
	after, err := wholeNumber(values, "after", 0, 0)
	if err != nil {
		return Query{}, err
	}
	limit, err := wholeNumber(values, "limit", 1, defaultPage)
	if err != nil {
		return Query{}, err
	}
	last, err := wholeNumber(values, "last", 1, 0)
	if err != nil {
		return Query{}, err
	}
	if q.Last = last > 0; q.Last {
		limit, after = last, 0
	}
	q.After, q.Limit = after, int(min(limit, maxPage))
	return q, nil
}

// wholeNumber reads a number of at least least from a query; byDefault stands
// for one that is not there.
func wholeNumber(values url.Values, name string, least, byDefault int64) (int64, error) {
	if !values.Has(name) {
		return byDefault, nil
	}
	n, err := strconv.ParseInt(values.Get(name), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < least || len(values[name]) > 1 {
		return 0, &statusError{status: http.StatusBadRequest,
			detail: fmt.Sprintf("%s must be a whole number from %d on.", name, least)}
	}
	return n, nil // the largest there is stands for what is larger
}

// appendPage appends a page as JSON, or its messages alone as NDJSON.
func appendPage(b []byte, page Page, ndjson bool) []byte {
	if ndjson {
		for _, entry := range page.Entries {
			b = append(entry.AppendJSON(b, false), '\n')
		}
		return b
	}
	b = append(b, `{"log":`...)
	b = strconv.AppendQuote(b, page.Log)
	b = append(b, `,"oldest":`...)
	b = strconv.AppendInt(b, page.Oldest, 10)
	b = append(b, `,"messages":[`...)
	for i, entry := range page.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = entry.AppendJSON(b, false)
	}
	b = append(b, `],"next":`...)
	b = strconv.AppendInt(b, page.Next, 10)
	return append(b, '}', '\n')
}

// AppendJSON appends the entry as the JSON object that readers get, on one line
// without its end. The address is for operators only. What a damaged row holds is
// escaped, so the line is JSON whatever there is.
func (e *Entry) AppendJSON(b []byte, withAddress bool) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `,"id":"`...)
	b = append(b, e.ID.String()...)
	b = append(b, `","callsign":`...)
	b = appendAnyText(b, e.Callsign)
	b = append(b, `,"type":`...)
	b = appendAnyText(b, string(e.Type))
	b = append(b, `,"time_created":`...)
	b = strconv.AppendInt(b, e.TimeCreated, 10)
	b = append(b, `,"time_uploaded":`...)
	b = strconv.AppendInt(b, e.TimeUploaded, 10)
	b = append(b, `,"data":`...)
	b = appendAnyData(b, e.Data)
	if withAddress && e.Address.IsValid() {
		b = append(b, `,"address":"`...)
		b = append(b, e.Address.String()...)
		b = append(b, '"')
	}
	return append(b, '}')
}

// appendAnyText appends text as a JSON string, with U+FFFD for what is no UTF-8.
func appendAnyText(b []byte, text string) []byte {
	return appendString(b, strings.ToValidUTF8(text, "\uFFFD"))
}

// appendAnyData appends a message's data, and as a JSON string what is no JSON.
func appendAnyData(b, data []byte) []byte {
	switch {
	case !utf8.Valid(data) || !json.Valid(data):
		return appendAnyText(b, string(data))
	case bytes.ContainsAny(data, "\r\n"):
		return appendCompact(b, data)
	}
	return append(b, data...)
}
