package listen_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dialFrom connects from one of the many loopback addresses that Linux has.
func dialFrom(t *testing.T, from string, l net.Listener) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Refused peers are passed over within one Accept.
func TestAllow(t *testing.T) {
	l := open(t, "tcp:127.0.0.1:0?allow=127.0.0.2,127.1.0.0/16")
	var refused []net.Conn
	for _, from := range []string{"127.0.0.1", "127.0.0.3", "127.2.0.1"} {
		refused = append(refused, dialFrom(t, from, l))
	}
	allowed := dialFrom(t, "127.0.0.2", l)
	other := dialFrom(t, "127.1.2.3", l)

	first := accept(t, l)
	assert.Equal(t, allowed.LocalAddr().String(), first.RemoteAddr().String())
	assert.IsType(t, (*net.TCPConn)(nil), first, "nothing is wrapped")
	for _, c := range refused {
		assertClosed(t, c)
	}
	assert.Equal(t, uint64(len(refused)), l.Refused())
	echo(t, l, other)
}

// What is temporary comes through as net gives it, and passes.
func TestAcceptOutOfDescriptors(t *testing.T) {
	for _, addr := range []string{"tcp:127.0.0.1:0?allow=127.0.0.0/8", "unix:" + socketPath(t)} {
		l := open(t, addr)
		client := dial(t, l)

		var limit syscall.Rlimit
		require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
		none := limit
		none.Cur = 0
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
		_, err := l.Accept()
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))

		require.ErrorIs(t, err, syscall.EMFILE)
		var operation *net.OpError
		require.ErrorAs(t, err, &operation)
		assert.True(t, operation.Temporary())
		echo(t, l, client)
	}
}
