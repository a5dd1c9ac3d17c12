//go:build unix

package listen_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/listen"
)

// TestMain is also the server of the tests below, when it is started with
// descriptors.
func TestMain(m *testing.M) {
	if addr := os.Getenv("LISTEN_TEST_CHILD"); addr != "" {
		if err := child(addr); err != nil {
			fmt.Println("failed:", err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child serves one connection, twice over: what was inherited can be listened
// on again.
func child(addr string) error {
	for range 2 {
		l, err := listen.Listen(context.Background(), addr)
		if err != nil {
			return err
		}
		fmt.Printf("listening on %s, inherited %v, close-on-exec %v\n", l.Addr(), l.Inherited(), closesOnExec(addr))
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(c, "served"); err != nil {
			return err
		}
		for _, step := range []func() error{c.Close, l.MoveAside, l.Close} {
			if err := step(); err != nil {
				return err
			}
		}
	}
	return nil
}

// closesOnExec tells of the descriptor that was passed.
func closesOnExec(addr string) bool {
	fd := uintptr(3)
	if strings.HasPrefix(addr, "fd:0") {
		fd = 0
	}
	flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
	return int(flags)&syscall.FD_CLOEXEC != 0
}

// spawn starts the child with descriptors from 3 on, through a shell, for only
// the process itself knows its number.
func spawn(t *testing.T, addr, env string, stdin *os.File, files ...*os.File) *bufio.Reader {
	t.Helper()
	cmd := exec.Command("sh", "-c", env+` exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), "LISTEN_TEST_CHILD="+addr, "GORACE=atexit_sleep_ms=0")
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if t.Failed() {
			_ = cmd.Process.Kill() // it may be waiting for a client
		}
		if err := cmd.Wait(); !t.Failed() {
			assert.NoError(t, err)
		}
	})
	return bufio.NewReader(out)
}

// listening opens a socket as a parent does, and its descriptor.
func listening(t *testing.T, network, address string) (net.Listener, *os.File) {
	t.Helper()
	l, err := net.Listen(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l, file(t, l)
}

func file(t *testing.T, s any) *os.File {
	t.Helper()
	f, err := s.(interface{ File() (*os.File, error) }).File()
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	text, err := r.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSuffix(text, "\n")
}

// assertServes goes through all that a child does.
func assertServes(t *testing.T, out *bufio.Reader, parent net.Listener) {
	t.Helper()
	for range 2 {
		want := fmt.Sprintf("listening on %s, inherited true, close-on-exec true", parent.Addr())
		require.Equal(t, want, line(t, out))
		answer, err := io.ReadAll(dial(t, parent))
		require.NoError(t, err)
		require.Equal(t, "served", string(answer))
	}
	_, err := out.ReadString('\n')
	require.ErrorIs(t, err, io.EOF, "the child is through")
	echo(t, parent, dial(t, parent)) // the parent goes on, on the same path
}

func TestDescriptor(t *testing.T) {
	t.Run("unix", func(t *testing.T) {
		parent, fd := listening(t, "unix", socketPath(t))
		assertServes(t, spawn(t, "fd:3", "", nil, fd), parent)
	})
	t.Run("tcp", func(t *testing.T) {
		parent, fd := listening(t, "tcp", "127.0.0.1:0")
		assertServes(t, spawn(t, "fd:3?allow=127.0.0.0/8", "", nil, fd), parent)
	})
	t.Run("stdin", func(t *testing.T) { // lighttpd's bin-path
		parent, fd := listening(t, "unix", socketPath(t))
		assertServes(t, spawn(t, "fd:0", "", fd), parent)
	})
}

func TestSystemd(t *testing.T) {
	admin, adminFD := listening(t, "tcp", "127.0.0.1:0")
	web, webFD := listening(t, "unix", socketPath(t))
	env := "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=admin:web"
	assertServes(t, spawn(t, "systemd:web", env, nil, adminFD, webFD), web)
	assertServes(t, spawn(t, "systemd:admin", env, nil, adminFD, webFD), admin)

	out := spawn(t, "systemd:other", env, nil, adminFD, webFD)
	assert.Equal(t, "failed: listen: systemd:other: no socket of this name was passed; there are: admin, web", line(t, out))
	out = spawn(t, "systemd:web", "LISTEN_PID=1 LISTEN_FDS=2 LISTEN_FDNAMES=admin:web", nil, adminFD, webFD)
	assert.Contains(t, line(t, out), "failed: listen: systemd:web: the sockets were passed to process 1 and this is ")
}

func TestDescriptorFaults(t *testing.T) {
	_, everywhere := listening(t, "tcp", "0.0.0.0:0")
	_, loopback := listening(t, "tcp", "127.0.0.1:0")
	unixListener, unixFD := listening(t, "unix", socketPath(t))
	connected := file(t, dial(t, unixListener))
	datagram, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer datagram.Close()
	regular, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer regular.Close()
	for _, test := range []struct {
		file *os.File
		addr string
		want string
	}{
		{nil, "fd:999", "listen: fd:999: descriptor 999: it is not open"},
		{regular, "fd:3", "it is no socket"},
		{connected, "fd:3", "no stream socket that listens"},
		{file(t, datagram), "fd:3", "no stream socket that listens"},
		{everywhere, "fd:3", "it can be reached from other machines"},
		{everywhere, "fd:3?proxy=10.0.0.0/8", "it can be reached from other machines"},
		{loopback, "fd:3?proxy=unix", "option proxy"},
		{unixFD, "fd:3?proxy=10.0.0.0/8", "option proxy"},
		{unixFD, "fd:3?allow=10.0.0.0/8", "option allow"},
		{unixFD, "systemd:web", "it by a .socket unit"},
	} {
		var files []*os.File
		if test.file != nil {
			files = []*os.File{test.file}
		}
		assert.Contains(t, line(t, spawn(t, test.addr, "", nil, files...)), test.want, test.addr)
	}
}

// What a wrong number names may be this process's own, and stays as it is.
func TestDescriptorOfSomethingElse(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer f.Close()
	_, err = listen.Listen(t.Context(), "fd:"+strconv.Itoa(int(f.Fd())))
	require.ErrorContains(t, err, "no socket")
	_, err = f.WriteString("still open")
	assert.NoError(t, err)
}

func TestSystemdDescriptor(t *testing.T) {
	for _, test := range []struct {
		name             string
		pid, count, list string
		fd               int
		fault            string
	}{
		{name: "web", pid: "7", count: "1", list: "web", fd: 3},
		{name: "web", pid: "7", count: "3", list: "a:b:web", fd: 5},
		{name: "web", pid: "7", count: "3", list: ":web:", fd: 4},
		{name: "unknown", pid: "7", count: "1", list: "", fd: 3},
		{name: "web", pid: "7", count: "2", list: "", fault: "there are: unknown, unknown"},
		{name: "web", pid: "7", count: "2", list: "a:b", fault: "there are: a, b"},
		{name: "web", pid: "7", count: "3", list: "web:a:web", fault: "descriptors 3 and 5 both have this name"},
		{name: "web", pid: "7", count: "2", list: "web", fault: "2 sockets were passed and 1 names"},
		{name: "web", pid: "7", count: "0", list: "web", fault: "no sockets were passed"},
		{name: "web", pid: "7", count: "", list: "web", fault: "no sockets were passed"},
		{name: "web", pid: "7", count: "-1", list: "web", fault: "no sockets were passed"},
		{name: "web", pid: "7", count: "99999999", list: "web", fault: "no sockets were passed"},
		{name: "web", pid: "", count: "1", list: "web", fault: "LISTEN_PID is not set"},
		{name: "web", pid: "8", count: "1", list: "web", fault: "passed to process 8 and this is 7"},
		{name: "web", pid: "07", count: "1", list: "web", fault: "passed to process 07"},
	} {
		fd, err := listen.SystemdDescriptor(test.name, map[string]string{
			"LISTEN_PID": test.pid, "LISTEN_FDS": test.count, "LISTEN_FDNAMES": test.list,
		}, 7)
		if test.fault != "" {
			assert.ErrorContains(t, err, test.fault)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, test.fd, fd)
	}
}
