// Command scgi is for anyone who has an SCGI application: it sends one request
// as curl does, makes load as wrk does, and is an HTTP front end for development.
//
// Its exit code is 0 when all went well, 1 after a failure, and 2 for wrong usage.
package main

import "github.com/windsock-scgi/windsock/cmd/internal/program"

// commands is the command line: one field a subcommand, one file each.
type commands struct {
	Request requestCommand `cmd:"" help:"Send one request, as curl does."`
	Load    loadCommand    `cmd:"" help:"Make load on an application, as wrk does: rate, latencies, errors."`
	Front   frontCommand   `cmd:"" help:"Serve HTTP and hand it on: a front end for development."`
}

func main() {
	program.Program{
		Name:        "scgi",
		Description: "Talks to SCGI applications, as a front end does. ADDR is unix:PATH or tcp:HOST:PORT.",
		Commands:    &commands{},
	}.Main()
}
