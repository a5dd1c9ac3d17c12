// Package listen opens the listeners that an SCGI server serves, by address:
//
//	unix:/run/app.sock                  a unix socket; unix:relative/path too
//	tcp:127.0.0.1:4000                  TCP; tcp:[::1]:4000, tcp:localhost:4000, tcp::4000 (everywhere)
//	fd:0                                an inherited descriptor, such as lighttpd's bin-path gives
//	systemd:NAME                        the socket of that FileDescriptorName= in a .socket unit
//
// Options follow a question mark and are separated by &:
//
//	mode=0660        unix                octal; 0600 unless given, 0660 when a group is given
//	group=www-data   unix                name or number; the process's own unless given
//	allow=CIDR,...   tcp, fd, systemd    peers that may connect; may be repeated
//	proxy=CIDR,...   tcp, fd, systemd    peers that speak the PROXY protocol; may be repeated
//	proxy=unix       unix, fd, systemd   every peer of the unix socket speaks it
//
// What stands before the first question mark is taken as it is: no escapes, so
// a path may hold any byte but NUL and '?'. The options are a URL's query:
// %26 is an ampersand in a group's name. An option that is unknown, out of
// place or given twice is an error.
//
// # Unix sockets
//
// The path has at most 107 bytes (103 on BSD and macOS). A stale socket, one on
// which nobody answers, is replaced. One on which somebody answers is an error,
// and so is anything at the path that is no socket: a symbolic link, say. The
// abstract sockets of Linux (@name) have no permissions and are refused.
//
// The socket is made in a folder of its own, PATH.new, that only this user may
// enter; there it gets its group and mode, whatever the umask, and then it is
// renamed to its path. So it is never open to more than was asked for, and
// once its path is there it is served. PATH.new is removed at once. While it
// stands it is also a lock (flock): of two servers that start on one path one
// wins and the other gets an error. Tools such as ss, and the LocalAddr of
// connections, name the socket by where it was made: PATH.new/s.
//
// Close and MoveAside remove the socket's file if it is still this listener's
// own by device and inode: a successor's is left alone.
//
// # TCP
//
// Whoever reaches an SCGI port can claim any REMOTE_ADDR. So an address that is
// not loopback needs allow=, for an inherited socket too, and peers outside it
// are closed at once. With allow= it alone counts, for loopback peers as well.
// A loopback address without it takes whom the kernel lets through, which is
// this machine's processes; where net.ipv4.conf.*.route_localnet is on say
// allow=127.0.0.0/8. allow= looks at who connects, never at a PROXY header.
//
// A host name is looked up once, by Listen, and its first IPv4 address is
// bound, or else its first one. It counts as loopback when all its addresses
// do.
//
// # PROXY protocol
//
// A peer that proxy= names must begin with a PROXY header, version 1 or 2; its
// connections fail without one. The connection's RemoteAddr is then the one in
// the header, or the peer's own after the LOCAL command. Every other peer is
// served as plain: its PROXY header is not looked at, never believed, and
// fails as the malformed SCGI that it is.
//
// The header is read in the first Read, Write, RemoteAddr or LocalAddr of the
// connection, which may wait for it up to five seconds: call none of them in an
// accept loop. Accept itself never waits for it.
//
// # Inherited sockets
//
// They are never unlinked, and the descriptor stays open besides the listener:
// whoever passed it goes on listening, and its queue is not this process's to
// empty. It is set close-on-exec, and non-blocking for everyone who shares it.
//
// # Limits
//
// A server of another make that starts on the path in the same moment knows
// nothing of the lock, and may lose its socket's file or replace ours. On
// systems without flock there is no lock. On Windows the package only
// compiles.
package listen
