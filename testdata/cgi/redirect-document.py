#!/usr/bin/python3
# A redirect by the client, with a document.
print("Status: 303 See Other\nLocation: http://example.org/\nContent-Type: text/plain\n\nthere")
