package listen_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/listen"
)

// v2 writes a header of version 2 by the specification's own words, section 2.2.
func v2(command, family byte, addresses string) string {
	header := []byte("\r\n\r\n\x00\r\nQUIT\n")
	header = append(header, 0x20|command, family)
	header = binary.BigEndian.AppendUint16(header, uint16(len(addresses)))
	return string(header) + addresses
}

const (
	local, proxied = 0, 1

	request = "24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,"
	v1      = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
)

var v2TCP4 = v2(proxied, 0x11, "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb")

var headers = []struct{ name, header, remote string }{ // remote empty: the peer's own
	{"v1 TCP4", v1, "192.0.2.7:56324"},
	{"v1 TCP6", "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "[2001:db8::7]:56324"},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", ""},
	{"v1 longest", "PROXY UNKNOWN " + strings.Repeat("f", 107-16) + "\r\n", ""},
	{"v2 TCP4", v2TCP4, "192.0.2.7:56324"},
	{"v2 TCP6", v2(proxied, 0x21, "\x20\x01\x0d\xb8"+strings.Repeat("\x00", 11)+"\x07"+strings.Repeat("\x01", 16)+"\xdc\x04\x01\xbb"), "[2001:db8::7]:56324"},
	{"v2 unix", v2(proxied, 0x31, "/front"+strings.Repeat("\x00", 102)+"/back"+strings.Repeat("\x00", 103)), "/front"},
	{"v2 with TLV", v2(proxied, 0x11, "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\x01\x2c"+strings.Repeat("x", 300)), "192.0.2.7:56324"},
	{"v2 LOCAL", v2(local, 0x00, ""), ""},
	{"v2 LOCAL with addresses", v2(local, 0x11, "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"), ""},
}

// cuts are the ways in which a sender may cut what it sends.
var cuts = map[string]func(string) []string{
	"whole":    func(s string) []string { return []string{s} },
	"bytewise": func(s string) []string { return strings.Split(s, "") },
}

func TestProxyHeaders(t *testing.T) {
	for _, test := range headers {
		for name, cut := range cuts {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				c, peer := pipe(t, failOnBad(t))
				go func() {
					for _, piece := range cut(test.header + request) {
						_, err := io.WriteString(peer, piece)
						assert.NoError(t, err)
					}
					assert.NoError(t, peer.Close())
				}()
				got, err := io.ReadAll(c)
				require.NoError(t, err)
				assert.Equal(t, request, string(got))
				if test.remote == "" {
					test.remote = "pipe"
				}
				assert.Equal(t, test.remote, c.RemoteAddr().String())
			})
		}
	}
}

func pipe(t *testing.T, bad func(error)) (c, peer net.Conn) {
	t.Helper()
	ours, peer := net.Pipe()
	t.Cleanup(func() { _, _ = ours.Close(), peer.Close() })
	return listen.NewProxyConn(ours, bad), peer
}

func failOnBad(t *testing.T) func(error) {
	return func(err error) { t.Errorf("told of %v", err) }
}

func TestProxyBadHeaders(t *testing.T) {
	for name, sent := range map[string]string{
		"none":            request,
		"HTTP":            "GET / HTTP/1.1\r\n\r\n",
		"P alone":         "PUT / HTTP/1.1\r\n\r\n",
		"CR alone":        "\r\nabcdefghijklm",
		"v1 junk":         "PROXYjunk TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
		"v1 address":      "PROXY TCP4 192.0.2.777 198.51.100.1 56324 443\r\n",
		"v1 family":       "PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n",
		"v1 port":         "PROXY TCP4 192.0.2.7 198.51.100.1 70000 443\r\n",
		"v1 LF":           "PROXY UNKNOWN\n",
		"v1 without end":  "PROXY UNKNOWN " + strings.Repeat("f", 400),
		"v1 one too long": "PROXY UNKNOWN " + strings.Repeat("f", 108-16) + "\r\n",
		"v2 command":      v2(2, 0x11, "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"),
		"v2 family":       v2(proxied, 0x41, "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"),
		"v2 short":        v2(proxied, 0x11, "\xc0\x00\x02\x07"),
		"v2 huge":         v2(proxied, 0x11, strings.Repeat("x", 60000)),
	} {
		for cutName, cut := range cuts {
			t.Run(name+"/"+cutName, func(t *testing.T) {
				var told []error
				c, peer := pipe(t, func(err error) { told = append(told, err) })
				sending := make(chan struct{})
				go func() {
					defer close(sending)
					for _, piece := range cut(sent) {
						if _, err := io.WriteString(peer, piece); err != nil {
							return // it need not be read to its end
						}
					}
				}()
				for range 2 {
					n, err := c.Read(make([]byte, 1000))
					assert.Zero(t, n)
					require.ErrorContains(t, err, "listen: no valid PROXY header: ")
					assert.NotErrorIs(t, err, io.EOF)
				}
				assert.Len(t, told, 1)
				assert.Equal(t, "pipe", c.RemoteAddr().String())
				_, err := c.Write([]byte("x"))
				assert.Error(t, err)
				require.NoError(t, c.Close())
				<-sending
			})
		}
	}
}

