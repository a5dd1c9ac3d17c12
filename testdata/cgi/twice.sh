#!/bin/sh
# Says the same twice, as layers of a program do that know nothing of each other.
printf 'Content-Type: text/plain\nContent-Length: 006\ncontent-type: text/plain\n\nhello\n'
