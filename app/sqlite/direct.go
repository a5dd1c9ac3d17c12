package sqlite

import (
	"database/sql"
	"fmt"
	"reflect"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// This file, and no other, calls SQLite's C interface: for what every batch
// does, where database/sql and its driver would take a third of the CPU. They
// cost 3 us a message, since they make an interface value of every argument,
// allocate C memory for every text and free it, and lock several times.
//
// The connection is the one that database/sql has open, and all else goes
// through that, in between or in the same transaction: the settings are the
// same and there is one page cache. Nothing locks here. Whoever uses it has the
// connection to himself.

// direct is the way to SQLite past the driver.
type direct struct {
	db  uintptr // sqlite3*
	tls *libc.TLS
	// memory is what SQLite is given pointers into. It does not come from Go's
	// heap, to which only Go may point as it likes.
	memory []byte
}

// directly finds the way. The driver does not show what it calls SQLite with,
// so a later version of it may need another way to get there.
func directly(conn *sql.Conn) (*direct, error) {
	d := &direct{}
	err := conn.Raw(func(c any) error {
		v := reflect.Indirect(reflect.ValueOf(c))
		db, tls := v.FieldByName("db"), v.FieldByName("tls")
		if !db.IsValid() || db.Kind() != reflect.Uintptr || !tls.IsValid() || tls.Type() != reflect.TypeFor[*libc.TLS]() {
			return fmt.Errorf("modernc.org/sqlite: %T is not made as it was in v1.61", c)
		}
		d.db, d.tls = uintptr(db.Uint()), (*libc.TLS)(tls.UnsafePointer())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, d.reserve(1 << 16)
}

// reserve makes room for n bytes. What was bound is gone then.
func (d *direct) reserve(n int) error {
	if n <= len(d.memory) {
		return nil
	}
	larger, err := syscall.Mmap(-1, 0, max(n, 2*len(d.memory)),
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("getting memory: %w", err)
	}
	err = d.close()
	d.memory = larger
	return err
}

func (d *direct) close() error {
	if d.memory == nil {
		return nil
	}
	err := syscall.Munmap(d.memory)
	d.memory = nil
	return err
}

// at returns the address of a byte of memory.
func (d *direct) at(i int) uintptr { return uintptr(unsafe.Pointer(&d.memory[i])) }

// result returns the error that a result code stands for.
func (d *direct) result(code int32) error {
	if code == sqlite3.SQLITE_OK {
		return nil
	}
	text := libc.GoString(sqlite3.Xsqlite3_errstr(d.tls, code))
	if sqlite3.Xsqlite3_extended_errcode(d.tls, d.db) == code {
		text = libc.GoString(sqlite3.Xsqlite3_errmsg(d.tls, d.db))
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

// walCheckpoint copies the write-ahead log back, or with SQLITE_CHECKPOINT_NOOP
// does nothing, and returns how many pages there are in it, and how many of
// them are copied.
func (d *direct) walCheckpoint(mode int32) (pages, copied int, err error) {
	copy(d.memory[8:], "main\x00")
	code := sqlite3.Xsqlite3_wal_checkpoint_v2(d.tls, d.db, d.at(8), mode, d.at(0), d.at(4))
	if code&0xff == sqlite3.SQLITE_BUSY { // a reader holds some of it up
		code = sqlite3.SQLITE_OK
	}
	words := (*[2]int32)(unsafe.Pointer(&d.memory[0]))
	return int(words[0]), int(words[1]), d.result(code)
}

// written returns how many pages the connection has written to the write-ahead
// log since it was last asked.
func (d *direct) written() (pages int, err error) {
	code := sqlite3.Xsqlite3_db_status(d.tls, d.db, sqlite3.SQLITE_DBSTATUS_CACHE_WRITE, d.at(0), d.at(4), 1)
	return int(*(*int32)(unsafe.Pointer(&d.memory[0]))), d.result(code)
}

// statement is one that is kept prepared.
type statement struct {
	d *direct
	p uintptr // sqlite3_stmt*
}

func (d *direct) prepare(text string) (*statement, error) {
	const pointer = 8 // where SQLite puts the statement's
	if err := d.reserve(pointer + len(text)); err != nil {
		return nil, err
	}
	copy(d.memory[pointer:], text)
	code := sqlite3.Xsqlite3_prepare_v3(d.tls, d.db, d.at(pointer), int32(len(text)),
		sqlite3.SQLITE_PREPARE_PERSISTENT, d.at(0), 0)
	if err := d.result(code); err != nil {
		return nil, fmt.Errorf("preparing %q: %w", text, err)
	}
	return &statement{d, *(*uintptr)(unsafe.Pointer(&d.memory[0]))}, nil
}

func (s *statement) close() error { return s.d.result(sqlite3.Xsqlite3_finalize(s.d.tls, s.p)) }

// text is an argument that is bound as a string is, without being copied to
// one.
type text []byte

// run runs the statement to its end. Arguments are int64, string, text, []byte
// and nil.
func (s *statement) run(args ...any) error {
	if err := s.bind(args); err != nil {
		return err
	}
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
		for i := range min(int32(len(row)), sqlite3.Xsqlite3_column_count(s.d.tls, s.p)) {
			row[i] = sqlite3.Xsqlite3_column_int64(s.d.tls, s.p, i)
		}
	}
	return row, found, s.reset(err)
}

func (s *statement) step() (row bool, err error) {
	switch code := sqlite3.Xsqlite3_step(s.d.tls, s.p); code {
	case sqlite3.SQLITE_ROW:
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.d.result(code)
	}
}

// reset makes the statement ready for the next time. What it would say, err
// says.
func (s *statement) reset(err error) error {
	code := sqlite3.Xsqlite3_reset(s.d.tls, s.p)
	if err != nil {
		return err
	}
	return s.d.result(code)
}

// bind sets the arguments. Texts and blobs are copied to memory, where they
// stay until some are bound again: a statement that is not running does not
// look at its arguments.
func (s *statement) bind(args []any) error {
	if err := s.d.reserve(1 + length(args)); err != nil {
		return err
	}
	used := 0
	for n, arg := range args {
		code, i := int32(sqlite3.SQLITE_MISUSE), int32(n+1)
		switch v := arg.(type) {
		case nil:
			code = sqlite3.Xsqlite3_bind_null(s.d.tls, s.p, i)
		case int64:
			code = sqlite3.Xsqlite3_bind_int64(s.d.tls, s.p, i, v)
		case string:
			code = sqlite3.Xsqlite3_bind_text(s.d.tls, s.p, i, s.d.at(used), int32(copy(s.d.memory[used:], v)), 0)
			used += len(v)
		case text:
			code = sqlite3.Xsqlite3_bind_text(s.d.tls, s.p, i, s.d.at(used), int32(copy(s.d.memory[used:], v)), 0)
			used += len(v)
		case []byte:
			code = sqlite3.Xsqlite3_bind_blob(s.d.tls, s.p, i, s.d.at(used), int32(copy(s.d.memory[used:], v)), 0)
			used += len(v)
		}
		if err := s.d.result(code); err != nil {
			return fmt.Errorf("argument %d: %w", i, err)
		}
	}
	return nil
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
