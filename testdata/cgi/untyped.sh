#!/bin/sh
# A document without its type.
printf 'Status: 200 OK\n\n<p>what is this?</p>\n'
