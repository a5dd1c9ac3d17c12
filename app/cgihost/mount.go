package cgihost

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/windsock-scgi/windsock/scgi"
)

// Mount is a path that stands for a program, or for a folder of them.
type Mount struct {
	Prefix string // such as "/cgi"; empty for "/"
	File   string // the program or folder
}

// ParseMount parses "/prefix=/path/to/dir-or-program". What is there on disk is
// Check's to say.
func ParseMount(s string) (Mount, error) {
	prefix, file, ok := strings.Cut(s, "=")
	switch {
	case !ok || file == "":
		return Mount{}, fmt.Errorf("%q is not /PREFIX=PATH", s)
	case path.Clean("/"+prefix) != prefix:
		return Mount{}, fmt.Errorf("%q: %q is no path like /cgi", s, prefix)
	}
	return Mount{Prefix: strings.TrimSuffix(prefix, "/"), File: file}, nil
}

// Check says what is wrong with the program or folder, if anything is.
func (m Mount) Check() error {
	info, err := os.Stat(m.File)
	switch {
	case err != nil:
		return err
	case !info.IsDir() && !runnable(info):
		return fmt.Errorf("%s is neither a folder nor an executable file", m.File)
	}
	return nil
}

func runnable(info os.FileInfo) bool { return info.Mode().IsRegular() && info.Mode()&0o111 != 0 }

// script is a program as a request names it.
type script struct {
	file     string // absolute
	name     string // SCRIPT_NAME: the path that leads to it, as clients know it
	pathInfo string // what of the path is left behind it
}

// find finds the program for a request. Everything that is none, whatever the
// reason, looks the same.
func (h *Host) find(r *http.Request) (script, bool) {
	if !plain(r) {
		return script{}, false
	}
	var best *Mount
	for i := range h.Programs {
		m := &h.Programs[i]
		rest, ok := strings.CutPrefix(r.URL.Path, m.Prefix)
		if ok && (rest == "" || rest[0] == '/') && (best == nil || len(m.Prefix) > len(best.Prefix)) {
			best = m
		}
	}
	if best == nil {
		return script{}, false
	}
	s, ok := best.find(r.URL.Path[len(best.Prefix):])
	s.name = above(r) + best.Prefix + s.name
	return s, ok
}

// find finds the program for what follows the prefix. Of a folder only what lies
// directly in it counts: no other folder, symbolic link or hidden file.
func (m *Mount) find(rest string) (script, bool) {
	file, err := filepath.Abs(m.File)
	if err != nil {
		return script{}, false
	}
	info, err := os.Stat(file)
	if err != nil || !info.IsDir() {
		return script{file: file, pathInfo: rest}, err == nil && runnable(info)
	}
	name, pathInfo, hasInfo := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if hasInfo {
		pathInfo = "/" + pathInfo
	}
	if name == "" || name[0] == '.' {
		return script{}, false
	}
	file = filepath.Join(file, name)
	info, err = os.Lstat(file)
	return script{file, "/" + name, pathInfo}, err == nil && runnable(info)
}

// plain reports whether a path says what it seems to: it has no dot segments,
// which front ends resolve, no NUL, and no slash that came encoded.
func plain(r *http.Request) bool {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.Contains(strings.ToLower(raw), "%2f") || strings.Contains(r.URL.Path, "\x00") {
		return false
	}
	segments := strings.Split(r.URL.Path, "/")
	return !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}

// above is the mount that StripMount took off, as the client wrote it, or as the
// front end has it where it rewrote the path.
func above(r *http.Request) string {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		if mount, ok := strings.CutSuffix(u.Path, r.URL.Path); ok {
			return mount
		}
	}
	return strings.TrimRight(scgi.Env(r).Get("SCRIPT_NAME"), "/")
}
