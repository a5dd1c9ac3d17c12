// Package deploy holds the files an operator copies to put windsock behind a web server. It is a package
// so that tests can start the real web servers with these files, byte for byte; nothing else imports it.
package deploy

import "embed"

// Files are the web servers' configuration files, as in this folder ("nginx/windsock.conf").
//
//go:embed nginx lighttpd apache
var Files embed.FS
