package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/cmd/internal/program"
)

type exportCommand struct {
	Store  string `placeholder:"URL" env:"WINDSOCK_STORE" default:"sqlite:data/windsock.db" help:"The store to read; it may be in use. (${default})"`
	After  int64  `placeholder:"SEQ" default:"0" help:"Begin after this sequence number."`
	Follow bool   `help:"Go on with what is stored from now on, until interrupted."`
}

// exportPage is how many messages are read at a time.
const exportPage = 1000

// followPause is how long --follow waits at the end before it looks again:
// another process's commits announce themselves to nobody.
const followPause = 500 * time.Millisecond

// Run writes what is stored as NDJSON: the objects of GET /messages with the
// address added.
func (c *exportCommand) Run(env program.Environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := storePath(c.Store)
	if err != nil {
		return err
	}
	if c.After < 0 {
		return program.UsageError{Err: errors.New("--after: must not be negative")}
	}
	store, err := sqlite.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer store.Close()
	out := bufio.NewWriterSize(env.Stdout, 64<<10)
	err = errors.Join(c.export(ctx, store, out, env.Stderr), out.Flush()) // whole lines, also when interrupted
	if ctx.Err() != nil && c.Follow {
		return nil // to be interrupted is how it ends
	}
	return err
}

func (c *exportCommand) export(ctx context.Context, log *sqlite.Reader, out *bufio.Writer, warnings io.Writer) error {
	var line []byte
	for after := c.After; ; {
		page, err := readPage(ctx, log, after)
		if after > 0 && page.Oldest > after+1 {
			fmt.Fprintf(warnings, "windsock: messages %d to %d are not kept any longer, the oldest one is %d\n",
				after+1, page.Oldest-1, page.Oldest)
		}
		for _, entry := range page.Entries {
			line = append(entry.AppendJSON(line[:0], true), '\n')
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		atEnd := page.Next == after
		after = page.Next
		if !atEnd {
			continue
		}
		if err := out.Flush(); err != nil || !c.Follow {
			return err
		}
		if err := pause(ctx, followPause); err != nil {
			return err
		}
	}
}

// readPage reads the next messages, of a damaged store what there is of them: with
// an error come those before the damage.
func readPage(ctx context.Context, log *sqlite.Reader, after int64) (app.Page, error) {
	page, err := log.Read(ctx, app.Query{After: after, Limit: exportPage})
	if err == nil {
		return page, nil
	}
	page = app.Page{Next: after}
	page.Entries, err = log.Salvage(ctx, after, exportPage)
	if n := len(page.Entries); n > 0 {
		page.Next = page.Entries[n-1].Seq
	}
	return page, err
}
