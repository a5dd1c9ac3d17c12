package cgihost

import (
	"cmp"
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
	s.name = h.above(r) + best.Prefix + s.name
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
// which front ends resolve, no NUL, and no slash that came encoded. Nor does it
// begin with two slashes: to a client that is sent there it would be another host.
func plain(r *http.Request) bool {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.Contains(strings.ToLower(raw), "%2f") || strings.Contains(r.URL.Path, "\x00") || strings.HasPrefix(r.URL.Path, "//") {
		return false
	}
	segments := strings.Split(r.URL.Path, "/")
	return !slices.Contains(segments, ".") && !slices.Contains(segments, "..")
}

// above is the path above r.URL.Path, which StripMount took off, as the front end
// has it. It is never taken from REQUEST_URI: that is the client's, and may hold
// whatever front ends clean away, such as "//host/..". Where SCRIPT_NAME and
// PATH_INFO together are not the path, one of these holds: PATH_INFO is still
// encoded or missing, and SCRIPT_NAME is the whole path (Apache); nothing was
// taken off; or the front end splits nothing (nginx's stock scgi_params).
func (h *Host) above(r *http.Request) string {
	vars := scgi.Env(r)
	name := vars.Get("SCRIPT_NAME")
	for _, whole := range []string{name + vars.Get("PATH_INFO"), name} {
		if above, ok := strings.CutSuffix(whole, r.URL.Path); ok {
			return oneSlash(above)
		}
	}
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil && u.Path == r.URL.Path {
		return ""
	}
	return oneSlash(strings.TrimRight(cmp.Or(h.Mount, name), "/"))
}

// oneSlash is a path that begins with one slash where it began with more.
func oneSlash(path string) string {
	if strings.HasPrefix(path, "//") {
		return "/" + strings.TrimLeft(path, "/")
	}
	return path
}
