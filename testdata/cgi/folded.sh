#!/bin/sh
# One field on two lines.
printf 'Content-Type: text/plain\nX-Long: a\n b\n\nx\n'
