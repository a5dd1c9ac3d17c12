// Command windsock takes in messages by HTTP POST behind a front-end web server
// that speaks SCGI, makes them durable and only then answers OK.
//
// Its exit code is 0 when all went well, 1 after a failure or a stop that had to
// be forced, and 2 for wrong usage or configuration.
package main

import "github.com/windsock-scgi/windsock/cmd/internal/program"

// commands is the command line: one field a subcommand, one file each.
type commands struct {
	Serve   serveCommand   `cmd:"" help:"Serve SCGI requests: take in messages and give them back."`
	Check   checkCommand   `cmd:"" help:"Look for faults in settings and store, and touch nothing."`
	Backup  backupCommand  `cmd:"" help:"Copy the store to a file, also while it is in use."`
	Restore restoreCommand `cmd:"" help:"Make a store of a backup or an export."`
	Post    postCommand    `cmd:"" help:"Insert messages from a file or standard input."`
	Export  exportCommand  `cmd:"" help:"Write all that is stored as NDJSON, addresses included."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

func main() {
	program.Program{
		Name:        "windsock",
		Description: "Takes in messages by HTTP POST over SCGI, and answers OK once they are on disk.",
		Commands:    &commands{},
	}.Main()
}
