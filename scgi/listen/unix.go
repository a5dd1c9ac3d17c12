package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"syscall"
)

func listenUnix(ctx context.Context, a Address) (*Listener, error) {
	gid, err := groupID(a.options.group)
	if err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(a.Address) // the process may change its directory later
	if err != nil {
		return nil, err
	}
	s, err := openStaging(ctx, a.Address)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := vacant(ctx, a.Address); err != nil {
		return nil, err
	}
	inner, err := s.listen(ctx, a.options.socketMode(), gid)
	if err != nil {
		return nil, err
	}
	id, err := s.publish(a.Address)
	if err != nil {
		_ = inner.Close() // nobody has seen it
		return nil, err
	}
	return &Listener{inner: inner, address: a, file: &socketFile{path: absolute, id: id}}, nil
}

// groupID is the number of a group; -1, which changes nothing, for none.
func groupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	text := group
	if _, err := decimal(group, 32); err != nil {
		found, err := user.LookupGroup(group)
		if err != nil {
			return -1, fmt.Errorf("option group: %w", err)
		}
		text = found.Gid
	}
	gid, err := decimal(text, 31)
	if err != nil {
		return -1, fmt.Errorf("option group: %q is no group's number here", text)
	}
	return int(gid), nil
}

// vacant says what keeps the path from being taken: something that is no
// socket, or a socket on which somebody answers.
func vacant(ctx context.Context, path string) error {
	taken, err := socketAt(path)
	if err != nil || !taken {
		return err
	}
	return stale(ctx, path)
}

// socketAt reports whether there is a socket at the path. Something else there is
// an error.
func socketAt(path string) (taken bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != fs.ModeSocket:
		return false, fmt.Errorf("there is something at the path that is no socket (%s); move it away or choose another path", info.Mode())
	}
	return true, nil
}

// stale asks a socket whether anybody answers, by connecting. A server sees a
// peer that goes away without a word, as lighttpd does it too.
func stale(ctx context.Context, path string) error {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close() // it has done its work
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN): // its queue is full, so it has one
	case errors.Is(err, syscall.EPROTOTYPE): // it lives, though it is no stream
	default:
		return fmt.Errorf("cannot tell whether another server answers on it: %w; stop it and remove the file, or choose another path", err)
	}
	return fmt.Errorf("another server answers on it; stop it first or choose another path (%w)", syscall.EADDRINUSE)
}

// socketFile is the file of a socket that this process has made. While the
// socket is open its inode cannot be given to another file.
type socketFile struct {
	path string // absolute

	mu sync.Mutex  // guards what follows
	id fs.FileInfo // device and inode; nil once the file is known not to be ours
}

// remove unlinks the file if it is still ours. Nobody who keeps the rules puts
// a successor there between the look and the unlinking: our socket answers yet.
func (f *socketFile) remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.id == nil {
		return nil
	}
	current, err := os.Lstat(f.path)
	if err == nil && os.SameFile(current, f.id) {
		err = os.Remove(f.path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.id = nil
	return nil
}
