package sqlite_test

// This file puts a disk under SQLite that fails as it is told to. strace can
// keep a system call from happening, and kill a process; here a call can also
// happen and be reported as failed, happen by half, or be forgotten in a power
// cut because nobody had synced it.

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// outcome is what becomes of the call that a fault is about.
type outcome string

const (
	notDone   outcome = "did not happen"
	halfDone  outcome = "happened by half"
	doneToo   outcome = "happened but was reported failed"
	killed    outcome = "the process was killed"
	powerLost outcome = "the power went"
)

// fault says which call fails: the n-th of its kind, from 1 on.
type fault struct {
	call    string // such as "write -wal"
	n       int
	outcome outcome
	code    int32 // what SQLite is told
}

func (f fault) String() string { return fmt.Sprintf("%s %d: %s, %d", f.call, f.n, f.outcome, f.code) }

// disk keeps what a power cut would leave of one store.
type disk struct {
	path string

	mu    sync.Mutex // guards what follows; held during each call
	fault fault
	calls map[string]int // how many there were of each kind
	dead  bool           // the process was killed or the power went: nothing happens any more
	lossy bool           // a sync was reported as failed
	files map[string]*contents
}

// contents are those of one file. What is written is seen by everybody at once,
// but only what was synced after it is on the disk. After a failed sync nothing
// brings there what was written before, as on Linux: the next sync succeeds
// without it.
type contents struct {
	exists  bool
	current []byte
	synced  []byte
	pending []change // since the last sync
}

// change is one write, or a cut to so many bytes when there is no data.
type change struct {
	at   int64
	data []byte
}

func (c change) apply(b []byte) []byte {
	end := c.at + int64(len(c.data))
	if c.data == nil || end > int64(len(b)) {
		b = append(b[:min(int64(len(b)), end)], make([]byte, max(0, end-int64(len(b))))...)
	}
	copy(b[c.at:], c.data)
	return b
}

func (c *contents) change(done change) {
	c.current = done.apply(c.current)
	c.pending = append(c.pending, done)
}

func (c *contents) sync() {
	for _, done := range c.pending {
		c.synced = done.apply(c.synced)
	}
	c.pending = nil
}

var disks struct {
	sync.Mutex
	byPath map[string]*disk
	files  map[uintptr]*openFile // by where SQLite has it
	copies map[uintptr]uintptr   // of the tables of methods
	vfs    uintptr               // what is under ours
}

// openFile is a file of a disk that SQLite has open.
type openFile struct {
	disk    *disk
	suffix  string // of its name: "" or "-wal"
	methods *sqlite3.Tsqlite3_io_methods
}

// newDisk makes a disk with these files, by suffix, all of it synced.
func newDisk(t testing.TB, files map[string][]byte) *disk {
	t.Helper()
	registerDisks(t)
	d := &disk{path: newPath(t), calls: map[string]int{}, files: map[string]*contents{}}
	for _, suffix := range []string{"", "-wal"} {
		c := &contents{}
		if b, ok := files[suffix]; ok {
			c.exists, c.current, c.synced = true, b, append([]byte{}, b...)
			require.NoError(t, os.WriteFile(d.path+suffix, b, 0o600))
			require.NoError(t, os.Chtimes(d.path+suffix, longAgo, longAgo))
		}
		d.files[suffix] = c
	}
	disks.Lock()
	defer disks.Unlock()
	disks.byPath[d.path] = d
	t.Cleanup(d.remove)
	return d
}

// longAgo is when nothing is written.
var longAgo = time.Unix(1, 0)

// opened notices that the write-ahead log was written while the store was
// opened, and not by SQLite: then it was written whole, and synced. That this
// is so TestOpenDiskFull sees in the system calls.
func (d *disk) opened(t testing.TB) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.path + "-wal")
	require.NoError(t, err)
	if c := d.files["-wal"]; d.calls["write -wal"] == 0 && !info.ModTime().Equal(longAgo) {
		c.synced, c.pending = append([]byte{}, c.current...), nil
	}
}

func (d *disk) remove() {
	disks.Lock()
	defer disks.Unlock()
	delete(disks.byPath, d.path)
}

// afterKill is the disk as the next process finds it when this one has gone:
// also what is not synced is there, and no safer than before.
func (d *disk) afterKill(t testing.TB) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	for suffix, c := range d.files {
		if c.exists {
			files[suffix] = append([]byte{}, c.current...)
		}
	}
	next := newDisk(t, files)
	for suffix, c := range d.files {
		next.files[suffix].synced = append([]byte{}, c.synced...)
		next.files[suffix].pending = append([]change{}, c.pending...)
	}
	return next
}

