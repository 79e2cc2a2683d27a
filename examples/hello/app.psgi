# start_server --port=8080 -- plackup -s Starlet app.psgi
sub { [200, ['Content-Type' => 'text/plain'], ["hello from pid $$, generation $ENV{SERVER_STARTER_GENERATION}\n"]] };
