package listen

import (
	"fmt"
	"os"
)

// viaDescriptor is a short path for a file in an open folder, however long the
// folder's own path is.
func viaDescriptor(dir *os.File, file, _ string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), file)
}
