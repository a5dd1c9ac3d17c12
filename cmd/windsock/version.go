package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/windsock-scgi/windsock/cmd/internal/program"
)

// version is set by the linker for a release: -ldflags "-X main.version=v1.2.3".
var version string

type versionCommand struct{}

// Run prints the version, and what it was built with.
func (versionCommand) Run(env program.Environment) error {
	_, err := fmt.Fprintf(env.Stdout, "windsock %s %s %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionText is the release's version, or that of the module or commit which
// was built.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "commit " + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return info.Main.Version
}
