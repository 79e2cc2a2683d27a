package StarmanKeepsAccepted;

# starman -Itestdata -MStarmanKeepsAccepted ...
#
# A Starman worker that is told by HUP to go, as the master does at QUIT and at
# HUP, loses the connection that it has just accepted: the handler of
# Net::Server::PreFork exits unless a flag is set, and it is set some lines
# after accept(2); later the signal interrupts the read of a request, which
# Starman takes for an error. Here HUP is only let through to accept(2).

use strict;
use warnings;
use POSIX ();
use Starman::Server;
no warnings 'redefine';

my $hup = POSIX::SigSet->new(POSIX::SIGHUP);

my $child_init_hook = \&Starman::Server::child_init_hook;
*Starman::Server::child_init_hook = sub {
    my $self = shift;
    $self->$child_init_hook;
    POSIX::sigprocmask(POSIX::SIG_BLOCK, $hup);
    $SIG{HUP} = sub { $self->{server}{SigHUPed} = 1 };
};

*Starman::Server::accept = sub {
    my $server = $_[0]{server};
    until ($server->{SigHUPed}) {
        POSIX::sigprocmask(POSIX::SIG_UNBLOCK, $hup);
        $server->{client} = $server->{sock}[0]->accept;
        POSIX::sigprocmask(POSIX::SIG_BLOCK, $hup);
        return 1 if $server->{client};
    }
    return 0;
};

1;