// A peer that ends within the header went away: that is nobody's fault in the
// configuration.
func TestProxyCutHeaders(t *testing.T) {
	for _, test := range headers {
		for _, length := range []int{0, 1, 4, 5, 6, 11, 12, 13, 14, 15} {
			if length >= len(test.header)-1 {
				continue
			}
			c, peer := pipe(t, failOnBad(t))
			go func() {
				_, err := io.WriteString(peer, test.header[:length])
				assert.NoError(t, err)
				assert.NoError(t, peer.Close())
			}()
			want := io.ErrUnexpectedEOF
			if length == 0 {
				want = io.EOF // a probe
			}
			_, err := c.Read(make([]byte, 1))
			assert.Equal(t, want, err, "%s cut to %d", test.name, length)
		}
	}
}

func TestProxyHeaderTooSlow(t *testing.T) {
	for _, test := range headers {
		for _, length := range []int{0, 1, 6, 12, 15} {
			synctest.Test(t, func(t *testing.T) {
				if length >= len(test.header) {
					return
				}
				c, peer := pipe(t, failOnBad(t))
				go func() {
					_, err := io.WriteString(peer, test.header[:length])
					assert.NoError(t, err)
				}()
				start := time.Now()
				_, err := c.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "%s cut to %d", test.name, length)
				assert.Equal(t, listen.ProxyHeaderTimeout, time.Since(start))
			})
		}
	}
}

// The server's own deadline counts when it is earlier, and after the header it
// alone.
func TestProxyDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipe(t, failOnBad(t))
		start := time.Now()
		require.NoError(t, c.SetReadDeadline(start.Add(time.Second)))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))

		c, peer := pipe(t, failOnBad(t))
		go func() { _, _ = io.WriteString(peer, v1) }()
		start = time.Now()
		require.NoError(t, c.SetReadDeadline(start.Add(time.Minute)))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(start))
	})
}

func TestProxyOverSockets(t *testing.T) {
	for _, addr := range []string{"unix:" + socketPath(t) + "?proxy=unix", "tcp:127.0.0.1:0?proxy=127.0.0.0/8"} {
		l := open(t, addr)
		silent, slow, client := dial(t, l), dial(t, l), dial(t, l)
		_, err := io.WriteString(slow, v1[:10])
		require.NoError(t, err)
		_, err = io.WriteString(client, v2TCP4)
		require.NoError(t, err)

		first, second, third := accept(t, l), accept(t, l), accept(t, l) // nobody waits for a header
		echoThrough(t, third, client)
		assert.Equal(t, "192.0.2.7:56324", third.RemoteAddr().String())
		assert.Equal(t, "198.51.100.1:443", third.LocalAddr().String())

		_, err = io.WriteString(slow, v1[10:])
		require.NoError(t, err)
		echoThrough(t, second, slow)
		assert.Equal(t, "192.0.2.7:56324", second.RemoteAddr().String())

		require.NoError(t, silent.Close())
		_, err = first.Read(make([]byte, 1))
		assert.Equal(t, io.EOF, err)
		assert.Zero(t, l.Refused())
	}
}

// echoThrough sends a line each way, then ends ours: the peer sees it.
func echoThrough(t *testing.T, server, client net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		_, err := io.WriteString(way[0], "hello\n")
		require.NoError(t, err)
		line := make([]byte, 6)
		_, err = io.ReadFull(way[1], line)
		require.NoError(t, err)
		assert.Equal(t, "hello\n", string(line))
	}
	require.NoError(t, server.(interface{ CloseWrite() error }).CloseWrite())
	_, err := client.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)
}

