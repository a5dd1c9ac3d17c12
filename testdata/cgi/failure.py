#!/usr/bin/python3
# A whole answer, and then a failure that the log is told of.
import sys
print("Content-Type: text/plain\n\nas far as it goes", flush=True)
print("something went wrong", file=sys.stderr)
sys.exit(3)
