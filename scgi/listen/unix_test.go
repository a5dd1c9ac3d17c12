//go:build unix

package listen_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/listen"
	"github.com/windsock-scgi/windsock/scgi/scgitest/frontend"
)

// socketPath is a path for a socket, in a folder of its own and short enough.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "listen")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	return filepath.Join(dir, "s")
}

// leaveStale leaves the socket of a server that has died.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
}

// names lists a socket's folder.
func names(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	list := []string{}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func TestUnix(t *testing.T) {
	path := socketPath(t)
	l := open(t, "unix:"+path)
	assert.Equal(t, &net.UnixAddr{Net: "unix", Name: path}, l.Addr())
	assert.False(t, l.Inherited())
	assert.Equal(t, []string{"s"}, names(t, path), "nothing but the socket is left")
	c := dial(t, l)
	echo(t, l, c)
	require.NoError(t, l.Close())
	assert.Empty(t, names(t, path))
	assert.ErrorIs(t, l.Close(), net.ErrClosed)
}

func TestUnixStaleIsReplaced(t *testing.T) {
	path := socketPath(t)
	leaveStale(t, path)
	l := open(t, "unix:"+path)
	echo(t, l, dial(t, l))
}

func TestUnixLiveIsRefused(t *testing.T) {
	path := socketPath(t)
	l := open(t, "unix:"+path)
	_, err := listen.Listen(t.Context(), "unix:"+path)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.ErrorContains(t, err, "listen: unix:"+path+": another server answers on it; stop it first or choose another path")
	assert.Equal(t, []string{"s"}, names(t, path))

	accept(t, l) // the question whether it lives
	echo(t, l, dial(t, l))
}

// A server whose queue is full does not take the question, and lives.
func TestUnixLiveWithFullQueueIsRefused(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a full queue looks like nobody")
	}
	path := socketPath(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer syscall.Close(fd)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	require.NoError(t, syscall.Listen(fd, 0))
	for full := false; !full; {
		c, err := net.Dial("unix", path)
		if full = errors.Is(err, syscall.EAGAIN); !full {
			require.NoError(t, err)
			defer c.Close()
		}
	}
	_, err = listen.Listen(t.Context(), "unix:"+path)
	assert.ErrorContains(t, err, "another server answers")
	assert.Equal(t, []string{"s"}, names(t, path))
}

func TestUnixLiveDatagramIsRefused(t *testing.T) {
	path := socketPath(t)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	require.NoError(t, err)
	defer c.Close()
	_, err = listen.Listen(t.Context(), "unix:"+path)
	assert.ErrorContains(t, err, "another server answers")
}

func TestUnixCannotAskIsRefused(t *testing.T) {
	if frontend.AsLesserUser(t) {
		return // root may connect to anything
	}
	path := socketPath(t)
	leaveStale(t, path)
	require.NoError(t, os.Chmod(path, 0))
	_, err := listen.Listen(t.Context(), "unix:"+path)
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorContains(t, err, "cannot tell whether another server answers on it")
	assert.Equal(t, []string{"s"}, names(t, path))
}

func TestUnixFolderNotWritable(t *testing.T) {
	if frontend.AsLesserUser(t) {
		return // root may write anywhere
	}
	path := socketPath(t)
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o500))
	_, err := listen.Listen(t.Context(), "unix:"+path)
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorContains(t, err, "this user must have the right to write there")
}

func TestUnixWhatIsNoSocketStays(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"file":   func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":   func(path string) error { return os.Symlink("/nowhere", path) },
		"fifo":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			require.NoError(t, put(path))
			before, err := os.Lstat(path)
			require.NoError(t, err)
			_, err = listen.Listen(t.Context(), "unix:"+path)
			require.ErrorContains(t, err, "listen: unix:"+path+": there is something at the path that is no socket")
			after, err := os.Lstat(path)
			require.NoError(t, err)
			assert.True(t, os.SameFile(before, after))
			assert.Equal(t, []string{"s"}, names(t, path))
		})
	}
}

func TestUnixNoFolder(t *testing.T) {
	path := filepath.Join(filepath.Dir(socketPath(t)), "none", "s")
	_, err := listen.Listen(t.Context(), "unix:"+path)
	assert.ErrorContains(t, err, "listen: unix:"+path+": there is no folder "+filepath.Dir(path)+"; make it first")
}

