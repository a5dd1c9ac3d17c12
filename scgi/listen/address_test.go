package listen_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/windsock-scgi/windsock/scgi/listen"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		addr      string
		network   string
		address   string
		canonical string // empty: addr itself
	}{
		{addr: "unix:/run/app.sock", network: "unix", address: "/run/app.sock"},
		{addr: "unix:data/app.sock", network: "unix", address: "data/app.sock"},
		{addr: "unix:app.sock", network: "unix", address: "app.sock"},
		{addr: "unix:./@app", network: "unix", address: "./@app"},
		{addr: "unix:///run/app.sock", network: "unix", address: "///run/app.sock"},
		{addr: "unix:/run/50%&a=b:c #ü\xff.sock", network: "unix", address: "/run/50%&a=b:c #ü\xff.sock"},
		{addr: "unix:/run/app.sock?", network: "unix", address: "/run/app.sock", canonical: "unix:/run/app.sock"},
		{addr: "unix:/run/app.sock?mode=0660", network: "unix", address: "/run/app.sock"},
		{addr: "unix:/run/app.sock?mode=660", network: "unix", address: "/run/app.sock", canonical: "unix:/run/app.sock?mode=0660"},
		{addr: "unix:/s?group=www-data&mode=0620", network: "unix", address: "/s", canonical: "unix:/s?mode=0620&group=www-data"},
		{addr: "unix:/s?group=33", network: "unix", address: "/s"},
		{addr: "unix:/s?group=a%26b+c", network: "unix", address: "/s"},
		{addr: "unix:/s?proxy=unix", network: "unix", address: "/s"},
		{addr: "unix:" + strings.Repeat("a", listen.MaxPath), network: "unix", address: strings.Repeat("a", listen.MaxPath)},

		{addr: "tcp:127.0.0.1:4000", network: "tcp", address: "127.0.0.1:4000"},
		{addr: "tcp:127.0.0.1:0", network: "tcp", address: "127.0.0.1:0"},
		{addr: "tcp:127.9.9.9:65535", network: "tcp", address: "127.9.9.9:65535"},
		{addr: "tcp:[::1]:4000", network: "tcp", address: "[::1]:4000"},
		{addr: "tcp:[0:0::0:1]:4000", network: "tcp", address: "[::1]:4000", canonical: "tcp:[::1]:4000"},
		{addr: "tcp:[::ffff:127.0.0.1]:4000", network: "tcp", address: "[::ffff:127.0.0.1]:4000"},
		{addr: "tcp:localhost:4000", network: "tcp", address: "localhost:4000"},
		{addr: "tcp:app-1.example_net.:4000", network: "tcp", address: "app-1.example_net.:4000"},
		{addr: "tcp:127.0.0.1:4000?allow=127.0.0.2", network: "tcp", address: "127.0.0.1:4000", canonical: "tcp:127.0.0.1:4000?allow=127.0.0.2/32"},
		{addr: "tcp:10.0.0.5:4000?allow=10.0.0.0/24", network: "tcp", address: "10.0.0.5:4000"},
		{addr: "tcp::4000?allow=10.0.0.0/24,fd00::/8", network: "tcp", address: ":4000"},
		{addr: "tcp:0.0.0.0:4000?allow=0.0.0.0/0", network: "tcp", address: "0.0.0.0:4000"},
		{addr: "tcp:[::]:4000?allow=10.0.0.0/24&allow=10.1.0.0/24", network: "tcp", address: "[::]:4000", canonical: "tcp:[::]:4000?allow=10.0.0.0/24,10.1.0.0/24"},
		{addr: "tcp:[fe80::1%eth0]:4000?allow=fe80::/64", network: "tcp", address: "[fe80::1%eth0]:4000"},
		{addr: "tcp:127.0.0.1:4000?proxy=127.0.0.0/8", network: "tcp", address: "127.0.0.1:4000"},
		{addr: "tcp:10.0.0.5:4000?proxy=10.0.0.7&allow=10.0.0.0/24", network: "tcp", address: "10.0.0.5:4000", canonical: "tcp:10.0.0.5:4000?allow=10.0.0.0/24&proxy=10.0.0.7/32"},

		{addr: "fd:0", network: "fd", address: "0"},
		{addr: "fd:17", network: "fd", address: "17"},
		{addr: "fd:3?allow=10.0.0.0/24&proxy=10.0.0.0/24", network: "fd", address: "3"},
		{addr: "fd:3?proxy=unix", network: "fd", address: "3"},
		{addr: "systemd:web", network: "systemd", address: "web"},
		{addr: "systemd:a@1.socket?allow=10.0.0.0/24", network: "systemd", address: "a@1.socket"},
	} {
		t.Run(test.addr, func(t *testing.T) {
			a, err := listen.Parse(test.addr)
			require.NoError(t, err)
			assert.Equal(t, test.network, a.Network)
			assert.Equal(t, test.address, a.Address)
			if test.canonical == "" {
				test.canonical = test.addr
			}
			assert.Equal(t, test.canonical, a.String())
			again, err := listen.Parse(a.String())
			require.NoError(t, err)
			assert.Equal(t, a, again)
		})
	}
}

