#!/usr/bin/python3
# CRLF, as RFC 3875 allows it, and all in one write.
import sys
sys.stdout.buffer.write(b"Content-Type: text/plain\r\nX-Answer: 42\r\n\r\nline\r\n")
