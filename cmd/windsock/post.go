package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

type postCommand struct {
	To   string `placeholder:"ADDR" env:"WINDSOCK_TO" default:"unix:data/windsock.sock" help:"Where windsock listens: unix:PATH or tcp:HOST:PORT. (${default})"`
	File string `arg:"" optional:"" default:"-" help:"A file of JSON messages: one, an array, or one after the other (NDJSON). - is standard input."`
}

// Run posts the messages one by one, in their order, and says at the end what
// became of them.
func (c *postCommand) Run(env environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	transport, err := transportTo(c.To)
	if err != nil {
		return err
	}
	input := env.stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer file.Close()
		input = file
	}
	p := &poster{client: &http.Client{Transport: transport}, progress: newProgress(env.stderr), stderr: env.stderr}
	err = p.all(ctx, input)
	p.progress.end()
	fmt.Fprintln(env.stdout, p.summary())
	if err == nil && p.refused > 0 {
		err = fmt.Errorf("%d of %d messages were refused", p.refused, p.count())
	}
	return err
}

// poster posts messages and counts what becomes of them.
type poster struct {
	client   *http.Client
	progress *progress
	stderr   io.Writer

	stored, duplicate, refused int
}

func (p *poster) count() int { return p.stored + p.duplicate + p.refused }

func (p *poster) summary() string {
	return fmt.Sprintf("%d stored, %d stored before, %d refused", p.stored, p.duplicate, p.refused)
}

// all posts every message of the input.
func (p *poster) all(ctx context.Context, input io.Reader) error {
	for message, err := range messages(input) {
		if err != nil {
			return fmt.Errorf("message %d: %w", p.count()+1, err)
		}
		if err := p.one(ctx, message); err != nil {
			return fmt.Errorf("message %d: %w", p.count()+1, err)
		}
		p.progress.show(p.summary)
	}
	return nil
}

// maxAttempts is how often a message is sent to a server that has no room.
const maxAttempts = 5

// one posts a message. A refused one is counted and reported; an error means
// that there is no point in going on.
func (p *poster) one(ctx context.Context, message []byte) error {
	for attempt := 1; ; attempt++ {
		resp, body, err := p.send(ctx, message)
		if err != nil {
			return err
		}
		switch {
		case resp.StatusCode == http.StatusOK:
			return p.receipt(body)
		case resp.StatusCode == http.StatusServiceUnavailable && attempt < maxAttempts:
			if err := wait(ctx, resp.Header.Get("Retry-After")); err != nil {
				return err
			}
		case resp.StatusCode >= http.StatusInternalServerError:
			return fmt.Errorf("the server answered %s: %s", printable(resp.Status), problemDetail(body))
		default:
			p.refused++
			p.progress.end()
			fmt.Fprintf(p.stderr, "message %d: %s: %s\n", p.count(), printable(resp.Status), problemDetail(body))
			return nil
		}
	}
}

func (p *poster) send(ctx context.Context, message []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://windsock/message", bytes.NewReader(message))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp, body, err
}

// receipt counts a message that is stored.
func (p *poster) receipt(body []byte) error {
	var receipt struct{ Duplicate bool }
	if err := json.Unmarshal(body, &receipt); err != nil {
		return fmt.Errorf("the server's answer is no receipt: %w", err)
	}
	if receipt.Duplicate {
		p.duplicate++
	} else {
		p.stored++
	}
	return nil
}

// problemDetail is what an error says, as problem+json or as it stands.
func problemDetail(body []byte) string {
	var problem struct{ Detail string }
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		return printable(problem.Detail)
	}
	return printable(strings.TrimSpace(string(body)))
}

// printable makes of a server's words what may be shown on a terminal.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// wait waits as long as a Retry-After in seconds says.
func wait(ctx context.Context, retryAfter string) error {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil {
		seconds = 1
	}
	return pause(ctx, time.Duration(min(max(seconds, 0), 60))*time.Second)
}

// pause waits for some time, or for ctx to end, which is its error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// messages takes the input apart into JSON texts: those of an array, or those
// that follow one another. Whether each is a message is the server's to say.
func messages(input io.Reader) func(yield func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		buffered := bufio.NewReader(input)
		isArray, err := startsArray(buffered)
		decoder := json.NewDecoder(buffered)
		if err == nil && isArray {
			_, err = decoder.Token()
		}
		for err == nil && (!isArray || decoder.More()) {
			var message json.RawMessage
			if err = decoder.Decode(&message); err == nil && !yield(message, nil) {
				return
			}
		}
		if err == nil { // at the array's end
			if _, err = decoder.Token(); err == nil {
				_, err = decoder.Token()
				if err == nil {
					err = errors.New("something follows the array")
				}
				isArray = false
			}
		}
		if err != nil && (isArray || !errors.Is(err, io.EOF)) {
			yield(nil, unexpectedEnd(err))
		}
	}
}

// unexpectedEnd says what the end of the input within an array is.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// startsArray reports whether the first byte that is no blank opens an array.
func startsArray(r *bufio.Reader) (bool, error) {
	for {
		c, err := r.ReadByte()
		if err != nil {
			return false, err
		}
		if strings.IndexByte(" \t\r\n", c) < 0 {
			return c == '[', r.UnreadByte()
		}
	}
}
