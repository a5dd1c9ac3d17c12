#!/bin/sh
printf 'Status: abc\nContent-Type: text/plain\n\nx\n'
