//go:build unix

// Package frontend runs the real nginx, lighttpd and Apache in front of an SCGI server, for tests.
//
//	func TestBehindNginx(t *testing.T) {
//		socket := filepath.Join(frontend.SocketDir(t), "app.sock")
//		... // serve SCGI on it
//		front := frontend.Start(t, frontend.Nginx, frontend.Config{Backend: "unix:" + socket, Style: frontend.Full})
//		resp, err := http.Get(front.URL + "/habitat/")
//	}
//
// A front end listens on a free loopback port, keeps all its files in a temporary folder, runs with a
// minimal fixed environment, and ends with the test. It is found in PATH or in /usr/sbin; where it is not
// installed the test is skipped, or fails when CI=true. The file install.sh installs what is missing.
//
// Start works as root and as any other user. Root's nginx and lighttpd stay root; Apache refuses to, so
// its workers run as www-data and must be able to reach a unix socket: see [SocketDir] and [Config].
// Layout and program names are Debian's.
package frontend
