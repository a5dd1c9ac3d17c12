#!/bin/sh
# Takes all of the request's body before it answers.
sum=$(sha256sum)
printf 'Content-Type: text/plain\n\n%s\n' "${sum%% *}"
