#!/bin/sh
# Takes nothing of the request's body.
printf 'Status: 403 Forbidden\nContent-Type: text/plain\n\nno\n'
