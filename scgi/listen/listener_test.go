package listen_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/listen"
)

// open listens until the test ends.
func open(t *testing.T, addr string) *listen.Listener {
	t.Helper()
	l, err := listen.Listen(t.Context(), addr)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			assert.NoError(t, err)
		}
	})
	return l
}

// dial connects to a listener until the test ends.
func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// accept takes the next connection until the test ends.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echo sends a line through a connection that is queued in a listener.
func echo(t *testing.T, l net.Listener, client net.Conn) {
	t.Helper()
	server := accept(t, l)
	_, err := io.WriteString(client, "hello\n")
	require.NoError(t, err)
	line := make([]byte, 6)
	_, err = io.ReadFull(server, line)
	require.NoError(t, err)
	assert.Equal(t, "hello\n", string(line))
}

func TestTCP(t *testing.T) {
	l := open(t, "tcp:127.0.0.1:0")
	assert.NotZero(t, l.Addr().(*net.TCPAddr).Port)
	assert.False(t, l.Inherited())
	require.NoError(t, l.MoveAside())
	echo(t, l, dial(t, l))

	_, err := listen.Listen(t.Context(), "tcp:"+l.Addr().String())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	assert.ErrorContains(t, err, "listen: tcp:"+l.Addr().String()+": another server listens on it; stop it first")

	require.NoError(t, l.Close())
	_, err = l.Accept()
	assert.ErrorIs(t, err, net.ErrClosed)
	assert.ErrorIs(t, l.Close(), net.ErrClosed)
}

func TestTCPIPv6(t *testing.T) {
	l, err := listen.Listen(t.Context(), "tcp:[::1]:0")
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer l.Close()
	echo(t, l, dial(t, l))
}

func TestTCPName(t *testing.T) {
	if ips, err := net.LookupIP("localhost"); err != nil || !ips[0].IsLoopback() {
		t.Skip("localhost is not known here: ", ips, err)
	}
	l := open(t, "tcp:localhost:0")
	assert.True(t, l.Addr().(*net.TCPAddr).IP.IsLoopback())
	echo(t, l, dial(t, l))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := listen.Listen(ctx, "tcp:no-such-host.invalid:0")
	assert.ErrorContains(t, err, "listen: tcp:no-such-host.invalid:0: ")
}

func TestNameCountsAsLoopback(t *testing.T) {
	for _, test := range []struct{ addr, ips, want, fault string }{
		{addr: "tcp:x:1", ips: "127.0.0.1", want: "127.0.0.1"},
		{addr: "tcp:x:1", ips: "::1 127.0.0.1", want: "127.0.0.1"},
		{addr: "tcp:x:1", ips: "127.0.0.1 127.0.0.2", want: "127.0.0.1"},
		{addr: "tcp:x:1", ips: "::1", want: "::1"},
		{addr: "tcp:x:1", ips: "::ffff:127.0.0.1", want: "127.0.0.1"},
		{addr: "tcp:x:1", ips: "127.0.0.1 10.0.0.5", fault: "stands for 10.0.0.5: it can be reached from other machines"},
		{addr: "tcp:x:1", ips: "fe80::1", fault: "REMOTE_ADDR"},
		{addr: "tcp:x:1?allow=10.0.0.0/8", ips: "fe80::1 10.0.0.5", want: "10.0.0.5"},
		{addr: "tcp:x:1", ips: "", fault: "no address"},
	} {
		var ips []netip.Addr
		for ip := range strings.FieldsSeq(test.ips) {
			ips = append(ips, netip.MustParseAddr(ip))
		}
		chosen, err := listen.Choose(test.addr, ips)
		if test.fault != "" {
			assert.ErrorContains(t, err, test.fault, test.ips)
			continue
		}
		require.NoError(t, err, test.ips)
		assert.Equal(t, test.want, chosen.String())
	}
}

