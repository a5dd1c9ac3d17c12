//go:build linux || darwin || freebsd

package sqlite

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// Space implements retention.Pruner: what whoever is not root may still use.
func (l *Store) Space() (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(l.lock.Name()), &s); err != nil {
		return 0, 0, fmt.Errorf("sqlite: looking for space on the disk: %w", err)
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize), nil
}
