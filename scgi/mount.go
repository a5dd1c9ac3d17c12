package scgi

import (
	"net/http"
	"net/url"
	"strings"
)

// StripMount serves h under a mount: the part of the path that belongs to the
// front end's configuration and not to the application. h sees the path behind
// it in r.URL.Path, which starts with "/"; all else is as it came.
//
// Front ends agree only on REQUEST_URI, so the path is found like this:
//
//   - PATH_INFO when there is one, even an empty one, which stands for "/". A
//     SCRIPT_NAME that goes on past the mount by whole segments gives them back
//     (lighttpd with a key that ends in a slash), and where it does not reach
//     the mount, PATH_INFO does (a front end that splits nothing). A PATH_INFO
//     that is still percent-encoded, and so a suffix of REQUEST_URI's path, is
//     decoded once; SCRIPT_NAME, which then is the whole path, ends before it
//     (Apache).
//   - without PATH_INFO (nginx's stock scgi_params) REQUEST_URI's path, decoded,
//     less the mount.
//
// An empty mount means SCRIPT_NAME, and when there is none, no mount at all.
// A path that is not under the mount is passed on whole, so that the handler's
// own answer for unknown paths is given.
func StripMount(mount string, h http.Handler) http.Handler {
	mount = strings.TrimRight(mount, "/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stripped := *r
		stripped.URL = mountedURL(mount, Env(r), r.URL)
		defer func() { r.MultipartForm = stripped.MultipartForm }() // for the server, which removes its files
		h.ServeHTTP(w, &stripped)
	})
}

// mountedURL is the URL as the application under the mount sees it.
func mountedURL(mount string, vars Vars, whole *url.URL) *url.URL {
	u := *whole
	scriptName := vars.Get("SCRIPT_NAME")
	if pathInfo, ok := vars.Lookup("PATH_INFO"); ok {
		_, isApache := vars.Lookup("proxy-scgi-pathinfo")
		u.Path, u.RawPath = mountedPathInfo(mount, scriptName, pathInfo, whole.EscapedPath(), isApache), ""
	} else {
		if mount == "" {
			mount = strings.TrimRight(scriptName, "/")
		}
		u.Path = cutMount(whole.Path, mount)
		u.RawPath = cutMount(whole.RawPath, (&url.URL{Path: mount}).EscapedPath())
	}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	if len(u.RawPath) == len(whole.RawPath) && u.Path != whole.Path {
		u.RawPath = "" // the client encoded the mount in a way of its own
	}
	return &u
}

// mountedPathInfo is the path that PATH_INFO means. escaped is REQUEST_URI's.
func mountedPathInfo(mount, scriptName, pathInfo, escaped string, isApache bool) string {
	isSuffix := strings.HasSuffix(escaped, pathInfo)
	if strings.Contains(pathInfo, "%") && (isSuffix || isApache) {
		decoded, err := url.PathUnescape(pathInfo)
		if err != nil {
			return pathInfo
		}
		if !isSuffix { // AllowEncodedSlashes NoDecode: encoded by Apache once more
			return decoded
		}
		scriptName, pathInfo = strings.TrimSuffix(scriptName, decoded), decoded
	}
	path := scriptName + pathInfo
	if rest := cutMount(path, mount); mount != "" && rest != path {
		return rest
	}
	return pathInfo
}

// cutMount takes the mount off a path, in whole segments only.
func cutMount(path, mount string) string {
	if rest, ok := strings.CutPrefix(path, mount); ok && (rest == "" || rest[0] == '/') {
		return rest
	}
	return path
}
