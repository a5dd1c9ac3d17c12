/*
Package scgi serves net/http handlers behind web servers that speak SCGI, as
net/http/fcgi does for FastCGI: nginx (scgi_pass), lighttpd (mod_scgi) and
Apache (mod_proxy_scgi). Beyond what fcgi does it has limits, timeouts, a
shutdown that loses nothing, and contexts that end when the front end goes away.
It also holds the other half, a [Transport] that sends requests as a front end
does.

	l, err := net.Listen("unix", "/run/app.sock")
	…
	s := &scgi.Server{Handler: handler}
	go func() {
		<-ctx.Done()
		s.Shutdown(context.Background())
	}()
	err = s.Serve(l) // scgi.ErrServerClosed
	<-s.Done()       // every request has been answered

# The protocol

A request is a header, a netstring of variables, and a body. The front end opens
a connection for it, and the application closes that when it has answered:

	70:CONTENT_LENGTH 27 SCGI 1 REQUEST_METHOD POST REQUEST_URI /deepthought ,
	What is the answer to life?

with a NUL where a blank stands within the header. The first variable is
CONTENT_LENGTH, and SCGI is 1; the others are those of CGI (RFC 3875). The answer
is CGI's too: a Status field, other fields, an empty line, the body. The
specification is https://python.ca/scgi/protocol.txt. There is no keep-alive, no
chunked framing and no interim (1xx) answer; an upgrade (101) works by Hijack
where the front end allows it.

What is malformed is refused with 400, a header over the limit with 431, and what
only the front end's settings can cause with 500, since clients take a 400 for final:
a CONTENT_LENGTH that is not the client's own (HTTP_CONTENT_LENGTH). See [ReadHeader] for how strict that is, and for what happens to variables that
come twice.

# The request

The handler gets what net/http would give it: the method; the URL from
REQUEST_URI, in origin form and apart from the host; Host; RemoteAddr with port 0
when the front end names none; TLS, without any detail, when HTTPS says so; and
of the variables HTTP_* the header. HTTP_PROXY never becomes a header (httpoxy),
nor do HTTP_TRANSFER_ENCODING, HTTP_CONTENT_LENGTH and HTTP_CONTENT_TYPE, which
are about the client's connection to the front end. The header's Content-Type is
CONTENT_TYPE, and its Content-Length is CONTENT_LENGTH, when that is above 0 or the
client said one. The context's http.LocalAddrContextKey is the address of SERVER_ADDR
and SERVER_PORT, or the connection's own without them; nginx sends SERVER_ADDR only
when told to. [Env] has all variables as they came, and [StripMount] finds the path
under the application's mount in what each front end sends.

The context ends when the handler returns and when the front end closes its
connection, also while the body is unread. FRONTENDS.md shows which front ends close
it when their client leaves. On a unix socket, and with AllowHalfClose, a front end
that has ended only its sending half is still there.

A body that ends early reads as io.ErrUnexpectedEOF. Bodies stream; a handler
bounds them with http.MaxBytesReader. The temporary files of a multipart form are
removed when the handler has ended, after a panic too, unless it hijacked.

# The answer

It has the Status field first and a Content-Length whenever that is known: when
the handler says it, and when the whole body fits 4 KiB. A Content-Type is sniffed
when there is a body and the handler sets none. Hop-by-hop fields and those that
Connection names are dropped; values are cleaned of CR and LF. When an answer is
complete before the request's body was read, it is half-closed and what still comes
is drained, within bounds, since closing at once is a 502 to nginx and a 503 to Apache.

A handler that panics costs its own request: 500 when nothing was sent, else the
connection is broken off. A front end can see that when there was a
Content-Length, and on TCP by the reset; on a unix socket, and without a
Content-Length, a broken answer looks complete, whatever the application does.
That is a limit of the protocol: who streams what must arrive whole says how long
it is. FRONTENDS.md shows what each front end makes of this, and of all else here.

A header block of more than 4096 bytes is more than nginx takes by default
(scgi_buffer_size): that is logged once.

A [CGIWriter] makes an answer of what a CGI program prints.

# Differences from net/http

  - No Date field: the front end adds its own.
  - Hop-by-hop fields are dropped, and those that Connection names (but for 101): the
    client's connection is the front end's.
  - A Status field of the handler's is dropped: in CGI it is the answer's status.
  - A Content-Length is added to bodies of up to 4 KiB, not of 2 KiB.
  - WriteHeader with 1xx does nothing, but for 101 before Hijack.
  - Location is dropped from a 200, where it makes front ends redirect.
  - Trailers are not sent.
  - A panic before anything was sent is answered 500, not by closing.
  - A request's field that came twice is one value, joined with commas (cookies
    with semicolons).
  - Underscores in the names of a request's fields become hyphens, if the front
    end sends such a field at all.
  - The length of a body is always known: the front end takes chunks in, and
    drops trailers.
  - A path with a NUL (%00) is answered 400 by nginx and [Transport]: a variable
    cannot hold it.
  - A body can be read after the answer has begun; EnableFullDuplex does nothing.
  - An absolute URL in a request loses scheme and host; Host is the front end's.
  - OPTIONS *, and an Expect that net/http refuses, are the handler's to answer.
  - A hijacked connection speaks SCGI to the front end: what is written to it
    must begin with an answer's header, unless WriteHeader was called before. So
    coder/websocket works where upgrades do. What writes an HTTP status line by
    itself (gorilla/websocket, an upgrade by httputil.ReverseProxy) works only behind
    a front end that takes one: nginx, lighttpd and [Transport] do, Apache does not.
  - The context has no http.ServerContextKey: that promises an *http.Server.
  - No http.CloseNotifier: the context does that.

# Differences from net/http/fcgi

fcgi has no Server type, no timeouts and no shutdown; it never cancels a request's
context, and a handler's panic ends its process.

# The serving state

A server goes one way, new, serving, draining, closed, and every step is taken
under one lock. Two channels show it: [Server.Serving] is closed when the first
listener is registered, [Server.Done] when nothing runs any more. Done is closed on
every way to the end, so whoever waits for the one waits for both:

	select {
	case <-s.Serving():
	case <-s.Done(): // shut down, or failed, before it ever served: s.Err()
	}

This is why. habitat's HTTP server of 2010 stood on Python's SocketServer, of
which shutdown() set a flag and waited for serve_forever() to see it; but
serve_forever() began by clearing that flag and the event that shutdown() waits
on. A shutdown that came before the thread with serve_forever() had begun found
nobody to tell: it waited for a loop that had not started, and the loop, once it
had, forgot that it was to stop. habitat slept for a moment and hoped. Here a
Shutdown and the registration of a listener take the same lock, and one of them
is first. If it is Shutdown, Serve and Start return [ErrServerClosed]; if it is
the registration, Shutdown ends that listener like any other. There is no third
case, nothing polls and nothing sleeps.

What Shutdown finds, and does:

	new        it is closed at once; a later Serve or Start fails
	serving    listeners are emptied of what is queued now, and closed; requests finish
	draining   it waits for the same end as the first Shutdown
	closed     it waits for handlers that still run, if any

# Limits

On systems other than Linux a request's context is not ended by the front end's
going away, and connections that wait in the kernel's queue at a Shutdown are
refused. With several listeners, MaxConns may be exceeded by one each. A handler
that hijacks must not leave a read of the request's body behind.
*/
package scgi
