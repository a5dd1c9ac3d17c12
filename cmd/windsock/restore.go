package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/cmd/internal/program"
	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
)

type restoreCommand struct {
	File  string `arg:"" help:"A backup, or what windsock export wrote."`
	Store string `placeholder:"URL" env:"WINDSOCK_STORE" default:"sqlite:data/windsock.db" help:"The store to make. It must not be there, or hold no message; nothing may have it open. (${default})"`
}

// Run makes the store as a whole, or leaves it as it is.
func (c *restoreCommand) Run(env program.Environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := storePath(c.Store)
	if err != nil {
		return err
	}
	if err := makeDataFolder(c.Store); err != nil {
		return err
	}
	r := restorer{terminal.NewProgress(env.Stderr), env.Stderr}
	found, err := sqlite.Restore(ctx, c.File, path, r)
	r.progress.End()
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, describeStore(c.Store, found))
	return nil
}

// restorer shows what sqlite.Restore does.
type restorer struct {
	progress *terminal.Progress
	warnings io.Writer
}

var _ sqlite.Restorer = restorer{}

// Progress implements sqlite.Restorer.
func (r restorer) Progress(doing string, done, total int64) { r.progress.Count(doing, done, total) }

// LeftOut implements sqlite.Restorer.
func (r restorer) LeftOut(text string) {
	r.progress.End()
	fmt.Fprintf(r.warnings, "windsock: %s\n", text)
}
