#!/bin/sh
# The least that is an answer. Its output has no newline at its end.
printf 'Content-Type: text/plain\n\nhello'
