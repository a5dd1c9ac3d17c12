package sqlite

import (
	"errors"
	"io/fs"
	"net/url"
	"os"

	"modernc.org/sqlite/vfs"
)

// This file reads a store that nobody writes to, and leaves nothing behind.
//
// SQLite's own way of reading makes FILE-shm, takes locks and, being the last to
// go, may remove FILE-wal. This one can do none of it: it goes through a file
// system that only reads. The write-ahead log, which holds messages after a
// kill, is found out about in memory, as EXCLUSIVE locking does it.
//
// Without locks nothing keeps a writer out, so whoever reads so compares the
// store's traces before and after, and believes what he read only if they are
// the same.

// resting is a Reader of a store at rest.
type resting struct {
	*Reader
	files *vfs.FS
}

func openResting(path string) (*resting, error) {
	name, files, err := vfs.New(hostFiles{})
	if err != nil {
		return nil, err
	}
	settings := url.Values{"mode": {"ro"}, "vfs": {name}}
	left, err := leftover(path)
	switch {
	case err != nil:
	case left == path+"-wal":
		settings.Set("_pragma", "locking_mode(EXCLUSIVE)")
	case left == "": // then it would be an error that there is no log to open
		settings.Set("immutable", "1")
	default: // a journal, which only writing undoes
		err = errDisturbed
	}
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	r, err := openReader(dsn(path, settings), 1)
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return &resting{r, files}, nil
}

func (r *resting) Close() error { return errors.Join(r.Reader.Close(), r.files.Close()) }

// hostFiles are all the files there are, by the names that SQLite has for them.
// os.DirFS would want them relative to one folder.
type hostFiles struct{}

func (hostFiles) Open(name string) (fs.File, error) { return os.Open(name) }

// traces are what any writing to a store leaves: file and log are others than
// before, longer, or younger. What could pass unseen is one that changes no size,
// in the same tick of the file system's clock (some ms) as the first look.
type traces [2]fs.FileInfo

func tracesOf(path string) (t traces, err error) {
	for i, suffix := range []string{"", "-wal"} {
		t[i], err = os.Stat(path + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
	}
	return t, nil
}

func (t traces) equal(other traces) bool {
	return sameState(t[0], other[0]) && sameState(t[1], other[1])
}

func sameState(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
