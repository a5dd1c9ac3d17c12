// Command scgi is for anyone who has an SCGI application: it sends one request
// as curl does, makes load as wrk does, and is an HTTP front end for development.
//
// Its exit code is 0 when all went well, 1 after a failure, and 2 for wrong usage.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands is the command line: one field a subcommand, one file each.
type commands struct {
	Request requestCommand `cmd:"" help:"Send one request, as curl does."`
	Load    loadCommand    `cmd:"" help:"Make load on an application, as wrk does: rate, latencies, errors."`
	Front   frontCommand   `cmd:"" help:"Serve HTTP and hand it on: a front end for development."`
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
		kong.Name("scgi"),
		kong.Description("Talks to SCGI applications, as a front end does. ADDR is unix:PATH or tcp:HOST:PORT."),
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

// usageError is one that the command line is to blame for.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// report says on a terminal what went wrong, and gives the exit code for it.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "scgi: %s\n", strings.TrimPrefix(err.Error(), "scgi: ")) // once is enough
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintln(stderr, "Try: scgi --help")
		return exitUsage
	}
	return exitFailed
}
