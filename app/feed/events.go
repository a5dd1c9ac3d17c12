package feed

import (
	"iter"
	"sort"
	"strconv"

	"github.com/windsock-scgi/windsock/app"
)

// Events is a page of the log as server-sent events (the HTML standard, section
// 9.2), encoded once for everybody. It is not changed any more.
type Events struct {
	after, next int64  // what was examined for it: all after the one, up to the other
	text        []byte // the events, one after the other, as they are sent
	each        []event
	oldest      int64  // the lowest seq that was kept when it was read
	pruned      []byte // the event that says so to those who have missed something; nil for nobody
}

// Size returns how many bytes the text of all events of the page has.
func (e *Events) Size() int { return len(e.text) }

// event is one of them: what filters look at, and where its text ends.
type event struct {
	seq      int64
	kind     app.Type
	callsign string
	end      int
}

func newEvents(log string, after int64, page app.Page) *Events {
	e := &Events{after: after, next: page.Next, text: make([]byte, 0, page.TextSize()), each: make([]event, len(page.Entries))}
	for i := range page.Entries {
		entry := &page.Entries[i]
		e.text = appendEvent(e.text, log, entry)
		e.each[i] = event{entry.Seq, entry.Type, entry.Callsign, len(e.text)}
	}
	if e.oldest = page.Oldest; after < e.oldest-1 {
		e.pruned = appendPruned(nil, log, e.oldest)
	}
	return e
}

// appendPruned appends the event for a reader who has missed what was pruned. Its
// id is where the reader is then, so that it is told once.
func appendPruned(b []byte, log string, oldest int64) []byte {
	b = append(b, "id: "...)
	b = appendEventID(b, log, oldest-1)
	b = append(b, "\nevent: pruned\ndata: {\"oldest\":"...)
	b = strconv.AppendInt(b, oldest, 10)
	return append(b, "}\n\n"...)
}

// appendEvent appends an entry as an event. Its data is one line, since JSON
// escapes line ends, and its id is where to go on after it.
func appendEvent(b []byte, log string, entry *app.Entry) []byte {
	b = append(b, "id: "...)
	b = appendEventID(b, log, entry.Seq)
	b = append(b, "\nevent: message\ndata: "...)
	b = entry.AppendJSON(b, false)
	return append(b, "\n\n"...)
}

func appendEventID(b []byte, log string, seq int64) []byte {
	b = append(b, log...)
	b = append(b, '.')
	return strconv.AppendInt(b, seq, 10)
}

// selected returns the text of what follows q.After and passes q's filters, in
// pieces: in one, if there is no filter and nothing was missed.
func (e *Events) selected(q app.Query) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if q.After < e.oldest-1 && !yield(e.pruned) {
			return
		}
		first := sort.Search(len(e.each), func(i int) bool { return e.each[i].seq > q.After })
		if q.Type == "" && q.Callsign == "" {
			if first < len(e.each) {
				yield(e.text[e.begin(first):])
			}
			return
		}
		for i := first; i < len(e.each); i++ {
			if e.each[i].passes(q) && !yield(e.text[e.begin(i):e.each[i].end]) {
				return
			}
		}
	}
}

// begin is where the text of event i begins.
func (e *Events) begin(i int) int {
	if i == 0 {
		return 0
	}
	return e.each[i-1].end
}

func (e *event) passes(q app.Query) bool {
	return (q.Type == "" || q.Type == e.kind) && (q.Callsign == "" || q.Callsign == e.callsign)
}
