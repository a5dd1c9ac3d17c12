#!/bin/sh
# A local redirect to a path that is no program's.
printf 'Location: /elsewhere?a=b\n\n'
