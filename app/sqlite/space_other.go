//go:build !(linux || darwin || freebsd)

package sqlite

import "errors"

// Space implements retention.Pruner, and does not know.
func (l *Log) Space() (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
