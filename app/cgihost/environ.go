package cgihost

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/windsock-scgi/windsock/scgi"
)

// passed are the variables that a program gets as the front end sent them, if
// they are not empty. Others it may not set: what reaches an SCGI socket could
// else choose LD_PRELOAD.
var passed = map[string]bool{
	"AUTH_TYPE": true, "CONTENT_TYPE": true, "REMOTE_ADDR": true, "REMOTE_HOST": true, "REMOTE_IDENT": true, "REMOTE_USER": true,
	"SERVER_NAME": true, "SERVER_PORT": true, "SERVER_PROTOCOL": true, // RFC 3875, section 4.1
	"DOCUMENT_ROOT": true, "REMOTE_PORT": true, "REQUEST_SCHEME": true, "REQUEST_URI": true, "SERVER_ADDR": true,
}

// withheld are request headers that it does not get: passwords, as section 9.2
// says, what would be taken for a setting (httpoxy), and what speaks of the
// client's connection to the front end or has a variable of its own.
var withheld = map[string]bool{
	"HTTP_AUTHORIZATION": true, "HTTP_PROXY_AUTHORIZATION": true, "HTTP_PROXY": true,
	"HTTP_CONTENT_LENGTH": true, "HTTP_CONTENT_TYPE": true, "HTTP_TRANSFER_ENCODING": true,
}

// inherited are the variables of this process's own that it gets.
var inherited = []string{"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"}

const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// environ is a program's environment: RFC 3875, section 4.1. What more adds is
// CheckEnv's.
func environ(r *http.Request, s script, software string, more []string) []string {
	vars := scgi.Env(r)
	env := []string{
		"GATEWAY_INTERFACE=CGI/1.1",
		"SERVER_SOFTWARE=" + software,
		"REQUEST_METHOD=" + r.Method,
		"QUERY_STRING=" + r.URL.RawQuery,
		"SCRIPT_NAME=" + s.name,
		"SCRIPT_FILENAME=" + s.file,
	}
	for name, value := range vars.All() {
		if passed[name] && value != "" || strings.HasPrefix(name, "SSL_") && isVariable(name) ||
			strings.HasPrefix(name, "HTTP_") && isVariable(name) && !withheld[name] {
			env = append(env, name+"="+value)
		}
	}
	if s.pathInfo != "" {
		env = append(env, "PATH_INFO="+s.pathInfo)
		if root := vars.Get("DOCUMENT_ROOT"); root != "" {
			env = append(env, "PATH_TRANSLATED="+strings.TrimRight(root, "/")+s.pathInfo)
		}
	}
	if r.TLS != nil {
		env = append(env, "HTTPS=on") // programs look only whether it is there
	}
	if _, sent := vars.Lookup("HTTP_CONTENT_LENGTH"); sent || r.ContentLength > 0 {
		env = append(env, "CONTENT_LENGTH="+strconv.FormatInt(r.ContentLength, 10))
	}
	return slices.Concat(env, missing(r, vars), own(), more) // of a name that comes twice the last one counts
}

// ofRequest are the variables that CGI sets itself, beside those in passed.
var ofRequest = map[string]bool{
	"CONTENT_LENGTH": true, "GATEWAY_INTERFACE": true, "HTTPS": true, "PATH_INFO": true, "PATH_TRANSLATED": true,
	"QUERY_STRING": true, "REQUEST_METHOD": true, "SCRIPT_FILENAME": true, "SCRIPT_NAME": true, "SERVER_SOFTWARE": true,
}

// CheckEnv says what is wrong with "NAME=VALUE" as one of a Host's Env, if
// anything is. The name must not be one that says something of the request: those
// of RFC 3875 and their like, HTTP_* and SSL_*, since programs believe them. It
// may be one that programs get of this process's own environment, such as PATH.
func CheckEnv(s string) error {
	name, value, ok := strings.Cut(s, "=")
	switch {
	case !ok || name == "":
		return fmt.Errorf("%q is not NAME=VALUE", s)
	case !isVariable(strings.ToUpper(name)) || '0' <= name[0] && name[0] <= '9':
		return fmt.Errorf("%q: a name has letters, digits and underscores, and no digit first", s)
	case strings.Contains(value, "\x00"):
		return fmt.Errorf("%q: a value has no NUL", s)
	case passed[name], ofRequest[name], strings.HasPrefix(name, "HTTP_"), strings.HasPrefix(name, "SSL_"):
		return fmt.Errorf("%q: %s is said by the request", s, name)
	}
	return nil
}

// missing are variables that must be there but that the front end left out.
func missing(r *http.Request, vars scgi.Vars) (env []string) {
	if vars.Get("SERVER_NAME") == "" {
		name, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			name = r.Host
		}
		env = append(env, "SERVER_NAME="+name)
	}
	if vars.Get("SERVER_PORT") == "" {
		port := "80"
		if r.TLS != nil {
			port = "443"
		}
		env = append(env, "SERVER_PORT="+port)
	}
	if vars.Get("SERVER_PROTOCOL") == "" {
		env = append(env, "SERVER_PROTOCOL="+r.Proto)
	}
	return env
}

// own is what a program gets of our own environment.
func own() (env []string) {
	for _, name := range inherited {
		value := os.Getenv(name)
		if value == "" && name == "PATH" {
			value = defaultPath
		}
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// isVariable reports whether a name may be one in an environment: an equals sign
// in it would make another variable of it.
func isVariable(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
