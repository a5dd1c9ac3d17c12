"""A WSGI application for uwsgi --scgi-socket: it says what it was asked."""


def application(environ, start_response):
    if environ["PATH_INFO"] == "/unread":  # leaves the body where it is, and does not say how long the answer is
        start_response("413 Request Entity Too Large", [("Content-Type", "text/plain")])
        return [b"too large\n"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "HTTP_X_FORWARDED_FOR")
    lines = [f"{name}={environ.get(name, '')}" for name in names] + [f"body={len(body)} {body[:100].decode('latin-1')}"]
    status = "404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK"
    start_response(status, [("Content-Type", "text/plain"), ("X-Peer", "uwsgi")])
    return ["\n".join(lines).encode("latin-1") + b"\n"]
