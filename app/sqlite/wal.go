package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"syscall"

	"github.com/windsock-scgi/windsock/app"
)

// What is done with a write-ahead log that is found: whether it is the one of the
// file that it lies beside, which SQLite has no means to tell, since what is in
// it that looks whole it applies; and that it is really on the disk.

// leftover returns the name of what SQLite would apply to a store at path, were
// one made there; empty when there is nothing.
func leftover(path string) (string, error) {
	for _, suffix := range []string{"-wal", "-journal"} {
		info, err := os.Stat(path + suffix)
		if err == nil && info.Size() > 0 {
			return path + suffix, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// refuseLeftover returns an error when there is one.
func refuseLeftover(leftover string) error {
	if leftover == "" {
		return nil
	}
	return fmt.Errorf("there is no store, but %s is left of one, and may hold messages:"+
		" put the store's file back, or move this one away too", leftover)
}

// checkWAL refuses the store at path when the write-ahead log beside it is
// surely another one's, as when a backup was put in the place of the store and
// its log left there. The caller holds the lock, and nothing has the store open
// for writing: closing it would apply the log.
//
// A commit logs each page that it adds, and while the log lasts the file never
// gets shorter than it was when the log began. So a page that the last commit
// counts is in the file or in the log, and where one is in neither the file is
// older than the log. This refuses no good store; a file that has all the pages
// and is older all the same it does not find.
func checkWAL(path string) error {
	f, err := os.Open(path + "-wal") // no lock of SQLite's is on this one
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	w := walReader{r: bufio.NewReaderSize(f, 1<<16)}
	missing, err := w.missing(info.Size())
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	if missing != 0 {
		return fmt.Errorf("%s is not this file's, which is older: page %d is in neither."+
			" Put the file back that it belongs to, or, to go on with this one, move it and %s-shm away",
			f.Name(), missing, path)
	}
	return nil
}

// rewrite writes a write-ahead log once more, as it is and where it is, and
// syncs it. If it was a failed sync that ended the process before, what SQLite
// recovers may be there in memory alone, and no sync brings it to the disk
// unless it is written anew. To copy it into the file would not do: after a
// power cut the part of the log that is on the disk would go over it.
//
// The caller holds the lock, and nothing is being written. No lock of SQLite's
// is on this file.
func rewrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failed("opening the write-ahead log", err)
	}
	defer f.Close() // it is synced
	_, err = io.Copy(io.NewOffsetWriter(f, 0), io.NewSectionReader(f, 0, math.MaxInt64))
	if err == nil {
		err = f.Sync()
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT): // where files are written elsewhere each time
		return fmt.Errorf("writing the write-ahead log anew: %w: %w", app.ErrDiskFull, err)
	case err != nil:
		return failed("writing the write-ahead log anew", err)
	}
	return nil
}

// walReader reads a write-ahead log as https://sqlite.org/fileformat2.html
// describes it, section 4, and as recovery does: as far as it is whole.
type walReader struct {
	r         io.Reader
	bigEndian bool // the words that are summed; all else always is
	s0, s1    uint32
	salts     [8]byte
}

const (
	walMagic       = 0x377f0682 // and 1 more when bigEndian
	walHeaderSize  = 32
	walFrameHeader = 24
	// lockByte is where SQLite locks. The page that holds it is never used.
	lockByte = 1 << 30
)

// missing returns the first page that is neither in the log nor in a file of
// that size, though the last commit in the log counts it; 0 when there is none.
func (w *walReader) missing(size int64) (uint32, error) {
	pageSize, err := w.header()
	if pageSize == 0 || err != nil {
		return 0, err
	}
	have := uint32(size / int64(pageSize))
	logged := map[uint32]bool{}
	last := uint32(0) // what the last commit counts
	frame := make([]byte, walFrameHeader+pageSize)
	for {
		page, count, err := w.next(frame)
		if err != nil {
			return 0, err
		}
		if page == 0 {
			break
		}
		if page > have {
			logged[page] = true
		}
		if count != 0 {
			last = count
		}
	}
	for page := have + 1; page <= last; page++ {
		if !logged[page] && page != uint32(lockByte/pageSize+1) {
			return page, nil
		}
	}
	return 0, nil
}

// header reads the log's header and returns the size of its pages, 0 when it
// has none that counts.
func (w *walReader) header() (pageSize int, err error) {
	var b [walHeaderSize]byte
	if whole, err := w.read(b[:]); !whole {
		return 0, err
	}
	magic := binary.BigEndian.Uint32(b[:])
	w.bigEndian = magic&1 == 1
	pageSize = int(binary.BigEndian.Uint32(b[8:]))
	w.salts = [8]byte(b[16:])
	w.sum(b[:24])
	if magic&^1 != walMagic || !w.summed(b[24:]) ||
		pageSize < 512 || pageSize > 65536 || bits.OnesCount(uint(pageSize)) != 1 {
		return 0, nil
	}
	return pageSize, nil
}

// next reads a frame and returns the page that it holds and, when it ends a
// commit, how many pages there are then. The page is 0 at the log's end.
func (w *walReader) next(frame []byte) (page, count uint32, err error) {
	if whole, err := w.read(frame); !whole {
		return 0, 0, err
	}
	w.sum(frame[:8])
	w.sum(frame[walFrameHeader:])
	if [8]byte(frame[8:]) != w.salts || !w.summed(frame[16:]) {
		return 0, 0, nil
	}
	return binary.BigEndian.Uint32(frame), binary.BigEndian.Uint32(frame[4:]), nil
}

// read fills b, or reports that the log ends before.
func (w *walReader) read(b []byte) (whole bool, err error) {
	_, err = io.ReadFull(w.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return err == nil, err
}

// sum adds b to the checksum, which runs through all of the log.
func (w *walReader) sum(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		x, y := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		if w.bigEndian {
			x, y = bits.ReverseBytes32(x), bits.ReverseBytes32(y)
		}
		w.s0 += x + w.s1
		w.s1 += y + w.s0
	}
}

// summed reports whether b begins with the checksum.
func (w *walReader) summed(b []byte) bool {
	return binary.BigEndian.Uint32(b) == w.s0 && binary.BigEndian.Uint32(b[4:]) == w.s1
}
