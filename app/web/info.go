package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/commit"
	"github.com/windsock-scgi/windsock/app/feed"
)

// infoText is the page for whoever asks with curl.
const infoText = `windsock takes in messages by HTTP POST, and answers OK once they are on disk.

POST message    one message, as JSON:
                {"callsign": "G8XYZ", "type": "LISTENER_INFO", "time_created": 1301774389,
                 "time_uploaded": 1301774390, "data": {"name": "Alice", "radio": "FT-817"}}
                type is RECEIVED_TELEM, LISTENER_INFO or LISTENER_TELEM.
POST messages   many of them: a JSON array, or one a line (application/x-ndjson).
GET messages    what is stored, oldest first: ?after=SEQ goes on from there,
                ?last=N gives the newest, ?type= and ?callsign= choose.
GET messages/stream
                each message as it is stored: server-sent events, from now on
                or ?after=SEQ; ?type= and ?callsign= choose.

Ask with "Accept: application/json" for receipts and errors as JSON.
Bodies may have a Content-Encoding of gzip or zstd.
`

// The status page shows so many messages, and so many bytes of each one's data.
const (
	recentMessages = 20
	maxShownData   = 500
)

//go:embed status.html
var statusSource string

var statusPage = template.Must(template.New("status").Funcs(template.FuncMap{
	"brief": func(data []byte) string {
		if len(data) > maxShownData {
			return string(data[:maxShownData]) + "…"
		}
		return string(data)
	},
	"clock": func(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04:05") },
}).Parse(statusSource))

// status is what the status page shows.
type status struct {
	Version string
	Now     time.Time
	Log     string
	Oldest  int64
	Keep    string
	Newest  int64
	Recent  []app.Entry // newest first
	Queue   commit.Stats
	Tail    feed.Stats
}

// info is GET /: a few words for a person with a terminal, the status page for
// one with a browser.
func (h *Handler) info(w http.ResponseWriter, r *http.Request) error {
	if !accepts(w, r, "text/html") {
		return h.send(w, http.StatusOK, "text/plain; charset=utf-8", []byte(infoText))
	}
	page, err := h.Log.Read(r.Context(), app.Query{Last: true, Limit: recentMessages})
	if err != nil {
		return fmt.Errorf("reading the newest messages: %w", err)
	}
	var html bytes.Buffer
	err = statusPage.Execute(&html, status{
		Version: h.Version,
		Now:     time.Now().UTC(),
		Log:     page.Log,
		Oldest:  page.Oldest,
		Keep:    h.Keep,
		Newest:  page.Next,
		Recent:  newestFirst(page.Entries),
		Queue:   h.Committer.Stats(),
		Tail:    h.Tail.Stats(),
	})
	if err != nil {
		return fmt.Errorf("making the status page: %w", err)
	}
	return h.send(w, http.StatusOK, "text/html; charset=utf-8", html.Bytes())
}

func newestFirst(entries []app.Entry) []app.Entry {
	turned := make([]app.Entry, 0, len(entries))
	for i := range entries {
		turned = append(turned, entries[len(entries)-1-i])
	}
	return turned
}