func TestUnixMode(t *testing.T) {
	gid := strconv.Itoa(os.Getgid())
	for _, umask := range []int{0, 0o022, 0o077} {
		for options, want := range map[string]fs.FileMode{
			"":                        0o600,
			"?group=" + gid:           0o660,
			"?mode=0666":              0o666,
			"?mode=0620&group=" + gid: 0o620,
			"?mode=777":               0o777,
		} {
			path := socketPath(t)
			old := syscall.Umask(umask)
			l, err := listen.Listen(t.Context(), "unix:"+path+options)
			syscall.Umask(old)
			require.NoError(t, err)
			defer l.Close()
			info, err := os.Lstat(path)
			require.NoError(t, err)
			assert.Equal(t, want, info.Mode().Perm(), "umask %04o, %s", umask, options)
		}
	}
}

func TestUnixGroup(t *testing.T) {
	gid := os.Getgid()
	if os.Geteuid() == 0 {
		gid = 4242
	}
	path := socketPath(t)
	open(t, "unix:"+path+"?group="+strconv.Itoa(gid))
	assert.Equal(t, gid, groupOf(t, path))

	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	require.NoError(t, err)
	open(t, "unix:"+path+"2?group="+group.Name)
	assert.Equal(t, os.Getgid(), groupOf(t, path+"2"))
}

func groupOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return int(info.Sys().(*syscall.Stat_t).Gid)
}

func TestUnixUnknownGroup(t *testing.T) {
	for _, group := range []string{"no-such-group-here", "4294967295", "99999999999"} {
		path := socketPath(t)
		_, err := listen.Listen(t.Context(), "unix:"+path+"?group="+group)
		assert.ErrorContains(t, err, "option group", group)
		assert.Empty(t, names(t, path))
	}
}

func TestUnixForeignGroup(t *testing.T) {
	if frontend.AsLesserUser(t) {
		return // root may give to any group
	}
	path := socketPath(t)
	_, err := listen.Listen(t.Context(), "unix:"+path+"?group=0")
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Empty(t, names(t, path))
}

func TestUnixPathLengths(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	for length := listen.MaxPath - 8; length <= listen.MaxPath; length++ {
		if length+len(".new/s") > listen.MaxPath && runtime.GOOS != "linux" {
			break
		}
		path := dir + "/" + strings.Repeat("a", length-len(dir)-1)
		l := open(t, "unix:"+path)
		echo(t, l, dial(t, l))
		require.NoError(t, l.Close())
	}
	_, err := listen.Listen(t.Context(), "unix:"+dir+"/"+strings.Repeat("a", listen.MaxPath-len(dir)))
	assert.ErrorContains(t, err, "the path has "+strconv.Itoa(listen.MaxPath+1)+" bytes")
}

func TestUnixRelativePath(t *testing.T) {
	path := socketPath(t)
	t.Chdir(filepath.Dir(path))
	l := open(t, "unix:s")
	echo(t, l, dial(t, l))
	t.Chdir("/")
	require.NoError(t, l.Close())
	assert.Empty(t, names(t, path))
}

func TestUnixCloseLeavesSuccessor(t *testing.T) {
	path := socketPath(t)
	old := open(t, "unix:"+path)
	require.NoError(t, os.Remove(path))
	successor := open(t, "unix:"+path)
	require.NoError(t, old.MoveAside())
	require.NoError(t, old.Close())
	echo(t, successor, dial(t, successor))

	file := socketPath(t)
	l := open(t, "unix:"+file)
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, l.Close())
	assert.FileExists(t, file)
}

func TestUnixMoveAside(t *testing.T) {
	path := socketPath(t)
	old := open(t, "unix:"+path)
	queued := dial(t, old)
	require.NoError(t, old.MoveAside())
	assert.Empty(t, names(t, path))
	require.NoError(t, old.MoveAside())

	successor := open(t, "unix:"+path)
	echo(t, old, queued)
	require.NoError(t, old.Close())
	echo(t, successor, dial(t, successor))
}

func TestUnixMoveAsideFault(t *testing.T) {
	path := socketPath(t)
	dir := filepath.Dir(path)
	l, err := listen.Listen(t.Context(), "unix:"+path)
	require.NoError(t, err)
	require.NoError(t, os.Rename(dir, dir+"2"))
	defer os.RemoveAll(dir + "2")
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // now the path cannot be looked at
	err = l.MoveAside()
	assert.ErrorContains(t, err, "listen: unix:"+path+": ")
	assert.Error(t, l.Close())
	_, err = l.Accept()
	assert.ErrorIs(t, err, net.ErrClosed, "it is closed all the same")
}

