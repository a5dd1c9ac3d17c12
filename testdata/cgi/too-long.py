#!/usr/bin/python3
# More body than its Content-Length.
print("Content-Type: text/plain\nContent-Length: 5\n\nhello, world", end="")
