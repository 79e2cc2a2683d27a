#!/usr/bin/perl
# A small HTTP server to try start_server with. It needs perl and nothing else:
#
#	start_server --port=8080 -- ./hello.pl
#
# It takes the socket that it is given, and leaves gracefully at TERM.
use strict;
use warnings;

my ($fd) = ($ENV{SERVER_STARTER_PORT} // '') =~ /=([0-9]+)/
	or die "run it by: start_server --port=8080 -- $0\n";
open my $listener, '+<&=', $fd or die "descriptor $fd: $!\n";

my $leave = 0;
$SIG{TERM} = sub { $leave = 1 };
$SIG{PIPE} = 'IGNORE';

until ($leave) {
	vec(my $readable = '', $fd, 1) = 1;
	next if select($readable, undef, undef, 0.5) <= 0;    # TERM is seen then, too
	accept(my $client, $listener) or next;
	my $request = '';
	while ($request !~ /\r?\n\r?\n/) {
		my $read = sysread $client, $request, 4096, length $request;
		last if defined $read ? $read == 0 : !$!{EINTR};    # TERM does not cut it short
	}
	my $body = "hello from pid $$, generation $ENV{SERVER_STARTER_GENERATION}\n";
	syswrite $client, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
		. length($body) . "\r\nConnection: close\r\n\r\n$body";
}
