#!/bin/sh
# Does the server's framing by itself.
printf 'Content-Type: text/plain\nTransfer-Encoding: chunked\n\n5\r\nhello\r\n0\r\n\r\n'
