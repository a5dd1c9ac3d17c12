#!/usr/bin/perl
# The empty line behind the header is missing.
print "Content-Type: text/plain\n";
