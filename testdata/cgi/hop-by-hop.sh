#!/bin/sh
# Fields that are the server's.
printf 'Content-Type: text/plain\nConnection: close, X-Odd\nKeep-Alive: timeout=5\nTrailer: X-Late\nX-Odd: here\n\nhops\n'
