package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
)

type backupCommand struct {
	File    string `arg:"" help:"The file to make. It has its name only once it is whole and on disk."`
	Store   string `placeholder:"URL" env:"WINDSOCK_STORE" default:"sqlite:data/windsock.db" help:"The store to copy; it may be in use. (${default})"`
	Replace bool   `help:"Put it in the place of an earlier backup."`
}

// Run copies the store as it is at this moment.
func (c *backupCommand) Run(env environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path, err := storePath(c.Store)
	if err != nil {
		return err
	}
	p := terminal.NewProgress(env.stderr)
	copied, err := sqlite.Backup(ctx, path, c.File, c.Replace, p.Count)
	p.End()
	if err != nil {
		return err
	}
	fmt.Fprintf(env.stdout, "%s: log %s, %d messages, up to seq %d, %d bytes\n",
		c.File, copied.Log, copied.Messages, copied.Newest, copied.Bytes)
	return nil
}
