package sqlite

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// This file refuses a store that can be reached under two names. The lock and the
// write-ahead log are found by the store's name, so under a second name there would
// be a second lock and a second log, and each writer would undo what the other has
// stored. [locate] resolves symbolic links; hard links and mounts of a single file
// look like any other file.

// checkNames returns an error when the store or a file beside it has another name.
// A name that is made later is not noticed.
func checkNames(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := checkLinks(path + suffix); err != nil {
			return err
		}
	}
	mounts, err := os.Open("/proc/self/mountinfo") // elsewhere than on Linux there is none
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer mounts.Close() // it was only read
	mounted, err := isMountPoint(mounts, path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", mounts.Name(), err)
	}
	if mounted {
		return fmt.Errorf("%s is mounted by itself, so its lock and its write-ahead log are not where the file really is:"+
			" mount its folder instead", path)
	}
	return nil
}

func checkLinks(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Nlink <= 1 || !info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s has %d names (hard links), and two windsocks under two names lose each other's messages:"+
		" stop every windsock, and remove the other names (find / -xdev -samefile %[1]s lists them)."+
		" For a copy use windsock backup", path, stat.Nlink)
}

// isMountPoint reports whether something is mounted at path, by the list that is
// described in proc_pid_mountinfo(5).
func isMountPoint(mountinfo io.Reader, path string) (bool, error) {
	const mountPoint = 4 // the fields are counted from 0
	escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(path)
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > mountPoint && fields[mountPoint] == escaped {
			return true, nil
		}
	}
	return false, lines.Err()
}
