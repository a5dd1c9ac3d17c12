package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// This file and interrupt.go, and no other, call SQLite's C interface: for the one
// connection that writes, where database/sql and its driver would take a third of
// what a message costs. Those make an interface value of every argument, allocate C
// memory for every text and free it, and lock at every call of SQLite's.

// connection is one to a file. Nothing locks here (SQLITE_OPEN_NOMUTEX): whoever
// uses it has it to himself.
type connection struct {
	db  uintptr // sqlite3*
	tls *libc.TLS
	// memory is what SQLite is given pointers into. It does not come from Go's
	// heap, to which only Go may point as it likes.
	memory []byte
}

// connect opens the file at path, which must be there.
func connect(path string) (*connection, error) {
	c := &connection{tls: libc.NewTLS()}
	if err := c.open(path); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *connection) open(path string) error {
	const handle = 8 // where SQLite puts the pointer, before path
	if err := c.reserve(max(1<<16, handle+len(path)+1)); err != nil {
		return err
	}
	copy(c.memory[handle:], path+"\x00")
	code := sqlite3.Xsqlite3_open_v2(c.tls, c.at(handle), c.at(0),
		sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_NOMUTEX|sqlite3.SQLITE_OPEN_EXRESCODE, 0)
	c.db = *(*uintptr)(unsafe.Pointer(&c.memory[0])) // also with an error
	if err := c.result(code); err != nil {
		return err
	}
	return c.setBusyTimeout(busyTimeout)
}

// setBusyTimeout sets for how many milliseconds a lock is waited for.
func (c *connection) setBusyTimeout(d time.Duration) error {
	return c.result(sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, int32(d.Milliseconds())))
}

// close closes the connection, of which no statement may be left. The last one
// of a store to be closed copies the write-ahead log back and removes it.
func (c *connection) close() error {
	err := c.result(sqlite3.Xsqlite3_close(c.tls, c.db))
	if c.memory != nil {
		err = errors.Join(err, syscall.Munmap(c.memory))
	}
	c.tls.Close()
	return err
}

// reserve makes room for n bytes. What was there is gone then.
func (c *connection) reserve(n int) error {
	if n <= len(c.memory) {
		return nil
	}
	larger, err := syscall.Mmap(-1, 0, max(n, 2*len(c.memory)),
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("getting memory: %w", err)
	}
	if c.memory != nil {
		err = syscall.Munmap(c.memory)
	}
	c.memory = larger
	return err
}

// at returns the address of a byte of memory.
func (c *connection) at(i int) uintptr { return uintptr(unsafe.Pointer(&c.memory[i])) }

// result returns the error that a result code stands for.
func (c *connection) result(code int32) error {
	if code == sqlite3.SQLITE_OK {
		return nil
	}
	text := libc.GoString(sqlite3.Xsqlite3_errstr(c.tls, code))
	if c.db != 0 && sqlite3.Xsqlite3_extended_errcode(c.tls, c.db) == code {
		text = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return &resultError{int(code), text}
}

// resultError is an error of SQLite's, as the driver's *Error is.
type resultError struct {
	code int
	text string
}

func (e *resultError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

// Code returns the extended result code.
func (e *resultError) Code() int { return e.code }

// checkpointResult is the state of the write-ahead log after a checkpoint.
type checkpointResult struct {
	pages  int  // in the log
	copied int  // of them, to the file
	busy   bool // a reader kept the checkpoint from doing all of its work
}

// walCheckpoint copies the write-ahead log back, or with SQLITE_CHECKPOINT_NOOP
// does nothing.
func (c *connection) walCheckpoint(mode int32) (checkpointResult, error) {
	copy(c.memory[8:], "main\x00")
	code := sqlite3.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, c.at(8), mode, c.at(0), c.at(4))
	busy := code&0xff == sqlite3.SQLITE_BUSY
	if busy {
		code = sqlite3.SQLITE_OK
	}
	words := (*[2]int32)(unsafe.Pointer(&c.memory[0]))
	return checkpointResult{int(words[0]), int(words[1]), busy}, c.result(code)
}

// written returns how many pages the connection has written to the write-ahead
// log since it was last asked.
func (c *connection) written() (pages int, err error) {
	code := sqlite3.Xsqlite3_db_status(c.tls, c.db, sqlite3.SQLITE_DBSTATUS_CACHE_WRITE, c.at(0), c.at(4), 1)
	return int(*(*int32)(unsafe.Pointer(&c.memory[0]))), c.result(code)
}

// changed returns how many rows the last INSERT, UPDATE or DELETE changed.
func (c *connection) changed() int { return int(sqlite3.Xsqlite3_changes(c.tls, c.db)) }

// inserted returns the rowid that the last INSERT gave.
func (c *connection) inserted() int64 { return sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db) }