func TestParseFaults(t *testing.T) {
	for _, test := range []struct{ addr, want string }{
		{"", "unknown kind"},
		{"/run/app.sock", "unknown kind"},
		{"127.0.0.1:4000", "unknown kind"},
		{"udp:127.0.0.1:4000", "want unix:PATH, tcp:HOST:PORT, fd:N or systemd:NAME"},
		{"TCP:127.0.0.1:4000", "unknown kind"},

		{"unix", "path is missing"},
		{"unix:", "path is missing"},
		{"unix:?mode=0660", "path is missing"},
		{"unix:/run/a\x00b", "NUL"},
		{"unix:@app", "abstract"},
		{"unix:/run/", "names a folder"},
		{"unix:/run/..", "names a folder"},
		{"unix:.", "names a folder"},
		{"unix:/" + strings.Repeat("a", listen.MaxPath), "bytes"},
		{"unix:/s?mode=", "octal"},
		{"unix:/s?mode=0680", "octal"},
		{"unix:/s?mode=rw", "octal"},
		{"unix:/s?mode=-1", "octal"},
		{"unix:/s?mode=01777", "octal"},
		{"unix:/s?mode=0555", "nobody could connect"},
		{"unix:/s?mode=0", "nobody could connect"},
		{"unix:/s?mode=0660&mode=0600", "option mode: given twice"},
		{"unix:/s?group=", "option group: it is empty"},
		{"unix:/s?group=a&group=a", "option group: given twice"},
		{"unix:/s?mod=0660", `unknown option "mod"; unix: takes mode, group, proxy`},
		{"unix:/s?Mode=0660", `unknown option "Mode"`},
		{"unix:/s?allow=10.0.0.0/24", `unknown option "allow"`},
		{"unix:/s?proxy=10.0.0.0/24", "want proxy=unix"},
		{"unix:/s?proxy=unix&proxy=unix", "no range"},
		{"unix:/s?a=%zz", "options: invalid URL escape"},
		{"unix:/s?a;b", "options: invalid semicolon"},
		{"unix:/a?b.sock", `unknown option "b.sock"`},

		{"tcp:", "want tcp:HOST:PORT"},
		{"tcp:localhost", "missing port"},
		{"tcp:::1:4000", "want tcp:HOST:PORT"},
		{"tcp:[::1]", "missing port"},
		{"tcp://127.0.0.1:4000", "host"},
		{"tcp:localhost:", `port ""`},
		{"tcp:localhost:http", `port "http"`},
		{"tcp:localhost:65536", "0 to 65535"},
		{"tcp:localhost:-1", "0 to 65535"},
		{"tcp:localhost:+1", "0 to 65535"},
		{"tcp:localhost:04000", "0 to 65535"},
		{"tcp:*:4000", `host "*"`},
		{"tcp:127.1:4000", `host "127.1"`},
		{"tcp:127.0.0.256:4000", `host "127.0.0.256"`},
		{"tcp:0x7f000001:4000", "host"},
		{"tcp:.:4000", "host"},
		{"tcp::4000", "allow=10.0.0.0/24"},
		{"tcp:0.0.0.0:4000", "can claim any REMOTE_ADDR"},
		{"tcp:[::]:4000", "allow="},
		{"tcp:10.0.0.5:4000", "allow="},
		{"tcp:[::ffff:10.0.0.5]:4000", "allow="},
		{"tcp:10.0.0.5:4000?proxy=10.0.0.0/24", "allow="},
		{"tcp:10.0.0.5:4000?allow=", "option allow:"},
		{"tcp:10.0.0.5:4000?allow=10.0.0.0/24,", "option allow:"},
		{"tcp:10.0.0.5:4000?allow=10.0.0.0/33", "no range of addresses"},
		{"tcp:10.0.0.5:4000?allow=all", "no range of addresses"},
		{"tcp:10.0.0.5:4000?allow=fe80::1%25eth0", "no range of addresses"},
		{"tcp:10.0.0.5:4000?allow=10.0.0.5/24", "write 10.0.0.0/24, or 10.0.0.5 for the one address"},
		{"tcp:10.0.0.5:4000?allow=::ffff:10.0.0.0/120", "write it as IPv4"},
		{"tcp:10.0.0.5:4000?allow=::ffff:10.0.0.1", "write it as IPv4"},
		{"tcp:10.0.0.5:4000?allow=10.0.0.0/24&proxy=10.1.0.0/24", "outside of allow="},
		{"tcp:127.0.0.1:4000?proxy=unix", "option proxy: the peers have addresses"},
		{"tcp:127.0.0.1:4000?proxy=", "option proxy:"},
		{"tcp:127.0.0.1:4000?mode=0660", `unknown option "mode"; tcp: takes allow, proxy`},

		{"fd:", "no descriptor"},
		{"fd:-1", "no descriptor"},
		{"fd:03", "no descriptor"},
		{"fd:x", "no descriptor"},
		{"fd:99999999999", "no descriptor"},
		{"fd:3?mode=0660", `unknown option "mode"`},
		{"systemd:", "name is missing"},
		{"systemd:a:b", "FileDescriptorName"},
		{"systemd:a b", "FileDescriptorName"},
		{"systemd:web?mode=0660", `unknown option "mode"`},
	} {
		t.Run(test.addr, func(t *testing.T) {
			a, err := listen.Parse(test.addr)
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, "listen: "+test.addr+": ", "the error names the address")
			assert.Zero(t, a)
		})
	}
}