func TestProxyConnParts(t *testing.T) {
	type parts interface {
		CloseWrite() error
		SetLinger(int) error
		File() (*os.File, error)
	}
	for addr, tcp := range map[string]bool{
		"unix:" + socketPath(t) + "?proxy=unix": false,
		"tcp:127.0.0.1:0?proxy=127.0.0.0/8":     true,
	} {
		l := open(t, addr)
		dial(t, l)
		c := accept(t, l).(parts)
		assert.NoError(t, c.CloseWrite())
		assert.Equal(t, !tcp, errors.Is(c.SetLinger(0), errors.ErrUnsupported))
		f, err := c.File()
		assert.Equal(t, !tcp, errors.Is(err, errors.ErrUnsupported))
		if err == nil {
			assert.NoError(t, f.Close())
		}
	}
	c, _ := pipe(t, failOnBad(t))
	assert.ErrorIs(t, c.(parts).CloseWrite(), errors.ErrUnsupported)
}

// Whoever is not named in proxy= is plain: what it sends reaches the SCGI
// parser as it is, and its address stays its own.
func TestProxyUnnamedPeerIsPlain(t *testing.T) {
	for _, addr := range []string{"unix:" + socketPath(t), "tcp:127.0.0.1:0", "tcp:127.0.0.1:0?proxy=192.0.2.0/24"} {
		l := open(t, addr)
		for _, header := range []string{v1, v2TCP4} {
			client := dial(t, l)
			server := accept(t, l)
			_, err := io.WriteString(client, header)
			require.NoError(t, err)
			got := make([]byte, len(header))
			_, err = io.ReadFull(server, got)
			require.NoError(t, err)
			assert.Equal(t, header, string(got))
			assert.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
			_, ours := server.(*net.TCPConn)
			_, unix := server.(*net.UnixConn)
			assert.True(t, ours || unix, "not wrapped")
		}
	}
}

func TestProxyWithoutHeaderIsToldOf(t *testing.T) {
	var log bytes.Buffer
	l := open(t, "tcp:127.0.0.1:0?proxy=127.0.0.1")
	l.Logger = slog.New(slog.NewTextHandler(&log, nil))
	client := dial(t, l)
	_, err := io.WriteString(client, request)
	require.NoError(t, err)
	_, err = accept(t, l).Read(make([]byte, 1))
	require.Error(t, err)
	assert.Equal(t, uint64(1), l.Refused())
	assert.Contains(t, log.String(), "listen: a peer that proxy= names sent no valid PROXY header")
	assert.Contains(t, log.String(), "peer="+client.LocalAddr().String())
}

// FuzzProxyHeader holds that cutting what is sent changes nothing, and that
// nothing is read before a header was accepted.
func FuzzProxyHeader(f *testing.F) {
	for _, test := range headers {
		f.Add([]byte(test.header + request))
	}
	f.Add([]byte("PROXY UNKNOWN " + strings.Repeat("f", 108)))
	f.Fuzz(func(t *testing.T, sent []byte) {
		read := func(pieces ...[]byte) (got []byte, remote string, failed bool) {
			c := listen.NewProxyConn(&pieced{pieces: pieces}, func(error) {})
			got, err := io.ReadAll(c)
			return got, c.RemoteAddr().String(), err != nil
		}
		got, remote, failed := read(sent)
		bytewise, bytewiseRemote, bytewiseFailed := read(bytes.SplitAfter(sent, nil)...)
		require.Equal(t, got, bytewise)
		require.Equal(t, remote, bytewiseRemote)
		require.Equal(t, failed, bytewiseFailed)
		if failed {
			require.Empty(t, got)
			require.Equal(t, "peer", remote)
		} else {
			require.True(t, bytes.HasSuffix(sent, got))
		}
	})
}

// pieced is a connection whose peer sent these pieces and closed.
type pieced struct {
	net.Conn
	pieces [][]byte
}

func (p *pieced) Read(b []byte) (int, error) {
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.pieces[0])
	if p.pieces[0] = p.pieces[0][n:]; len(p.pieces[0]) == 0 {
		p.pieces = p.pieces[1:]
	}
	return n, nil
}

func (*pieced) SetReadDeadline(time.Time) error { return nil }
func (*pieced) RemoteAddr() net.Addr            { return &net.UnixAddr{Net: "unix", Name: "peer"} }
