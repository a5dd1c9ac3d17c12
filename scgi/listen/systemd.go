package listen

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// systemdFirst is SD_LISTEN_FDS_START: the first descriptor that is passed.
const systemdFirst = 3

// systemdNames are the names of the sockets that were passed, in order.
type systemdNames []string

// systemdSockets reads what sd_listen_fds_with_names(3) reads.
func systemdSockets(getenv func(string) string, pid int) (systemdNames, error) {
	switch owner := getenv("LISTEN_PID"); owner {
	case strconv.Itoa(pid):
	case "":
		return nil, errors.New("no sockets were passed (LISTEN_PID is not set); start it by a .socket unit")
	default:
		return nil, fmt.Errorf("the sockets were passed to process %s and this is %d; a wrapper script must exec the server", owner, pid)
	}
	count, err := decimal(getenv("LISTEN_FDS"), 16)
	if err != nil || count == 0 {
		return nil, fmt.Errorf("no sockets were passed (LISTEN_FDS is %q)", getenv("LISTEN_FDS"))
	}
	if getenv("LISTEN_FDNAMES") == "" {
		return strings.Split(strings.Repeat(":unknown", int(count))[1:], ":"), nil
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	if len(names) != int(count) {
		return nil, fmt.Errorf("%d sockets were passed and %d names (LISTEN_FDNAMES is %q)", count, len(names), getenv("LISTEN_FDNAMES"))
	}
	return names, nil
}

// find is the descriptor of the one socket of that name.
func (names systemdNames) find(name string) (int, error) {
	found := -1
	for i, other := range names {
		if other != name {
			continue
		}
		if found >= 0 {
			return -1, fmt.Errorf("descriptors %d and %d both have this name; give each its own FileDescriptorName= or say fd:%d", found, systemdFirst+i, found)
		}
		found = systemdFirst + i
	}
	if found < 0 {
		return -1, fmt.Errorf("no socket of this name was passed; there are: %s", strings.Join(names, ", "))
	}
	return found, nil
}
