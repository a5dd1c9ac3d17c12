#!/usr/bin/perl
# A field that comes twice.
print "Set-Cookie: a=1\nSet-Cookie: b=2; Path=/\nCache-Control: no-store\nContent-Type: text/plain\n\ntwo\n";
