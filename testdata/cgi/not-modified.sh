#!/bin/sh
printf 'Status: 304 Not Modified\nETag: "a"\n\n'
