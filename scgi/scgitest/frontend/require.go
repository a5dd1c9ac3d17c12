//go:build unix

package frontend

import (
	"os"
	"os/exec"
	"testing"
)

// Require makes sure that front ends are installed, as RequireProgram does. Start does this by itself.
func Require(t testing.TB, kinds ...Kind) {
	t.Helper()
	for _, kind := range kinds {
		RequireProgram(t, programs[kind].name, programs[kind].debianPackage)
	}
}

// RequireProgram returns the path of a program, which is looked for in PATH and in the folders of system
// programs. If there is none, the test is skipped and says what to install; with CI=true in the
// environment it fails, since there a skipped test would go unseen.
func RequireProgram(t testing.TB, name, debianPackage string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	missing(t, name, debianPackage)
	return ""
}

// RequireFile is RequireProgram for what a package has instead of a program, by its path.
func RequireFile(t testing.TB, path, debianPackage string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, path, debianPackage)
	}
}

// missing ends a test.
func missing(t testing.TB, what, debianPackage string) {
	t.Helper()
	const text = "NOT TESTED: %s is not installed: sudo apt-get install --no-install-recommends %s"
	if os.Getenv("CI") == "true" {
		t.Fatalf(text, what, debianPackage)
	}
	t.Skipf(text, what, debianPackage)
}
