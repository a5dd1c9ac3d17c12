package sqlite

import (
	"context"
	"sync"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// interruptOn makes statements fail with SQLITE_INTERRUPT from the end of ctx on. The
// caller calls release before it closes the connection, and then no more of them do.
func (c *connection) interruptOn(ctx context.Context) (release func()) {
	released := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-ctx.Done():
		case <-released:
			return
		}
		tls := libc.NewTLS() // c's is in use
		defer tls.Close()
		again := time.NewTicker(interruptAgain)
		defer again.Stop()
		for {
			sqlite3.Xsqlite3_interrupt(tls, c.db)
			select {
			case <-again.C:
			case <-released:
				return
			}
		}
	})
	return func() {
		close(released)
		watch.Wait()
	}
}

// interruptAgain is the pause between two interrupts: SQLite forgets one that comes
// between two statements.
const interruptAgain = 10 * time.Millisecond
