# A worker that finds its sockets by Server::Starter's own library, and has its guard write
# a file when it leaves.
use strict;
use warnings;
use POSIX qw(pause);
use Server::Starter qw(server_ports);
use Server::Starter::Guard;

sub put {
    my ($file, $text) = @_;
    open my $out, '>', "$file.tmp" or die $!;
    print $out $text;
    close $out;
    rename "$file.tmp", $file or die $!;
}

my $told = server_ports();
for my $name (keys %$told) {
    open my $socket, '<&=', $told->{$name} or die "$name: $!";
    getsockname $socket or die "$name: not a socket";
}
my $guard = Server::Starter::Guard->new(sub { put("guarded-$ENV{SERVER_STARTER_GENERATION}", 'yes') });
$SIG{TERM} = sub { undef $guard; exit 0 };
put("ports-$ENV{SERVER_STARTER_GENERATION}", join "\n", map { "$_=$told->{$_}" } sort keys %$told);
pause() while 1;
