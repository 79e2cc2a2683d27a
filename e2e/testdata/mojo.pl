use Mojolicious::Lite -signatures;
use Mojo::IOLoop;

# For hypnotoad, which reads its settings here. The old server and the new one need pid
# files of their own.
app->config(hypnotoad => {
    listen   => ["http://127.0.0.1?fd=" . ($ENV{SERVER_STARTER_PORT} // '') =~ s/.*=//r],
    pid_file => "hypnotoad-$$.pid",
    workers  => 2,
});
app->log->level('warn');

# For the daemon, which has no signal for this: prefork and hypnotoad take QUIT themselves.
$SIG{QUIT} = sub { Mojo::IOLoop->stop_gracefully };

get '/' => sub ($c) { $c->render(text => "hello from pid $$, generation $ENV{SERVER_STARTER_GENERATION}\n") };

app->start;
