#!/usr/bin/perl
# A CR within a value, where some see the end of a line.
print "Content-Type: text/plain\nX-Name: a\rSet-Cookie: stolen=1\n\nx\n";