// afterPowerCut is the disk with some of what was not synced, in any order.
func (d *disk) afterPowerCut(t testing.TB, random *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	for suffix, c := range d.files {
		if !c.exists {
			continue
		}
		left := append([]byte{}, c.synced...)
		for _, i := range random.Perm(len(c.pending)) {
			if random.IntN(2) == 0 {
				left = c.pending[i].apply(left)
			}
		}
		files[suffix] = left
	}
	return newDisk(t, files)
}

// do lets a call happen, or the fault. half does what happens of it by half.
func (d *disk) do(call string, all, half func() int32) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return sqlite3.SQLITE_IOERR
	}
	if d.calls[call]++; call != d.fault.call || d.calls[call] != d.fault.n {
		return all()
	}
	switch d.fault.outcome {
	case halfDone:
		half()
	case doneToo:
		all()
	case killed, powerLost:
		d.dead = true
	}
	return d.fault.code
}

// registerDisks makes what is above SQLite's default from now on. Files that
// are on no such disk are left alone.
func registerDisks(t testing.TB) {
	disks.Lock()
	defer disks.Unlock()
	if disks.vfs != 0 {
		return
	}
	disks.byPath, disks.files, disks.copies = map[string]*disk{}, map[uintptr]*openFile{}, map[uintptr]uintptr{}
	tls := libc.NewTLS()
	disks.vfs = sqlite3.Xsqlite3_vfs_find(tls, 0)
	ours := sqlite3.Xsqlite3_malloc(tls, int32(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	name, err := libc.CString("faulty")
	require.NoError(t, err)
	v := at[sqlite3.Tsqlite3_vfs](ours)
	*v = *at[sqlite3.Tsqlite3_vfs](disks.vfs)
	v.FzName, v.FxOpen, v.FxDelete = name, pointer(&hooks.open), pointer(&hooks.delete)
	require.Zero(t, sqlite3.Xsqlite3_vfs_register(tls, ours, 1))
}

// at is what SQLite has at p, in its own memory.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// pointer is a function as SQLite calls it, and function the other way round.
func pointer[F any](f *F) uintptr { return *(*uintptr)(unsafe.Pointer(f)) }

func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

type (
	openFunc     = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	deleteFunc   = func(tls *libc.TLS, vfs, name uintptr, syncFolder int32) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
	transferFunc = func(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
	shmMapFunc   = func(tls *libc.TLS, file uintptr, region, size, extend int32, mapped uintptr) int32
	shmLockFunc  = func(tls *libc.TLS, file uintptr, offset, n, flags int32) int32
)

// hooks are the calls that come through here, as https://sqlite.org/c3ref/vfs.html
// and io_methods.html there define them.
var hooks struct {
	open        openFunc
	delete      deleteFunc
	close       closeFunc
	read, write transferFunc
	truncate    truncateFunc
	sync        syncFunc
	shmMap      shmMapFunc
	shmLock     shmLockFunc
}

func init() {
	hooks.open, hooks.delete, hooks.close = hookOpen, hookDelete, hookClose
	hooks.read, hooks.write, hooks.truncate, hooks.sync = hookRead, hookWrite, hookTruncate, hookSync
	hooks.shmMap, hooks.shmLock = hookShmMap, hookShmLock
}

// diskOf finds the disk that a file is on, nil when it is on none.
func diskOf(name uintptr) (d *disk, suffix string) {
	if name == 0 {
		return nil, ""
	}
	path := libc.GoString(name)
	suffix = ""
	if base, ok := strings.CutSuffix(path, "-wal"); ok {
		path, suffix = base, "-wal"
	}
	disks.Lock()
	defer disks.Unlock()
	return disks.byPath[path], suffix
}

func hookOpen(tls *libc.TLS, _, name, file uintptr, flags int32, outFlags uintptr) int32 {
	d, suffix := diskOf(name)
	open := function[openFunc](at[sqlite3.Tsqlite3_vfs](disks.vfs).FxOpen)
	if d == nil {
		return open(tls, disks.vfs, name, file, flags, outFlags)
	}
	all := func() int32 {
		rc := open(tls, disks.vfs, name, file, flags, outFlags)
		if rc == sqlite3.SQLITE_OK {
			d.files[suffix].exists = true
		}
		return rc
	}
	if rc := d.do("open "+suffix, all, all); rc != sqlite3.SQLITE_OK {
		return rc
	}
	disks.Lock()
	defer disks.Unlock()
	methods := &at[sqlite3.Tsqlite3_file](file).FpMethods
	disks.files[file] = &openFile{d, suffix, at[sqlite3.Tsqlite3_io_methods](*methods)}
	*methods = hooked(tls, *methods)
	return sqlite3.SQLITE_OK
}

// hooked is a copy of a table of methods with ours in it. disks is locked.
func hooked(tls *libc.TLS, methods uintptr) uintptr {
	if ours, ok := disks.copies[methods]; ok {
		return ours
	}
	ours := sqlite3.Xsqlite3_malloc(tls, int32(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	m := at[sqlite3.Tsqlite3_io_methods](ours)
	*m = *at[sqlite3.Tsqlite3_io_methods](methods)
	m.FxClose, m.FxRead, m.FxWrite = pointer(&hooks.close), pointer(&hooks.read), pointer(&hooks.write)
	m.FxTruncate, m.FxSync = pointer(&hooks.truncate), pointer(&hooks.sync)
	m.FxShmMap, m.FxShmLock = pointer(&hooks.shmMap), pointer(&hooks.shmLock)
	disks.copies[methods] = ours
	return ours
}

func fileAt(file uintptr) *openFile {
	disks.Lock()
	defer disks.Unlock()
	return disks.files[file]
}

func hookDelete(tls *libc.TLS, _, name uintptr, syncFolder int32) int32 {
	remove := function[deleteFunc](at[sqlite3.Tsqlite3_vfs](disks.vfs).FxDelete)
	d, suffix := diskOf(name)
	all := func() int32 { return remove(tls, disks.vfs, name, syncFolder) }
	if d == nil {
		return all()
	}
	return d.do("delete "+suffix, func() int32 {
		*d.files[suffix] = contents{}
		return all()
	}, all)
}

func hookClose(tls *libc.TLS, file uintptr) int32 {
	f := fileAt(file)
	rc := function[closeFunc](f.methods.FxClose)(tls, file)
	disks.Lock()
	defer disks.Unlock()
	delete(disks.files, file)
	return rc
}

func hookRead(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	f := fileAt(file)
	all := func() int32 { return function[transferFunc](f.methods.FxRead)(tls, file, buffer, n, offset) }
	return f.disk.do("read "+f.suffix, all, all)
}

func hookWrite(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	f := fileAt(file)
	some := func(n int32) func() int32 {
		return func() int32 {
			data := append([]byte{}, libc.GoBytes(buffer, int(n))...)
			f.disk.files[f.suffix].change(change{offset, data})
			return function[transferFunc](f.methods.FxWrite)(tls, file, buffer, n, offset)
		}
	}
	return f.disk.do("write "+f.suffix, some(n), some(n/2))
}

func hookTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	f := fileAt(file)
	all := func() int32 {
		f.disk.files[f.suffix].change(change{size, nil})
		return function[truncateFunc](f.methods.FxTruncate)(tls, file, size)
	}
	return f.disk.do("truncate "+f.suffix, all, all)
}

// hookSync forgets, when a sync fails by half or whole, what it should have
// brought to the disk.
func hookSync(_ *libc.TLS, file uintptr, _ int32) int32 {
	f := fileAt(file)
	c := f.disk.files[f.suffix]
	half := func() int32 {
		c.pending = c.pending[:len(c.pending)/2]
		c.sync()
		return 0
	}
	rc := f.disk.do("sync "+f.suffix, func() int32 {
		c.sync() // and no more: the true disk would only take time
		return sqlite3.SQLITE_OK
	}, half)
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if rc != sqlite3.SQLITE_OK && !f.disk.dead {
		c.pending, f.disk.lossy = nil, true
	}
	return rc
}

func hookShmMap(tls *libc.TLS, file uintptr, region, size, extend int32, mapped uintptr) int32 {
	f := fileAt(file)
	all := func() int32 {
		return function[shmMapFunc](f.methods.FxShmMap)(tls, file, region, size, extend, mapped)
	}
	return f.disk.do("map -shm", all, all)
}

func hookShmLock(tls *libc.TLS, file uintptr, offset, n, flags int32) int32 {
	f := fileAt(file)
	all := func() int32 {
		return function[shmLockFunc](f.methods.FxShmLock)(tls, file, offset, n, flags)
	}
	if flags&sqlite3.SQLITE_SHM_UNLOCK != 0 {
		return all()
	}
	return f.disk.do("lock -shm", all, all)
}
