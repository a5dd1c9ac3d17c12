package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/admission"
	"github.com/windsock-scgi/windsock/app/feed"
)

// heartbeat is how often a stream sends a comment, so that front ends see that
// it lives and we see when they do not. The first is sent at once: some front ends
// hold an answer's header back until its first byte comes, and an EventSource is
// not open until then.
const heartbeat = 15 * time.Second

// stream is GET /messages/stream: each message as it is stored, as server-sent
// events. How long a client may take no events is the server's: scgi ends an
// answer that has made no progress for 60 s.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) error {
	query, now, err := h.parseStream(r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		beginStream(w)
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	f := sender{w: w, control: http.NewResponseController(w), share: h.Budget.Share()}
	f.sub, err = h.Tail.Subscribe(query, now, func() {
		cancel()
		f.cut()
	})
	if errors.Is(err, feed.ErrDraining) {
		// No error: to a browser that would be the end, and this is an event
		// stream to connect to again.
		beginStream(w)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.sub.Leave()
	defer f.share.Release()
	beginStream(w)
	err = f.run(ctx)
	if f.sub.Behind() {
		err = feed.ErrBehind
	}
	return h.endStream(r, err)
}

func beginStream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
}

// endStream tells the log why a stream was ended, if it was not simply over: the
// client learns by its end to come again.
func (h *Handler) endStream(r *http.Request, err error) error {
	var answered answeredError
	switch {
	case err == nil || errors.As(err, &answered):
		return err
	case isRefused(err):
		h.Logger.Warn().Str("client", r.RemoteAddr).Err(err).Msg("a reader of the event stream is ended while it catches up")
	case errors.Is(err, feed.ErrBehind):
		h.Logger.Warn().Str("client", r.RemoteAddr).Msg("a reader of the event stream was too slow and is ended")
	default:
		h.Logger.Error().Err(err).Str("uri", r.RequestURI).Msg("event stream broken off")
	}
	return nil
}

// sender is the sending side of a stream.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
	sub     *feed.Subscription
	share   *admission.Share // holds a page of its own while that is sent
	begun   atomic.Bool      // the header is sent
}

// cut ends a write that waits for its client. The header may still go out, since
// an answer without one is an error to a browser, which then does not come again;
// an event that is cut short is none.
func (s *sender) cut() {
	if s.begun.Load() {
		// A server without deadlines, as in tests, ends when the client reads on.
		_ = s.control.SetWriteDeadline(time.Now())
	}
}

// run sends events until ctx is over or something fails.
func (s *sender) run(ctx context.Context) error {
	if err := s.comment(); err != nil {
		return errAnswered(err)
	}
	s.begun.Store(true) // and then ctx is looked at: what cut leaves alone ends there
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		page, moved, err := s.sub.Next(ctx)
		if ctx.Err() != nil {
			return nil // whatever err says: it is over
		}
		if err != nil {
			return err
		}
		if err := s.send(page); err != nil {
			return err
		}
		if !s.wait(ctx, moved, beat.C) {
			continue
		}
		if err := s.comment(); err != nil {
			return errAnswered(err)
		}
	}
}

// send writes what the subscriber is to have of a page. While the window holds
// more, that may go out together; at the end of it, and after each page of an
// older time, it is flushed.
func (s *sender) send(page *feed.Events) error {
	defer s.share.Release()
	if page != nil {
		if !s.sub.Joined() { // else the page is the window's
			if err := s.share.Hold(int64(page.Size())); err != nil {
				return err
			}
		}
		for text := range s.sub.Selected(page) {
			if _, err := s.w.Write(text); err != nil {
				return errAnswered(err)
			}
		}
		s.sub.Took(page)
		if s.sub.Joined() {
			return nil
		}
	}
	return errAnswered(s.control.Flush())
}

// wait waits until there is more, if it is said what to wait for, and reports
// whether the heartbeat is due meanwhile.
func (s *sender) wait(ctx context.Context, moved <-chan struct{}, beat <-chan time.Time) bool {
	if moved == nil {
		select {
		case <-beat:
			return true
		default:
			return false
		}
	}
	select {
	case <-moved:
		return false
	case <-beat:
		return true
	case <-ctx.Done():
		return false
	}
}

// comment sends what readers ignore.
func (s *sender) comment() error {
	if _, err := s.w.Write([]byte(": heartbeat\n\n")); err != nil {
		return err
	}
	return s.control.Flush()
}

// parseStream reads where a stream is to begin, or that it is now, and its filters.
func (h *Handler) parseStream(r *http.Request) (q app.Query, now bool, err error) {
	values, err := queryValues(r, "after", "type", "callsign", "log")
	if err != nil {
		return app.Query{}, false, err
	}
	q, err = parseQuery(values)
	if err != nil {
		return app.Query{}, false, err
	}
	now = !values.Has("after")
	logs := []string{q.Log}
	// It wins: the URL of a client that connects again is still the first one.
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		var log string
		if log, q.After, err = parseEventID(id); err != nil {
			return app.Query{}, false, err
		}
		logs, now = append(logs, log), false
	}
	for _, log := range logs {
		if log != "" && log != h.Tail.Name() {
			return app.Query{}, false, fmt.Errorf("following %q: %w", log, app.ErrOtherLog)
		}
	}
	if !now && q.After > h.Tail.Newest() {
		err = h.everGave(r.Context(), q.After)
	}
	return q, now, err
}

// everGave returns an error unless the log has ever given a seq. The tail is told of
// one after it is stored, and a client may have read it before that.
func (h *Handler) everGave(ctx context.Context, seq int64) error {
	ctx, cancel := context.WithTimeout(ctx, maxReadTime)
	defer cancel()
	if _, err := h.Log.Read(ctx, app.Query{After: seq, Limit: 1}); err != nil {
		return fmt.Errorf("following after %d: %w", seq, err)
	}
	return nil
}

// parseEventID is the other way of appendEventID.
func parseEventID(id string) (log string, seq int64, err error) {
	i := strings.LastIndexByte(id, '.')
	if i > 0 {
		var n uint64
		if n, err = strconv.ParseUint(id[i+1:], 10, 63); err == nil {
			return id[:i], int64(n), nil
		}
	}
	return "", 0, &statusError{status: http.StatusBadRequest,
		detail: "Last-Event-ID must be the id of an event from here: the log's name, a dot and a number."}
}
