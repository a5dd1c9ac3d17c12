package listen

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// options are what follows the question mark. Zero values mean not given.
type options struct {
	mode      fs.FileMode
	group     string
	allow     []netip.Prefix
	proxy     []netip.Prefix
	proxyUnix bool
}

// taken names the options that each kind of address takes.
var taken = map[string][]string{
	"unix":    {"mode", "group", "proxy"},
	"tcp":     {"allow", "proxy"},
	"fd":      {"allow", "proxy"},
	"systemd": {"allow", "proxy"},
}

func parseOptions(network, query string) (options, error) {
	var o options
	values, err := url.ParseQuery(query)
	if err != nil {
		return o, fmt.Errorf("options: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) { // the same fault every time
		if !slices.Contains(taken[network], name) {
			return o, fmt.Errorf("unknown option %q; %s: takes %s",
				name, network, strings.Join(taken[network], ", "))
		}
		if err := o.set(name, values[name]); err != nil {
			return o, fmt.Errorf("option %s: %w", name, err)
		}
	}
	return o, nil
}

func (o *options) set(name string, values []string) (err error) {
	switch name {
	case "mode":
		o.mode, err = parseMode(values)
	case "group":
		o.group, err = parseGroup(values)
	case "allow":
		o.allow, err = parsePrefixes(values)
	case "proxy":
		if slices.Equal(values, []string{"unix"}) {
			o.proxyUnix = true
		} else {
			o.proxy, err = parsePrefixes(values)
		}
	}
	return err
}

func parseMode(values []string) (fs.FileMode, error) {
	text, err := once(values)
	if err != nil {
		return 0, err
	}
	mode, err := strconv.ParseUint(text, 8, 32)
	switch {
	case err != nil || mode > 0o777:
		return 0, fmt.Errorf("%q is no mode; want octal digits, such as 0660", text)
	case mode&0o222 == 0:
		return 0, fmt.Errorf("with %q nobody could connect, which takes the right to write; want one such as 0660", text)
	}
	return fs.FileMode(mode), nil
}

func parseGroup(values []string) (string, error) {
	name, err := once(values)
	if err == nil && name == "" {
		err = errors.New("it is empty; want a group's name or number")
	}
	return name, err
}

func once(values []string) (string, error) {
	if len(values) > 1 {
		return "", errors.New("given twice")
	}
	return values[0], nil
}

// parsePrefixes reads the ranges of an option that may be repeated and whose
// values may be lists.
func parsePrefixes(values []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range strings.Split(strings.Join(values, ","), ",") {
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// parsePrefix reads a range, or one address.
func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if ip, single := netip.ParseAddr(text); single == nil {
		prefix, err = ip.Prefix(ip.BitLen())
	}
	switch {
	case err != nil || strings.Contains(text, "%"):
		return prefix, fmt.Errorf("%q is no range of addresses; want one such as 10.0.0.0/24 or fd00::/8", text)
	case prefix.Addr().Is4In6():
		return prefix, fmt.Errorf("%q is IPv4 in the guise of IPv6; write it as IPv4", text)
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("%q has bits beyond its prefix; write %s, or %s for the one address",
			text, prefix.Masked(), prefix.Addr())
	}
	return prefix, nil
}

func (o options) String() string {
	var parts []string
	if o.mode != 0 {
		parts = append(parts, fmt.Sprintf("mode=%04o", o.mode))
	}
	if o.group != "" {
		parts = append(parts, "group="+url.QueryEscape(o.group))
	}
	if len(o.allow) > 0 {
		parts = append(parts, "allow="+list(o.allow))
	}
	if len(o.proxy) > 0 {
		parts = append(parts, "proxy="+list(o.proxy))
	}
	if o.proxyUnix {
		parts = append(parts, "proxy=unix")
	}
	return strings.Join(parts, "&")
}

func list(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		texts[i] = prefix.String()
	}
	return strings.Join(texts, ",")
}

// socketMode is the mode of a new unix socket.
func (o options) socketMode() fs.FileMode {
	switch {
	case o.mode != 0:
		return o.mode
	case o.group != "":
		return 0o660
	}
	return 0o600
}

// fitUnix says which options make no sense on a unix socket.
func (o options) fitUnix() error {
	switch {
	case len(o.allow) > 0:
		return errors.New("option allow: the peers of a unix socket have no addresses; its mode and group say who may connect")
	case len(o.proxy) > 0:
		return errors.New("option proxy: the peers of a unix socket have no addresses; want proxy=unix")
	}
	return nil
}

// fitTCP says which options make no sense on a TCP socket.
func (o options) fitTCP() error {
	if o.proxyUnix {
		return errors.New("option proxy: the peers have addresses; want a range such as proxy=10.0.0.0/24")
	}
	if len(o.allow) == 0 {
		return nil
	}
	for _, proxy := range o.proxy {
		if !slices.ContainsFunc(o.allow, proxy.Overlaps) {
			return fmt.Errorf("option proxy: %s lies outside of allow=%s, so nobody there could connect", proxy, list(o.allow))
		}
	}
	return nil
}

// guard says whether a TCP socket at ip may go without allow=. The zero Addr is
// everywhere.
func (o options) guard(ip netip.Addr) error {
	if len(o.allow) > 0 || ip.Unmap().IsLoopback() {
		return nil
	}
	return errors.New("it can be reached from other machines, and whoever reaches an SCGI port can claim any" +
		" REMOTE_ADDR; name the front ends, such as ?allow=10.0.0.0/24, or listen on 127.0.0.1")
}
