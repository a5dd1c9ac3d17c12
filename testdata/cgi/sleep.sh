#!/bin/sh
# Slow, and with a child. It takes no notice of SIGTERM when ?stubborn.
[ "$QUERY_STRING" != stubborn ] || trap '' TERM
sleep 600 &
printf 'Content-Type: text/plain\n\nit takes a while\n'
wait
sleep 600
