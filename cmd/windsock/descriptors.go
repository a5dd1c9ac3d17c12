package main

import (
	"fmt"
	"syscall"

	"github.com/windsock-scgi/windsock/cmd/internal/program"
)

// Numbers of descriptors that the process holds open.
const (
	// restDescriptors is for what does not depend on the number of requests: the
	// standard streams, the poller, the store with all its readers (16), and what
	// is open for a moment.
	restDescriptors = 40
	// listenerDescriptors is for a listener, the copy that connections are accepted
	// from, and the descriptor that it may have been inherited as.
	listenerDescriptors = 3
	// connDescriptors is for a connection and the watch on its front end.
	connDescriptors = 2
	// spoolDescriptors is what a connection of a CGI request has besides: the
	// temporary file of its body or, later, of its answer.
	spoolDescriptors = 1
	// programDescriptors is for a running CGI program: three pipes, the process and
	// two temporary files, and while it starts its own ends of the pipes and one more
	// pipe.
	programDescriptors = 11
)

// Bounds on the number of connections. The upper one bounds what their bodies take.
const (
	leastConns = 4
	mostConns  = 4096
)

// maxConns returns the number of connections for which the limit of descriptors has
// room beside the listeners and running programs, from 0 to mostConns.
func maxConns(listeners, programs int) int {
	const plenty = 1 << 20 // more is never needed, and would be too large a number below
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return mostConns
	}
	others := restDescriptors + listeners*listenerDescriptors + min(programs, plenty)*programDescriptors
	each := connDescriptors
	if programs > 0 {
		each += spoolDescriptors
	}
	return min(max(0, int(min(limit.Cur, plenty))-others)/each, mostConns)
}

// maxConns is that of these settings. With fewer than leastConns it is an error.
func (s *settings) maxConns() (int, error) {
	programs := 0
	if len(s.CGI.Programs) > 0 {
		programs = s.CGI.Running
	}
	conns := maxConns(len(s.Listen), programs)
	if conns < leastConns {
		return 0, program.UsageError{Err: fmt.Errorf("the limit of descriptors leaves %d connections, and %d is the least: raise it (ulimit -n), or lower --cgi-running", conns, leastConns)}
	}
	return conns, nil
}
