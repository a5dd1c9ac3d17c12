#!/bin/sh
# A local redirect, to hello.sh beside this.
printf 'Location: %s/hello.sh\n\n' "${SCRIPT_NAME%/*}"
