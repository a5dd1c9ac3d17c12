#!/usr/bin/perl
# Shows the variables of RFC 3875 that say the same behind every server.
use strict;
1 while read STDIN, my $body, 4096;
print "Content-Type: text/plain\n\n";
for my $name (qw(GATEWAY_INTERFACE REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING CONTENT_TYPE CONTENT_LENGTH
        SERVER_PROTOCOL REMOTE_ADDR HTTP_X_TEST HTTP_PROXY HTTP_AUTHORIZATION LD_PRELOAD)) {
    print "$name=", (defined $ENV{$name} ? "'$ENV{$name}'" : "none"), "\n";
}