// script runs statements that have no arguments, up to the first that fails.
func (c *connection) script(text string) error {
	if err := c.reserve(len(text) + 1); err != nil {
		return err
	}
	copy(c.memory, text+"\x00")
	return c.result(sqlite3.Xsqlite3_exec(c.tls, c.db, c.at(0), 0, 0, 0))
}

// run runs a statement that is too rare to be kept prepared.
func (c *connection) run(text string, args ...any) error {
	return c.each(text, args, func(*statement) bool { return true })
}

// queryRow implements queryer.
func (c *connection) queryRow(_ context.Context, text string, args []any, to ...any) error {
	found := errors.New("no row")
	err := c.each(text, args, func(s *statement) bool {
		found = s.scan(to)
		return false
	})
	return cmp.Or(err, found)
}

// each shows the rows of a statement that is too rare to be kept prepared, until
// see wants no more, which must run no other.
func (c *connection) each(text string, args []any, see func(*statement) (more bool)) error {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	return errors.Join(s.each(args, see), s.close())
}

// statement is one that is prepared.
type statement struct {
	c *connection
	p uintptr // sqlite3_stmt*
}

func (c *connection) prepare(text string) (*statement, error) {
	const pointer = 8 // where SQLite puts the statement's
	if err := c.reserve(pointer + len(text)); err != nil {
		return nil, err
	}
	copy(c.memory[pointer:], text)
	code := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, c.at(pointer), int32(len(text)),
		sqlite3.SQLITE_PREPARE_PERSISTENT, c.at(0), 0)
	if err := c.result(code); err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	return &statement{c, *(*uintptr)(unsafe.Pointer(&c.memory[0]))}, nil
}

func (s *statement) close() error { return s.c.result(sqlite3.Xsqlite3_finalize(s.c.tls, s.p)) }

// text is an argument that is bound as a string is, without being copied to
// one.
type text []byte

// run runs the statement. Arguments are int64, string, text, []byte and nil.
func (s *statement) run(args ...any) error {
	if err := s.bind(args); err != nil {
		return err
	}
	return s.execute()
}

// execute runs the statement with the arguments that are bound.
func (s *statement) execute() error {
	_, err := s.step()
	return s.reset(err)
}

// first returns what stands in the first row, integers all of it, if there is
// one.
func (s *statement) first(args ...any) (row [2]int64, found bool, err error) {
	if err := s.bind(args); err != nil {
		return row, false, err
	}
	if found, err = s.step(); found {
		for i := range min(len(row), s.columns()) {
			row[i] = s.int64(i)
		}
	}
	return row, found, s.reset(err)
}

// each shows the rows until see wants no more.
func (s *statement) each(args []any, see func(*statement) (more bool)) error {
	if err := s.bind(args); err != nil {
		return err
	}
	for {
		found, err := s.step()
		if !found || !see(s) {
			return s.reset(err)
		}
	}
}

func (s *statement) step() (row bool, err error) {
	switch code := sqlite3.Xsqlite3_step(s.c.tls, s.p); code {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.result(code)
	}
}

