// Package program is how the commands begin and end: a command line of
// subcommands, and what becomes of their errors.
package program

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// The exit codes of a program.
const (
	OK     = 0
	Failed = 1
	Usage  = 2 // wrong usage or configuration
)

// Program is what there is to say of one.
type Program struct {
	Name, Description string
	// Commands is a pointer to a struct as kong wants it, with one field a
	// subcommand. Each has a method Run(Environment) error.
	Commands any
}

// Environment is what a subcommand has of the world around it.
type Environment struct {
	Stdin          io.Reader
	Stdout, Stderr *os.File
}

// Main runs the command line of the process, and ends it.
func (p Program) Main() {
	os.Exit(p.run(os.Args[1:], Environment{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs a command line and returns its exit code.
func (p Program) run(args []string, env Environment) int {
	exit := -1
	parser, err := kong.New(p.Commands,
		kong.Name(p.Name),
		kong.Description(p.Description),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, Summary: true, WrapUpperBound: 100}),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.Bind(env),
	)
	if err != nil {
		panic(err) // the struct is wrong
	}
	command, err := parser.Parse(args)
	if exit >= 0 {
		return exit // --help has been answered
	}
	if err == nil {
		err = command.Run()
	} else {
		err = UsageError{Err: err}
	}
	return p.report(env.Stderr, err)
}

// UsageError is one that the command line or the configuration is to blame for.
type UsageError struct{ Err error }

var _ error = UsageError{}

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e UsageError) Unwrap() error { return e.Err }

// report says what went wrong, and gives the exit code for it.
func (p Program) report(stderr io.Writer, err error) int {
	if err == nil {
		return OK
	}
	// The package of that name says so, too.
	fmt.Fprintf(stderr, "%s: %s\n", p.Name, strings.TrimPrefix(err.Error(), p.Name+": "))
	if usage := (UsageError{}); errors.As(err, &usage) {
		fmt.Fprintf(stderr, "Try: %s --help\n", p.Name)
		return Usage
	}
	return Failed
}
