package main

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/windsock-scgi/windsock/cmd/internal/program"
	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
)

type postCommand struct {
	To   string `placeholder:"ADDR" env:"WINDSOCK_TO" default:"unix:data/windsock.sock" help:"Where windsock listens: unix:PATH or tcp:HOST:PORT. (${default})"`
	File string `arg:"" optional:"" default:"-" help:"A file of JSON messages: one, an array, or one after the other (NDJSON). A broken line is named and skipped. - is standard input."`
}

// Run posts the messages in their order, as many at a time as there are, and says
// at the end what became of them. It fails when a message was refused or broken.
func (c *postCommand) Run(env program.Environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	transport, err := transportTo(c.To)
	if err != nil {
		return err
	}
	input := env.Stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer file.Close()
		input = file
	}
	p := &poster{client: &http.Client{Transport: transport}, progress: terminal.NewProgress(env.Stderr), stderr: env.Stderr}
	err = p.all(ctx, input)
	p.progress.End()
	fmt.Fprintln(env.Stdout, p.summary())
	if err == nil && p.refused > 0 {
		err = fmt.Errorf("%d of %d messages were refused", p.refused, p.count())
	}
	return err
}

// poster posts messages and counts what becomes of them.
type poster struct {
	client   *http.Client
	progress *terminal.Progress
	stderr   io.Writer

	stored, duplicate, refused int
}

func (p *poster) count() int { return p.stored + p.duplicate + p.refused }

func (p *poster) summary() string {
	return fmt.Sprintf("%d stored, %d stored before, %d refused", p.stored, p.duplicate, p.refused)
}

// all posts every message of the input.
func (p *poster) all(ctx context.Context, input io.Reader) error {
	for chunk := range gather(ctx, items(input)) {
		if err := p.chunk(ctx, chunk.messages); err != nil {
			return fmt.Errorf("message %d: %w", p.count()+1, err)
		}
		p.progress.Show(p.summary)
		switch fault := chunk.fault; {
		case fault == nil:
		case fault.last:
			return fmt.Errorf("message %d%s: %w", p.count()+1, fault.where(), fault.err)
		default:
			p.refuse(*fault, fault.err.Error())
		}
	}
	return ctx.Err()
}

// maxAttempts is how often a message is sent to a server that has no room.
const maxAttempts = 5

// chunk posts messages, again those that the server has no room for. Refused
// ones are counted and reported; an error means that there is no point in going
// on.
func (p *poster) chunk(ctx context.Context, messages []item) error {
	for attempt := 1; len(messages) > 0; attempt++ {
		resp, body, err := p.send(ctx, messages)
		if err != nil {
			return err
		}
		done, err := p.results(body, messages)
		if err != nil {
			return fmt.Errorf("the server answered %s: %w", printable(resp.Status), err)
		}
		messages = messages[done:]
		switch {
		case len(messages) == 0:
		case resp.StatusCode == http.StatusServiceUnavailable && (attempt < maxAttempts || done > 0):
			if done > 0 {
				attempt = 0 // it gets on
			}
			if err := wait(ctx, resp.Header.Get("Retry-After")); err != nil {
				return err
			}
		case resp.StatusCode == http.StatusRequestEntityTooLarge && len(messages) == 1 && done == 0:
			p.refuse(messages[0], printable(resp.Status)+": "+problemDetail(body))
			return nil
		default:
			return fmt.Errorf("the server answered %s: %s", printable(resp.Status), problemDetail(body))
		}
	}
	return nil
}

func (p *poster) send(ctx context.Context, messages []item) (*http.Response, []byte, error) {
	var lines bytes.Buffer
	for _, message := range messages {
		lines.Write(message.text)
		lines.WriteByte('\n')
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://windsock/messages", &lines)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Accept", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return resp, body, err
}

// results counts what became of the messages that were sent, and returns how many
// results there are: for the first messages, or for none where the server did not
// get that far.
func (p *poster) results(body []byte, sent []item) (done int, err error) {
	var answer struct {
		Results []struct{ Status, Error string }
	}
	if json.Unmarshal(body, &answer) != nil {
		return 0, nil // an answer of another kind, or from somebody else
	}
	if len(answer.Results) > len(sent) {
		return 0, fmt.Errorf("%d results for %d messages", len(answer.Results), len(sent))
	}
	for i, result := range answer.Results {
		switch result.Status {
		case "stored":
			p.stored++
		case "duplicate":
			p.duplicate++
		case "invalid":
			p.refuse(sent[i], "400 Bad Request: "+printable(result.Error))
		default:
			return 0, fmt.Errorf("an unknown status %q", printable(result.Status))
		}
	}
	return len(answer.Results), nil
}

// refuse counts and reports a message that will never be taken.
func (p *poster) refuse(message item, why string) {
	p.refused++
	p.progress.End()
	fmt.Fprintf(p.stderr, "message %d%s: %s\n", p.count(), message.where(), why)
}

// problemDetail is what an error says, as problem+json, in the shape of a batch,
// or as it stands.
func problemDetail(body []byte) string {
	var problem struct{ Detail, Error string }
	if json.Unmarshal(body, &problem) == nil && problem.Detail+problem.Error != "" {
		return printable(problem.Detail + problem.Error)
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
