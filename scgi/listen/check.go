package listen

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Check says what Listen would find wrong with an address on this machine, as
// far as that shows without touching anything: a host name that stands for no
// address or the wrong one, a group that there is not, a folder that is not
// there or not for this user to write in, something at the path that is no
// socket. A server that answers is no fault: it may be the one that is asked
// about. Whether an inherited socket is passed is not to be known before.
func Check(ctx context.Context, addr string) error {
	a, err := Parse(addr)
	if err != nil {
		return err
	}
	switch a.Network {
	case "unix":
		err = a.checkUnix()
	case "tcp":
		_, _, err = a.bindTCP(ctx)
	}
	if err != nil {
		return fault(addr, err)
	}
	return nil
}

func (a Address) checkUnix() error {
	if _, err := groupID(a.options.group); err != nil {
		return err
	}
	folder := filepath.Dir(a.Address)
	if info, err := os.Stat(folder); err != nil {
		return fmt.Errorf("%w; make the folder first", err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s is no folder", folder)
	}
	if err := writable(folder); err != nil {
		return fmt.Errorf("cannot make a socket in %s: %w; this user must have the right to write there", folder, err)
	}
	_, err := socketAt(a.Address)
	return err
}
