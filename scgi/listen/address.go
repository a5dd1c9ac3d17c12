package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Address is an address text taken apart: one that Parse or ParseRemote found
// valid. The zero Address is not.
type Address struct {
	Network string // "unix", "tcp", "fd" or "systemd"
	Address string // the path, host:port, descriptor or name

	options options
}

// Parse reads the address of a listener and validates all of it that can be
// validated without touching anything: host names are not looked up, groups
// neither.
func Parse(addr string) (Address, error) {
	a, err := parse(addr)
	if err == nil {
		err = a.listenable()
	}
	if err != nil {
		return Address{}, fault(addr, err)
	}
	return a, nil
}

// ParseRemote reads the address of somebody else's listener, to Dial it: of a
// unix or TCP socket. Options are validated, so that the listener's own address
// text can be used, and mean nothing; allow= is not needed.
func ParseRemote(addr string) (Address, error) {
	a, err := parse(addr)
	if err == nil {
		err = a.dialable()
	}
	if err != nil {
		return Address{}, fault(addr, err)
	}
	return a, nil
}

// fault names the address in front of what is wrong with it.
func fault(addr string, err error) error {
	return fmt.Errorf("listen: %s: %w", addr, err)
}

// String gives the address back in its canonical form, which parses to the
// same Address.
func (a Address) String() string {
	text := a.Network + ":" + a.Address
	if query := a.options.String(); query != "" {
		text += "?" + query
	}
	return text
}

// parse splits the text at its first colon and its first question mark.
func parse(addr string) (Address, error) {
	network, rest, _ := strings.Cut(addr, ":")
	text, query, _ := strings.Cut(rest, "?")
	text, err := canonical(network, text)
	if err != nil {
		return Address{}, err
	}
	opts, err := parseOptions(network, query)
	if err != nil {
		return Address{}, err
	}
	return Address{Network: network, Address: text, options: opts}, nil
}

func canonical(network, text string) (string, error) {
	switch network {
	case "unix":
		return text, checkPath(text)
	case "tcp":
		return canonicalHostPort(text)
	case "fd":
		return text, checkDescriptor(text)
	case "systemd":
		return text, checkName(text)
	}
	return "", errors.New("unknown kind of address; want unix:PATH, tcp:HOST:PORT, fd:N or systemd:NAME")
}

// listenable says what keeps the address from being listened on.
func (a Address) listenable() error {
	switch a.Network {
	case "unix":
		return a.options.fitUnix()
	case "tcp":
		if err := a.options.fitTCP(); err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(a.Address) // canonical: cannot fail
		if ip, err := netip.ParseAddr(host); err == nil || host == "" {
			return a.options.guard(ip)
		}
	}
	return nil // what a name or a descriptor stands for is seen by Listen
}

// dialable says what keeps the address from being dialled.
func (a Address) dialable() error {
	switch {
	case a.Network != "unix" && a.Network != "tcp":
		return fmt.Errorf("%s: addresses are for listening; connect to a unix: or tcp: one", a.Network)
	case a.Network == "tcp" && strings.HasSuffix(a.Address, ":0"):
		return errors.New("port 0 is for listening; name the port that was chosen")
	}
	return nil
}

// maxPath is the longest path that fits a socket's address: 107 bytes on Linux.
const maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

func checkPath(path string) error {
	base := filepath.Base(path)
	switch {
	case path == "":
		return errors.New("the path is missing; want unix:PATH")
	case strings.ContainsRune(path, 0):
		return errors.New("the path holds a NUL byte")
	case path[0] == '@':
		return errors.New("abstract sockets have no permissions; use a path (unix:./@name if the file is called that)")
	case len(path) > maxPath:
		return fmt.Errorf("the path has %d bytes, a socket's may have %d; choose a shorter one", len(path), maxPath)
	case strings.HasSuffix(path, "/") || base == "." || base == "..":
		return errors.New("the path names a folder; name a file in it")
	}
	return nil
}

func canonicalHostPort(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("want tcp:HOST:PORT, IPv6 as tcp:[::1]:PORT: %w", err)
	}
	if number, err := decimal(port, 16); err != nil {
		return "", fmt.Errorf("port %q: want a number from 0 to 65535", port)
	} else if ip, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(ip.String(), strconv.FormatUint(number, 10)), nil
	}
	if !validHost(host) {
		return "", fmt.Errorf("host %q: want an IP address, a host name or nothing", host)
	}
	return net.JoinHostPort(host, port), nil
}

// validHost accepts what can be a host name, and the empty host: everywhere. A
// name that ends in a number is a mistyped IPv4 address.
func validHost(host string) bool {
	if host == "" {
		return true
	}
	for _, c := range []byte(host) {
		if !isAlphanumeric(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	_, err := strconv.ParseUint(labels[len(labels)-1], 0, 64)
	return err != nil && labels[0] != ""
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func checkDescriptor(text string) error {
	if _, err := decimal(text, 31); err != nil {
		return fmt.Errorf("%q is no descriptor; want fd:N, such as fd:0", text)
	}
	return nil
}

// checkName applies the rules of FileDescriptorName= (systemd.socket(5)).
func checkName(name string) error {
	if name == "" {
		return errors.New("the name is missing; want systemd:NAME")
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return fmt.Errorf("%q cannot be a FileDescriptorName", name)
		}
	}
	return nil
}

// decimal reads a number of digits alone, without leading zeros.
func decimal(text string, bits int) (uint64, error) {
	number, err := strconv.ParseUint(text, 10, bits)
	if err == nil && text != strconv.FormatUint(number, 10) {
		err = strconv.ErrSyntax
	}
	return number, err
}
