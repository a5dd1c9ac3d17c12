package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/windsock-scgi/windsock/app/sqlite"
	"github.com/windsock-scgi/windsock/cmd/internal/program"
	"github.com/windsock-scgi/windsock/cmd/internal/terminal"
	"github.com/windsock-scgi/windsock/scgi/listen"
)

type checkCommand struct {
	settings
}

// Run looks at everything that `windsock serve` would use with these settings,
// and touches nothing: it may be in use meanwhile. All that is wrong is named.
func (c *checkCommand) Run(env program.Environment) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	faults := c.faults()
	for _, addr := range c.Listen {
		if err := c.checkListen(ctx, addr); err != nil {
			faults = append(faults, err)
		}
	}
	if len(c.CGI.faults()) == 0 {
		if err := c.CGI.check(); err != nil {
			faults = append(faults, err)
		}
	}
	conns, err := c.maxConns()
	switch {
	case err != nil:
		faults = append(faults, err)
	case conns < mostConns:
		fmt.Fprintf(env.Stdout, "connections at once: %d, as the limit of descriptors allows (ulimit -n); at most %d\n", conns, mostConns)
	}
	for _, fault := range faults {
		fmt.Fprintf(env.Stderr, "fault: %v\n", fault)
	}
	inStore, err := c.checkStore(ctx, env)
	if err != nil {
		return err
	}
	if n := len(faults) + inStore; n > 0 {
		return fmt.Errorf("faults found: %d", n)
	}
	fmt.Fprintln(env.Stdout, "no faults")
	return nil
}

// checkListen says what is wrong with an address on this machine. What is wrong
// with it everywhere has been said.
func (c *checkCommand) checkListen(ctx context.Context, addr string) error {
	if _, err := listen.Parse(addr); err != nil {
		return nil
	}
	if made, err := c.makesFolder(addr); made || err != nil {
		return err
	}
	return listen.Check(ctx, addr)
}

// makesFolder reports whether serve would make the folder of an address or a
// store first, or why it could not.
func (c *checkCommand) makesFolder(value string) (bool, error) {
	_, path, _ := strings.Cut(value, ":")
	if filepath.Dir(path) != dataFolder {
		return false, nil
	}
	if _, err := os.Stat(dataFolder); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return true, writable(".")
}

// checkStore checks the store and returns how many faults it has.
func (c *checkCommand) checkStore(ctx context.Context, env program.Environment) (faults int, err error) {
	path, err := storePath(c.Store)
	if err != nil {
		return 0, nil // it has been said
	}
	p := terminal.NewProgress(env.Stderr)
	found, err := sqlite.Check(ctx, path, p.Count)
	p.End()
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("interrupted: %w", ctx.Err())
	case errors.Is(err, fs.ErrNotExist):
		err = c.checkNewStore(path)
		if err == nil {
			fmt.Fprintf(env.Stdout, "%s: there is none yet, serve makes it\n", c.Store)
		}
	case err == nil:
		err = errors.Join(writable(path), writable(filepath.Dir(path)))
	}
	if err != nil {
		fmt.Fprintf(env.Stderr, "fault: %v\n", err)
		faults++
	}
	for _, fault := range found.Faults {
		fmt.Fprintf(env.Stderr, "fault: %s: %s\n", c.Store, fault)
	}
	if found.MoreFaults > 0 {
		fmt.Fprintf(env.Stderr, "and %d more\n", found.MoreFaults)
	}
	if found.Log != "" {
		fmt.Fprintln(env.Stdout, describeStore(c.Store, found))
	}
	inStore := len(found.Faults) + found.MoreFaults
	if inStore > 0 {
		fmt.Fprintln(env.Stderr, "What to do: stop windsock, keep all files of the store, and restore the newest backup"+
			" that windsock check finds no fault in (windsock restore, deploy/README.md). windsock export gives what can be read"+
			" of this one, and windsock restore takes that, too.")
	}
	return faults + inStore, nil
}

func describeStore(url string, found sqlite.Findings) string {
	text := fmt.Sprintf("%s: log %s, %d messages", url, found.Log, found.Messages)
	if found.Messages > 0 {
		text += fmt.Sprintf(", seq %d to %d", found.Oldest, found.Newest)
	}
	if found.Backup != "" {
		text += ", a backup of " + found.Backup + ": serve will give it a new name"
	}
	return text
}

// checkNewStore says what would keep serve from making a store. That there is
// none is no fault.
func (c *checkCommand) checkNewStore(path string) error {
	if made, err := c.makesFolder(c.Store); made || err != nil {
		return err
	}
	if _, err := os.Readlink(path); err == nil {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s: a link that leads nowhere: %w", path, err)
		}
	}
	return writable(filepath.Dir(path))
}

// writable says what keeps this user from writing to a file, or from making files
// in a folder.
func writable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: make the folder first", err)
	}
	const write, search = 2, 1 // W_OK and X_OK of access(2)
	mode := uint32(write)
	if info.IsDir() {
		mode |= search
	}
	if err := syscall.Access(path, mode); err != nil {
		return fmt.Errorf("%s: %w: this user must have the right to write there", path, err)
	}
	return nil
}