// reset makes the statement ready for the next time. What it would say, err
// says.
func (s *statement) reset(err error) error {
	code := sqlite3.Xsqlite3_reset(s.c.tls, s.p)
	if err != nil {
		return err
	}
	return s.c.result(code)
}

func (s *statement) columns() int { return int(sqlite3.Xsqlite3_column_count(s.c.tls, s.p)) }

func (s *statement) int64(column int) int64 {
	return sqlite3.Xsqlite3_column_int64(s.c.tls, s.p, int32(column))
}

// bytes returns a text or blob where SQLite has it: until the next step, to be
// copied by whoever keeps it.
func (s *statement) bytes(column int) []byte {
	p := sqlite3.Xsqlite3_column_blob(s.c.tls, s.p, int32(column))
	return libc.GoBytes(p, int(sqlite3.Xsqlite3_column_bytes(s.c.tls, s.p, int32(column))))
}

// scan copies the columns of the row to *int, *int64, *bool and *string.
func (s *statement) scan(to []any) error {
	for i, to := range to {
		switch to := to.(type) {
		case *int:
			*to = int(s.int64(i))
		case *int64:
			*to = s.int64(i)
		case *bool:
			*to = s.int64(i) != 0
		case *string:
			*to = string(s.bytes(i))
		default:
			return fmt.Errorf("column %d: scanning to a %T", i, to)
		}
	}
	return nil
}

// bind binds the arguments.
func (s *statement) bind(args []any) error {
	b, err := s.binder(length(args))
	if err != nil {
		return err
	}
	for _, arg := range args {
		switch v := arg.(type) {
		case nil:
			b.null()
		case int64:
			b.int64(v)
		case string:
			bindText(&b, v)
		case text:
			bindText(&b, v)
		case []byte:
			b.blob(v)
		default:
			b.note(sqlite3.SQLITE_MISUSE) // to say what it is would make every argument escape
		}
	}
	return b.err()
}

// length returns how many bytes the arguments take.
func length(args []any) (n int) {
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			n += len(v)
		case text:
			n += len(v)
		case []byte:
			n += len(v)
		}
	}
	return n
}

// binder binds a statement's arguments, one after the other. Texts and blobs are
// copied to memory, where they stay until some are bound again: a statement that
// is not running does not look at its arguments.
type binder struct {
	s    *statement
	n    int32 // bound so far
	used int   // of memory
	code int32 // of the first that could not be
}

// binder makes one for texts and blobs of so many bytes together.
func (s *statement) binder(size int) (binder, error) {
	return binder{s: s}, s.c.reserve(size + 1)
}

func (b *binder) null() {
	b.n++
	b.note(sqlite3.Xsqlite3_bind_null(b.s.c.tls, b.s.p, b.n))
}

func (b *binder) int64(v int64) {
	b.n++
	b.note(sqlite3.Xsqlite3_bind_int64(b.s.c.tls, b.s.p, b.n, v))
}

func (b *binder) blob(v []byte) {
	b.n++
	b.note(sqlite3.Xsqlite3_bind_blob(b.s.c.tls, b.s.p, b.n, b.s.c.at(b.used), int32(copy(b.s.c.memory[b.used:], v)), 0))
	b.used += len(v)
}

func bindText[T string | text](b *binder, v T) {
	b.n++
	b.note(sqlite3.Xsqlite3_bind_text(b.s.c.tls, b.s.p, b.n, b.s.c.at(b.used), int32(copy(b.s.c.memory[b.used:], v)), 0))
	b.used += len(v)
}

func (b *binder) note(code int32) {
	if b.code == sqlite3.SQLITE_OK {
		b.code = code
	}
}

func (b *binder) err() error {
	if err := b.s.c.result(b.code); err != nil {
		return fmt.Errorf("binding %d arguments: %w", b.n, err)
	}
	return nil
}
