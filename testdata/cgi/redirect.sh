#!/bin/sh
# A redirect by the client, without a document.
printf 'Location: http://example.org/elsewhere?a=b\n\n'
