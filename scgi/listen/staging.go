package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// staging is the folder PATH.new, in which the socket for PATH is made. Only
// this user may enter it, so nobody reaches a socket there that has not got its
// group and mode yet. Held open and locked it also keeps other servers from
// starting on PATH. A crash may leave it behind; the next start takes it over.
type staging struct {
	dir    *os.File
	socket string // the socket's path in it
}

// openStaging makes the folder, or takes over one that was left behind.
func openStaging(ctx context.Context, path string) (*staging, error) {
	name := path + ".new"
	for {
		if err := makeDir(name); err != nil {
			return nil, err
		}
		dir, err := holdDir(name)
		switch {
		case err == nil:
			return newStaging(dir)
		case !errors.Is(err, fs.ErrNotExist): // that is another server which is through
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
}

func makeDir(name string) error {
	err := os.Mkdir(name, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s; make it first", filepath.Dir(name))
	case err != nil:
		return fmt.Errorf("cannot make a socket in %s: %w; this user must have the right to write there", filepath.Dir(name), err)
	}
	return nil
}

func newStaging(dir *os.File) (*staging, error) {
	s := &staging{dir: dir, socket: dir.Name() + "/s"}
	if err := s.clear(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// holdDir opens and locks a folder. It is ErrNotExist when the folder was
// removed before it was locked.
func holdDir(name string) (*os.File, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || !owned(info) {
		return nil, fmt.Errorf("%s is in the way, where the socket is made: no folder of this user; remove it", name)
	}
	dir, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(lock(dir), same(name, dir)); err != nil {
		_ = dir.Close() // it was only read
		return nil, err
	}
	return dir, nil
}

// same is ErrNotExist unless the open folder still has its name.
func same(name string, dir *os.File) error {
	held, err := dir.Stat()
	if err != nil {
		return err
	}
	current, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(held, current) {
		return fs.ErrNotExist
	}
	return nil
}

// listen makes the socket, with its group and mode.
func (s *staging) listen(ctx context.Context, mode fs.FileMode, gid int) (*net.UnixListener, error) {
	var config net.ListenConfig
	inner, err := config.Listen(ctx, "unix", s.bindName())
	if err != nil {
		return nil, err
	}
	l := inner.(*net.UnixListener)
	l.SetUnlinkOnClose(false) // it goes by path, whoever's socket is there
	if err := s.restrict(mode, gid); err != nil {
		_ = l.Close() // nobody has seen it
		return nil, err
	}
	return l, nil
}

func (s *staging) restrict(mode fs.FileMode, gid int) error {
	if gid >= 0 {
		if err := os.Lchown(s.socket, -1, gid); err != nil {
			return fmt.Errorf("option group: %w; only root may give it to a group that it is not a member of", err)
		}
	}
	return os.Chmod(s.socket, mode)
}

// bindName is the socket's path, or when that is too long a shorter one for the
// same place.
func (s *staging) bindName() string {
	if len(s.socket) > maxPath {
		return viaDescriptor(s.dir, "s", s.socket)
	}
	return s.socket
}

// publish gives the socket its path and tells its identity.
func (s *staging) publish(path string) (fs.FileInfo, error) {
	id, err := os.Lstat(s.socket)
	if err != nil {
		return nil, err
	}
	return id, os.Rename(s.socket, path)
}

// clear removes the socket of a start that did not get through.
func (s *staging) clear() error {
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// close removes the folder, then the lock. What cannot be removed the next
// start takes over, so it is no reason not to serve.
func (s *staging) close() {
	_ = s.clear()
	_ = os.Remove(s.dir.Name())
	_ = s.dir.Close()
}
