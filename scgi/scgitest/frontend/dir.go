//go:build unix

package frontend

import (
	"os"
	"testing"
)

// SocketDir returns a new folder for unix sockets that is removed at the end of the test. Its path is
// short, since a socket's is limited to 107 bytes and t.TempDir's can be longer; and every user may enter
// it, for Apache's workers, which are not root.
func SocketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "frontend")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("frontend: %v", err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
