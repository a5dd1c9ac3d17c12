//go:build unix

package scgi_test

// Notes that several rows have.
const (
	noteLength = "Apache since 2.4.59 drops the Content-Length of an SCGI answer. " +
		"`SetEnvIf Request_URI . ap_trust_cgilike_cl` keeps it."
	noteStream = "lighttpd collects an answer before it sends it. With `server.stream-response-body = 1` it passes on what " +
		"comes; with `2` it also keeps a long answer off its disk."
	noteKept = "A client that keeps its connection alive sees it only when the front end closes that: after " +
		"lighttpd's `server.max-keep-alive-idle` or Apache's `KeepAliveTimeout`, both 5 s by default."
	noteNoReset = "A unix socket has no reset: without a Content-Length a broken answer looks complete, whatever the " +
		"application does."
)

// matrixRows are in the order of FRONTENDS.md, where notes are numbered as they are met.
var matrixRows = []matrixRow{
	{name: "GET: path, query, header, addresses", path: "/get", check: checkGet, notes: []matrixNote{
		{on: []matrixPlace{onNginx},
			text: "nginx as Debian packages it sends the Host without its port: see `/etc/nginx/scgi_params`."},
	}},
	{name: "A percent-encoded path, by StripMount", path: "/a/b cé", check: checkEncodedPath, notes: []matrixNote{
		{on: []matrixPlace{onApache}, no: true, instead: checkEncodedPathOfApache,
			text: "Apache answers 404 to an encoded slash. With `AllowEncodedSlashes NoDecode` it lets it through, but then the " +
				"path has `%2F` for it. RequestURI has it as it was, and the rest of the path is right."},
	}},
	{name: "A request header that is repeated", path: "/repeated", check: checkRepeatedHeader},
	{name: "Cookie, repeated", path: "/cookie", check: checkRepeatedCookie, notes: []matrixNote{
		{on: []matrixPlace{onApache}, no: true, instead: checkRepeatedCookieOfApache,
			text: "Apache joins two Cookie fields with a comma, and so the second cookie becomes a part of the first. Browsers " +
				"send one field."},
	}},
	{name: "A request header of 40 KB", path: "/large", check: checkLargeHeader, notes: []matrixNote{
		{on: []matrixPlace{onNginx}, without: checkLargerHeaderRefused,
			text: "nginx: with `large_client_header_buffers 4 16k`. By default it answers 400."},
		{on: []matrixPlace{onLighttpd}, without: checkLargerHeaderRefused,
			text: "lighttpd: with `server.max-request-field-size = 65535`. By default, 8192, it answers 431."},
	}},
	{name: "POST", path: "/post", check: checkPost},
	{name: "POST, chunked", path: "/chunked", check: checkChunked, notes: []matrixNote{
		{on: []matrixPlace{onApache}, no: true, instead: checkChunkedRefused,
			text: "Apache answers 411: mod_proxy_scgi does not collect such a body."},
	}},
	{name: "413 to 30 MB that are not read", path: "/413", check: checkTooLarge},
	{name: "401 before the body is read", path: "/401", check: checkUnauthorized},
	{name: "HEAD: the header of GET", path: "/head", check: checkHead, notes: []matrixNote{
		{on: []matrixPlace{onApache}, set: true, text: noteLength, without: checkHeadWithoutLength},
	}},
	{name: "200 without a body", path: "/200", check: checkEmpty},
	{name: "204", path: "/204", check: checkNoContent},
	{name: "302 to a path", path: "/302", check: checkRedirect},
	{name: "304", path: "/304", check: checkNotModified},
	{name: "Range, by http.ServeContent", path: "/range", check: checkRange},
	{name: "Set-Cookie, twice", path: "/setcookie", check: checkSetCookies},
	{name: "An answer's header over 4 KiB", path: "/tall", check: checkTallHeader, notes: []matrixNote{
		{on: []matrixPlace{onNginx}, set: true, without: checkTallHeaderRefused,
			text: "nginx: with `scgi_buffer_size 16k; scgi_buffers 8 16k`. By default it answers 502."},
	}},
	{name: "A download of 1 GB in flat memory", path: "/download", check: checkDownload, notes: []matrixNote{
		{on: []matrixPlace{onLighttpd}, set: true, text: noteStream},
		{on: []matrixPlace{onApache}, set: true, text: noteLength},
	}},
	{name: "Server-sent events, each at once", path: "/events", check: checkEvents, notes: []matrixNote{
		{on: []matrixPlace{onNginx},
			text: "nginx: with `X-Accel-Buffering: no` in the answer's header, or `scgi_buffering off`."},
		{on: []matrixPlace{onLighttpd}, set: true, text: noteStream},
	}},
	{name: "WebSocket, by 101 and Hijack", path: "/websocket", check: checkWebSocket, notes: []matrixNote{
		{on: []matrixPlace{onLighttpd}, no: true, set: true, instead: checkWebSocketFramed,
			text: "lighttpd before 1.4.74 takes 101 for an answer with a body. Later ones need `\"upgrade\" => \"enable\"` in " +
				"`scgi.server`."},
		{on: []matrixPlace{onApache}, no: true, instead: checkWebSocketFramed,
			text: "Apache takes 101 for an answer with a body, and passes nothing on that the client sends."},
	}},
	{name: "The context ends when the client goes", path: "/gone", check: checkGone, notes: []matrixNote{
		{on: []matrixPlace{onLighttpd.unix()}, set: true, text: noteStream},
		{on: []matrixPlace{onLighttpd.unix(), onApache}, instead: checkGoneByWriting,
			text: "Only once the front end fails to write to the client: not while the handler sends nothing."},
		{on: []matrixPlace{onLighttpd.tcp()}, set: true,
			text: "lighttpd: with `\"tcp-fin-propagate\" => \"enable\"` in `scgi.server`. Otherwise as over a unix socket."},
	}},
	{name: "A panic before the answer: 500", path: "/panic", check: checkPanicBefore},
	{name: "A panic midway is seen, with Content-Length", path: "/broken/length", check: checkPanicWithLength,
		notes: []matrixNote{
			{on: []matrixPlace{onApache.unix()}, set: true, text: noteLength, without: checkPanicUnseenWithLength},
			{on: []matrixPlace{onLighttpd.unix(), onApache}, text: noteKept},
		}},
	{name: "A panic midway is seen, without", path: "/broken/nolength", check: checkPanicWithoutLength,
		notes: []matrixNote{
			{on: []matrixPlace{onNginx.unix(), onLighttpd.unix(), onApache.unix()}, no: true, text: noteNoReset,
				instead: checkPanicUnseen},
			{on: []matrixPlace{onLighttpd.tcp()}, set: true, text: noteStream},
			{on: []matrixPlace{onApache.tcp()}, text: noteKept},
		}},
}