// TestUnixHandOver hands a path over from listener to listener while clients
// connect. Whoever finds the path is served: it is never there without a
// listener, nor before it has its rights, and no queue is dropped.
func TestUnixHandOver(t *testing.T) {
	const handOvers, clients = 50, 4
	path := socketPath(t)
	var servers, dialers sync.WaitGroup
	var served atomic.Int64
	serve := func(l *listen.Listener) {
		defer servers.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				assert.ErrorIs(t, err, net.ErrClosed)
				return
			}
			_, err = c.Write([]byte("x"))
			if !errors.Is(err, syscall.EPIPE) { // the question whether a server answers
				assert.NoError(t, err)
			}
			assert.NoError(t, c.Close())
		}
	}
	request := func() {
		c, err := net.Dial("unix", path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EAGAIN) {
			runtime.Gosched() // between two listeners, or the queue is full
			return
		}
		if !assert.NoError(t, err) {
			return
		}
		defer c.Close()
		if n, err := c.Read(make([]byte, 1)); assert.NoError(t, err) && assert.Equal(t, 1, n) {
			served.Add(1)
		}
	}

	stop := make(chan struct{})
	for range clients {
		dialers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					request()
				}
			}
		})
	}
	var all []*listen.Listener
	for range handOvers {
		l := open(t, "unix:"+path+"?mode=0666")
		servers.Add(1)
		go serve(l)
		for before := served.Load(); served.Load() == before; {
			runtime.Gosched() // until this one, or a queue before it, has served somebody
		}
		require.NoError(t, l.MoveAside())
		all = append(all, l)
	}
	close(stop)
	dialers.Wait()
	for _, l := range all {
		require.NoError(t, l.Close())
	}
	servers.Wait()
	assert.GreaterOrEqual(t, served.Load(), int64(handOvers))
	assert.Empty(t, names(t, path))
}

// Of several that start at once on one stale socket one wins, and the others
// are told why not.
func TestUnixStartsAtOnce(t *testing.T) {
	for range 50 {
		path := socketPath(t)
		leaveStale(t, path)
		start := make(chan struct{})
		var starters sync.WaitGroup
		listeners := make([]*listen.Listener, 4)
		for i := range listeners {
			starters.Go(func() {
				<-start
				l, err := listen.Listen(t.Context(), "unix:"+path)
				if err != nil {
					assert.ErrorIs(t, err, syscall.EADDRINUSE)
					assert.ErrorContains(t, err, "another server")
				}
				listeners[i] = l
			})
		}
		close(start)
		starters.Wait()
		var winner *listen.Listener
		for _, l := range listeners {
			if l != nil {
				require.Nil(t, winner, "two listeners on one path")
				winner = l
			}
		}
		require.NotNil(t, winner)
		client := dial(t, winner)
		require.NoError(t, winner.MoveAside(), "it is the winner's file")
		assert.Empty(t, names(t, path))
		require.NoError(t, client.Close())
		require.NoError(t, winner.Close())
	}
}

func TestStaging(t *testing.T) {
	path := socketPath(t)
	info, done, err := listen.Stage(path)
	require.NoError(t, err)
	assert.Equal(t, fs.ModeDir|0o700, info.Mode(), "nobody else gets to a socket that is being made")

	_, err = listen.Listen(t.Context(), "unix:"+path)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.ErrorContains(t, err, "another server is just starting on it")
	assert.Equal(t, []string{"s.new"}, names(t, path))
	done()
	assert.Empty(t, names(t, path))
	open(t, "unix:"+path)
}

func TestStagingLeftByCrash(t *testing.T) {
	path := socketPath(t)
	require.NoError(t, os.Mkdir(path+".new", 0o777))
	require.NoError(t, os.Chmod(path+".new", 0o777))
	leaveStale(t, path+".new/s")
	info, done, err := listen.Stage(path)
	require.NoError(t, err)
	assert.Equal(t, fs.ModeDir|0o700, info.Mode())
	assert.NoFileExists(t, path+".new/s")
	done()

	require.NoError(t, os.Mkdir(path+".new", 0o700))
	leaveStale(t, path+".new/s")
	l := open(t, "unix:"+path)
	assert.Equal(t, []string{"s"}, names(t, path))
	echo(t, l, dial(t, l))
}

func TestStagingInTheWay(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"file": func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"link": func(path string) error { return os.Symlink("/tmp", path) },
		"fifo": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"full": func(path string) error { return os.MkdirAll(path+"/s/precious", 0o700) },
		"foreign": func(path string) error {
			return errors.Join(os.Mkdir(path, 0o777), os.Chown(path, 4242, -1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "foreign" && os.Geteuid() != 0 {
				t.Skip("only root can make it")
			}
			path := socketPath(t)
			require.NoError(t, put(path+".new"))
			_, err := listen.Listen(t.Context(), "unix:"+path)
			require.ErrorContains(t, err, path+".new")
			assert.Equal(t, []string{"s.new"}, names(t, path))
		})
	}
}
