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

// followPause is how long --follow waits at the end before it looks again: a commit
// of another process is not announced.
const followPause = 500 * time.Millisecond

// Run writes all that is stored as NDJSON: the objects of GET /messages with all
// else that a message is. It goes on after what is damaged, and then fails.
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
	e := export{out: bufio.NewWriterSize(env.Stdout, 64<<10), warnings: env.Stderr}
	err = e.all(ctx, store, c.After, c.Follow)
	err = errors.Join(err, e.out.Flush()) // whole lines, also when interrupted
	if ctx.Err() != nil && c.Follow {
		err = nil // to be interrupted is how it ends
	}
	if err == nil && e.faults > 0 {
		err = fmt.Errorf("faults found: %d (run windsock check)", e.faults)
	}
	return err
}

// export writes records, and warnings of what is damaged.
type export struct {
	out      *bufio.Writer
	line     []byte
	warnings io.Writer
	faults   int
}

var _ sqlite.Exporter = (*export)(nil)

// all writes what there is after a seq, with follow also what is still to come.
func (e *export) all(ctx context.Context, store *sqlite.Reader, after int64, follow bool) (err error) {
	for {
		from, faults := after, e.faults
		if after, err = store.Export(ctx, after, e); err != nil {
			return err
		}
		if err := e.out.Flush(); err != nil || !follow {
			return err
		}
		if after == from && e.faults > faults {
			return nil // what comes next cannot be read, and never will be
		}
		if err := pause(ctx, followPause); err != nil {
			return err
		}
	}
}

// Record implements sqlite.Exporter.
func (e *export) Record(r *app.Record) error {
	e.line = append(r.AppendJSON(e.line[:0]), '\n')
	_, err := e.out.Write(e.line)
	return err
}

// Fault implements sqlite.Exporter.
func (e *export) Fault(text string) {
	e.faults++
	fmt.Fprintf(e.warnings, "windsock: %s\n", text)
}

// Pruned implements sqlite.Exporter.
func (e *export) Pruned(from, to int64) {
	fmt.Fprintf(e.warnings, "windsock: messages %d to %d are not kept any longer, the oldest one is %d\n", from, to, to+1)
}
