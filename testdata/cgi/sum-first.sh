#!/bin/sh
# Prints its header before it takes the request's body.
printf 'Content-Type: text/plain\n\n'
sum=$(sha256sum)
printf '%s\n' "${sum%% *}"
