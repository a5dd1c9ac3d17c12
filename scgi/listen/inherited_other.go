//go:build !unix

package listen

import "errors"

func adopt(int) (socket, error) {
	return nil, errors.New("inherited sockets are not supported on this system")
}

func closeOnExec(int) {}
