package PreforkHearsTERM;

# plackup -Itestdata -MPreforkHearsTERM -s Starlet ...
#
# The manager of Parallel::Prefork, which is Starlet's, looks whether it has been
# signalled and then waits for a child to end, for as long as it takes. A TERM that
# comes between the two, after a child has ended and another one was forked, is
# noted down and not looked at until the next child ends: with nobody to serve, never.
# On a busy machine it does not take much for that. Here it looks again once a second.

use strict;
use warnings;
use Parallel::Prefork;
no warnings 'redefine';

*Parallel::Prefork::_max_wait = sub { 1 };

1;
