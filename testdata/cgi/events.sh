#!/bin/sh
# Server-sent events: each line of the request's body is one, as soon as it comes.
printf 'Content-Type: text/event-stream\nCache-Control: no-store\nX-Accel-Buffering: no\n\n'
while read -r line; do
	printf 'data: %s\n\n' "$line"
done