func TestParseRemote(t *testing.T) {
	for _, addr := range []string{
		"unix:/run/app.sock?mode=0660&group=www-data",
		"tcp:10.0.0.5:4000",
		"tcp:example.net:4000",
		"tcp::4000",
	} {
		a, err := listen.ParseRemote(addr)
		require.NoError(t, err, addr)
		assert.Equal(t, addr, a.String())
	}
	for addr, want := range map[string]string{
		"tcp:10.0.0.5:0":         "port 0",
		"fd:0":                   "are for listening",
		"systemd:web":            "are for listening",
		"unix:":                  "path is missing",
		"unix:/s?mode=rw":        "octal",
		"tcp:10.0.0.5:1?allow=x": "option allow",
	} {
		_, err := listen.ParseRemote(addr)
		assert.ErrorContains(t, err, want, addr)
	}
}

func FuzzParse(f *testing.F) {
	for _, addr := range []string{
		"unix:/run/app.sock?mode=0660&group=a%26b", "unix:a?proxy=unix", "fd:0", "systemd:web",
		"tcp:[fe80::1%eth0]:4000?allow=fe80::/64,10.0.0.1&proxy=10.0.0.0/8", "tcp:localhost.:0",
	} {
		f.Add(addr)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		for _, parse := range []func(string) (listen.Address, error){listen.Parse, listen.ParseRemote} {
			a, err := parse(addr)
			if err != nil {
				require.Zero(t, a)
				continue
			}
			again, err := parse(a.String())
			require.NoError(t, err)
			require.Equal(t, a, again)
			require.Equal(t, a.String(), again.String())
		}
	})
}
