// Command windsock takes in messages by HTTP POST behind a front-end web server
// that speaks SCGI, makes them durable and only then answers OK.
//
// Its exit code is 0 when all went well, 1 after a failure or a stop that had to
// be forced, and 2 for wrong usage or configuration.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands is the command line: one field a subcommand, one file each.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Serve SCGI requests: take in messages and give them back."`
	Check   checkCommand   `cmd:"" help:"Look for faults in settings and store, and touch nothing."`
	Backup  backupCommand  `cmd:"" help:"Copy the store to a file, also while it is in use."`
	Post    postCommand    `cmd:"" help:"Insert messages from a file or standard input."`
	Export  exportCommand  `cmd:"" help:"Write what is stored as NDJSON, addresses included."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// environment is what a command has of the world around it.
type environment struct {
	stdin          io.Reader
	stdout, stderr *os.File
}

func main() {
	os.Exit(run(os.Args[1:], environment{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs a command line and returns its exit code.
func run(args []string, env environment) int {
	var cli commands
	exit := -1
	parser, err := kong.New(&cli,
		kong.Name("windsock"),
		kong.Description("Takes in messages by HTTP POST over SCGI, and answers OK once they are on disk."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, Summary: true, WrapUpperBound: 100}),
		kong.Writers(env.stdout, env.stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.Bind(env),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	command, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help has been answered
	}
	if err == nil {
		err = command.Run()
	} else {
		err = usageError{err}
	}
	return report(env.stderr, err)
}

// usageError is one that the command line or the configuration is to blame for.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// report says on a terminal what went wrong, and gives the exit code for it.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "windsock: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintln(stderr, "Try: windsock --help")
		return exitUsage
	}
	return exitFailed
}
