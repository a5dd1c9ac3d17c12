//go:build linux

// Bench measures what a request costs: scgi, the floor that the kernel sets, and
// what else a user would pick, side by side in one run. `make bench` runs it.
//
// Every server is a process of its own. The rounds are interleaved, so that what
// else the machine does meets all of them, and the number is the server's CPU
// time for a request: on a shared machine it is steadier than throughput. Medians
// and the spread between the quarters are shown.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the measuring, or one of its processes.
func run(args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "serve":
			return serve(args[1], args[2])
		case "load":
			return runLoad()
		case "idle":
			var n int
			if _, err := fmt.Sscan(args[2], &n); err != nil {
				return err
			}
			return idle(args[1], n)
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var b bench
	flags.IntVar(&b.rounds, "rounds", 5, "how often each is measured")
	flags.DurationVar(&b.time, "time", 500*time.Millisecond, "for how long each time")
	flags.StringVar(&b.only, "only", "", "measure this table alone: requests, calls, growth, nginx, durable")
	flags.StringVar(&b.servers, "servers", "", "only servers whose name contains this")
	flags.StringVar(&b.out, "out", "", "a folder for the tables and the plot")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	return b.run()
}

// runLoad reads what to do from its input and writes what came of it.
func runLoad() error {
	var l load
	if err := json.NewDecoder(os.Stdin).Decode(&l); err != nil {
		return err
	}
	result, err := l.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
