package web

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/canonical"
)

// How many messages a page has, and how long looking for them may take: the
// newest of a rare kind can be far back. After lookTime the page has what was found
// so far; maxReadTime is for a log that does not answer.
const (
	defaultPage = 100
	maxPage     = 1000
	lookTime    = 5 * time.Second
	maxReadTime = 10 * time.Second
)

// read is GET /messages: a page of what is stored, as JSON, or as NDJSON for a
// client that asks for it. It holds no addresses.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) error {
	values, err := queryValues(r, "after", "limit", "last", "type", "callsign", "log")
	if err != nil {
		return err
	}
	query, err := parseQuery(values)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxReadTime)
	defer cancel()
	query.Until = time.Now().Add(lookTime)
	page, err := h.Log.Read(ctx, query)
	if err != nil {
		return fmt.Errorf("reading messages: %w", err)
	}
	if accepts(w, r, "application/x-ndjson") {
		if page.From != 0 {
			return retryLater("It took too long to look at everything, and NDJSON cannot say so; ask for JSON.")
		}
		// NDJSON has no other place for it.
		w.Header().Add("Link", link(values, page.Log, page.Next, "next"))
		w.Header().Add("Link", link(values, page.Log, max(page.Oldest-1, 0), "first"))
		return h.send(w, http.StatusOK, "application/x-ndjson", appendPage(make([]byte, 0, page.TextSize()), page, true))
	}
	return h.send(w, http.StatusOK, "application/json", appendPage(make([]byte, 0, page.TextSize()), page, false))
}

// queryValues parses the query of a request, which may have the parameters that
// are known, each once. A query that is half understood would give other messages
// than were asked for.
func queryValues(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &statusError{status: http.StatusBadRequest, detail: "The query is not well formed."}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return nil, &statusError{status: http.StatusBadRequest, detail: fmt.Sprintf(
				"The query has a parameter %s, which is not known here; these are: %s.", canonical.Quote(name), strings.Join(known, ", "))}
		}
		if len(values[name]) > 1 {
			return nil, &statusError{status: http.StatusBadRequest, detail: fmt.Sprintf("%s stands more than once in the query.", name)}
		}
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

// parseQuery reads the query of GET /messages. With last, limit and after mean
// nothing.
func parseQuery(values url.Values) (app.Query, error) {
	q := app.Query{
		Type:     app.Type(values.Get("type")),
		Callsign: strings.ToUpper(values.Get("callsign")),
		Log:      values.Get("log"),
	}
	if q.Type != "" && !q.Type.Known() {
		return app.Query{}, &statusError{status: http.StatusBadRequest, detail: fmt.Sprintf(
			"There is no type %s; these are: RECEIVED_TELEM, LISTENER_INFO, LISTENER_TELEM.", canonical.Quote(string(q.Type)))}
	}
	after, err := wholeNumber(values, "after", 0, 0)
	if err != nil {
		return app.Query{}, err
	}
	limit, err := wholeNumber(values, "limit", 1, defaultPage)
	if err != nil {
		return app.Query{}, err
	}
	last, err := wholeNumber(values, "last", 1, 0)
	if err != nil {
		return app.Query{}, err
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
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < least {
		return 0, &statusError{status: http.StatusBadRequest,
			detail: fmt.Sprintf("%s must be a whole number from %d on.", name, least)}
	}
	return n, nil // the largest there is stands for what is larger
}

// appendPage appends a page as JSON, or its messages alone as NDJSON.
func appendPage(b []byte, page app.Page, ndjson bool) []byte {
	if ndjson {
		for _, entry := range page.Entries {
			b = append(entry.AppendJSON(b, false), '\n')
		}
		return b
	}
	b = append(b, `{"log":`...)
	b = canonical.AppendString(b, page.Log)
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
	if page.From != 0 { // not all was looked at
		b = append(b, `,"from":`...)
		b = strconv.AppendInt(b, page.From, 10)
	}
	return append(b, '}', '\n')
}
