#!/usr/bin/python3
# Gives back the request's body while it is still coming, with its length.
import os, sys
left = int(os.environ.get("CONTENT_LENGTH") or 0)
print("Content-Type: application/octet-stream\nContent-Length: %d\n" % left, flush=True)
while left > 0:
    piece = os.read(0, min(left, 65536))
    if not piece:
        sys.exit("the body broke off %d bytes before its end" % left)
    sys.stdout.buffer.write(piece)
    left -= len(piece)
