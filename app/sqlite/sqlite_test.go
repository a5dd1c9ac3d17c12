package sqlite_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/app"
	"github.com/windsock-scgi/windsock/app/sqlite"
)

// TestMain lets the test binary be the other processes that some tests need.
func TestMain(m *testing.M) {
	if role := roles[os.Getenv("SQLITE_TEST_ROLE")]; role != nil {
		os.Exit(role(os.Getenv("SQLITE_TEST_STORE")))
	}
	os.Exit(m.Run())
}

// newPath returns where a test can make a store. The name has what a URI must
// have escaped.
func newPath(t testing.TB) string {
	return filepath.Join(t.TempDir(), "a %41?b#c.db")
}

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	log, err := sqlite.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

// message returns the n-th of the messages that tests store, every field of it
// in use and every one different.
func message(n int) app.Message {
	callsigns := []string{"G8XYZ", "M0ABC/P"}
	types := []app.Type{app.ReceivedTelem, app.ListenerInfo, app.ListenerTelem}
	m := app.Message{
		Callsign:       callsigns[n%len(callsigns)],
		Type:           types[n%len(types)],
		TimeCreated:    1_301_774_389 + int64(n),
		TimeUploaded:   1_301_774_390 + int64(n),
		ClientCreated:  -int64(n / 3),
		ClientUploaded: 1 - int64(n),
		Received:       time.UnixMicro(1_301_774_390_123_456 + int64(n)).UTC(),
		Address:        netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}),
		Data:           fmt.Appendf(nil, `{"n":%d,"name":"Å\u0001"}`, n),
	}
	if n%5 == 0 {
		m.Address = netip.Addr{}
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	copy(m.ID[:], sum[:])
	return m
}

// messages returns those from first to last.
func messages(first, last int) []app.Message {
	var batch []app.Message
	for n := first; n <= last; n++ {
		batch = append(batch, message(n))
	}
	return batch
}

// store appends messages first to last as one batch.
func store(t testing.TB, log *sqlite.Store, first, last int) []app.Receipt {
	t.Helper()
	receipts, err := log.Append(messages(first, last))
	require.NoError(t, err)
	return receipts
}

// readAll pages through the log from its beginning.
func readAll(t testing.TB, log interface {
	Read(ctx context.Context, q app.Query) (app.Page, error)
}) []app.Entry {
	t.Helper()
	var all []app.Entry
	q := app.Query{Limit: 1000}
	for {
		page, err := log.Read(t.Context(), q)
		require.NoError(t, err)
		if page.Next == q.After {
			return all
		}
		q.After = page.Next
		all = append(all, page.Entries...)
	}
}

// entries returns what reading messages first to last must give when they were
// stored as seq first to last.
func entries(first, last int) []app.Entry {
	var all []app.Entry
	for n := first; n <= last; n++ {
		all = append(all, app.Entry{Seq: int64(n), Message: message(n)})
	}
	return all
}

// query reads one value through the connection that writes.
func query[T any](t testing.TB, log *sqlite.Store, text string) (value T) {
	t.Helper()
	require.NoError(t, log.Query(text, &value), text)
	return value
}

// shell does to the store what an operator with a shell could.
func shell(t testing.TB, log *sqlite.Store, text string) {
	t.Helper()
	require.NoError(t, log.Run(text), text)
}