func TestDeadlineWakesAccept(t *testing.T) {
	for _, addr := range []string{"tcp:127.0.0.1:0", "tcp:127.0.0.1:0?allow=127.0.0.0/8", "unix:" + socketPath(t)} {
		l := open(t, addr)
		woken := make(chan error)
		go func() {
			_, err := l.Accept()
			woken <- err
		}()
		require.NoError(t, l.SetDeadline(time.Unix(1, 0)))
		err := <-woken
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var operation *net.OpError
		assert.ErrorAs(t, err, &operation)

		queued := dial(t, l)
		require.NoError(t, l.SetDeadline(time.Time{}))
		echo(t, l, queued)
	}
}

func TestAllowAnyInterface(t *testing.T) {
	l := open(t, "tcp:0.0.0.0:0?allow=127.0.0.1")
	addr := l.Addr().(*net.TCPAddr)
	assert.NotNil(t, addr.IP.To4(), "0.0.0.0 is IPv4 alone")
	c, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: addr.Port})
	require.NoError(t, err)
	defer c.Close()
	echo(t, l, c)
}

// A listener that says whom it takes does not take its own machine besides.
func TestAllowIsAll(t *testing.T) {
	l := open(t, "tcp:127.0.0.1:0?allow=10.0.0.0/8")
	refused := dial(t, l)
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	assertClosed(t, refused)
	require.NoError(t, l.Close())
	assert.ErrorIs(t, <-ended, net.ErrClosed)
	assert.Equal(t, uint64(1), l.Refused())
}

func assertClosed(t *testing.T, c net.Conn) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	assert.Zero(t, n)
	assert.True(t, errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET), "%v", err)
}

// A server that empties the queue of a listener accepts when poll says that
// somebody is there, and must not be held up if that is nobody it may serve.
func TestRefusedPeerDoesNotHoldUpEmptying(t *testing.T) {
	l := open(t, "tcp:127.0.0.1:0?allow=10.0.0.0/8")
	refused := dial(t, l)
	require.NoError(t, l.MoveAside())
	_, err := l.Accept()
	require.ErrorIs(t, err, syscall.ECONNABORTED)
	var operation *net.OpError
	require.ErrorAs(t, err, &operation)
	assertClosed(t, refused)
}

func TestRefusalsAreCountedAndLogged(t *testing.T) {
	var log bytes.Buffer
	l := open(t, "tcp:127.0.0.1:0?allow=10.0.0.0/8")
	l.Logger = slog.New(slog.NewTextHandler(&log, nil))
	require.NoError(t, l.MoveAside())
	for range 9 {
		c := dial(t, l)
		_, err := l.Accept()
		require.ErrorIs(t, err, syscall.ECONNABORTED)
		require.NoError(t, c.Close())
	}
	assert.Equal(t, uint64(9), l.Refused())
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, 4, "1, 2, 4, 8: nobody can flood the log")
	assert.Contains(t, lines[3], `level=WARN msg="listen: refused a peer that allow= does not name" peer=127.0.0.1:`)
	assert.Contains(t, lines[3], "refused=8")
}

func TestSyscallConn(t *testing.T) {
	for _, addr := range []string{"tcp:127.0.0.1:0?allow=127.0.0.0/8", "unix:" + socketPath(t) + "?proxy=unix"} {
		raw, err := open(t, addr).SyscallConn()
		require.NoError(t, err)
		seen := false
		require.NoError(t, raw.Control(func(uintptr) { seen = true }))
		assert.True(t, seen)
	}
}

func TestDial(t *testing.T) {
	for _, addr := range []string{"tcp:127.0.0.1:0", "unix:" + socketPath(t) + "?mode=0600"} {
		l := open(t, addr)
		remote, err := listen.ParseRemote(l.Addr().Network() + ":" + l.Addr().String())
		require.NoError(t, err)
		c, err := remote.Dial(t.Context())
		require.NoError(t, err)
		defer c.Close()
		echo(t, l, c)
	}
	for _, a := range []listen.Address{{}, {Network: "fd", Address: "0"}, {Network: "tcp", Address: "127.0.0.1:0"}} {
		_, err := a.Dial(t.Context())
		assert.Error(t, err)
	}
}

func TestListenFaultyAddress(t *testing.T) {
	_, err := listen.Listen(t.Context(), "unix:")
	assert.ErrorContains(t, err, "listen: unix:: the path is missing")
}
