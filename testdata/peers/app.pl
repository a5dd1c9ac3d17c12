#!/usr/bin/perl
# An application on Debian's libscgi-perl: it says what it was asked. Its argument is the socket's path.
use strict;
use warnings;
use IO::Socket::UNIX;
use SCGI;

my $socket = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 128) or die "$ARGV[0]: $!";
my $scgi = SCGI->new($socket, blocking => 1);
$| = 1;
print "ready\n";
while (my $request = $scgi->accept) {
	next unless eval { $request->read_env; 1 };
	my %env = %{$request->env};
	my $body = '';
	read $request->connection, $body, $env{CONTENT_LENGTH};
	my $status = ($env{PATH_INFO} // '') eq '/missing' ? '404 Not Found' : '200 OK';
	my @names = qw(REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING REMOTE_ADDR HTTP_X_FORWARDED_FOR);
	my $answer = join '', map { "$_=" . ($env{$_} // '') . "\n" } @names;
	$answer .= 'body=' . length($body) . ' ' . substr($body, 0, 100) . "\n";
	print {$request->connection} "Status: $status\nContent-Type: text/plain\nX-Peer: perl\n\n$answer";
	$request->close;
}
