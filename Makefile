# make run and make test are all the set-up there is.

PORT ?= 8080
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GREMLINS = go run github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0
MUTATED = supervise launch report command output socket fdenv runfile
FILES = --pid-file=bin/hello.pid --status-file=bin/hello.status

# Where make install puts the commands; packages stage them below DESTDIR.
PREFIX ?= /usr/local
BIN ?= bin
# Called by start_server, and by nobody else.
CALLED = start_server_probe
COMMANDS = start_server start_server_probe start_server_monitor socketmaster einhyrningsins einhyrningsinsctl

# Man pages, and where the shells look for completions: by the name of a command, but zsh,
# to which the file itself says whose completions it has. Debian's own packages set ZSH to
# share/zsh/vendor-completions.
MAN1 = $(patsubst %,man/%.1,$(filter-out $(CALLED),$(COMMANDS)))
MAN7 = man/start_server-control.7
MANDIR ?= $(PREFIX)/share/man
BASH ?= $(PREFIX)/share/bash-completion/completions
FISH ?= $(PREFIX)/share/fish/vendor_completions.d
ZSH ?= $(PREFIX)/share/zsh/site-functions

# What --version names. Not by Go itself, which refuses to build in a clone that git
# takes for another user's.
COMMIT ?= $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)
LDFLAGS = -s -w -X github.com/lestrrat/go-server-starter/internal/cmdline.commit=$(COMMIT)

.PHONY: build install uninstall man run vet unit release-check test test-extra stress lint cross fuzz mutants bench clean packages check-packages

build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='$(LDFLAGS)' -o $(BIN)/ ./cmd/... ./examples/hello

# make, and then make install as root: that builds only what is not there.
install:
	@for c in $(COMMANDS); do [ -x $(BIN)/$$c ] || exec $(MAKE) build; done
	for d in '$(PREFIX)/bin' '$(MANDIR)/man1' '$(MANDIR)/man7' '$(BASH)' '$(FISH)' '$(ZSH)'; do install -d "$(DESTDIR)$$d" || exit 1; done
	install -m 755 $(COMMANDS:%=$(BIN)/%) '$(DESTDIR)$(PREFIX)/bin/'
	install -m 644 $(MAN1) '$(DESTDIR)$(MANDIR)/man1/'
	install -m 644 $(MAN7) '$(DESTDIR)$(MANDIR)/man7/'
	install -m 644 completions/_start_server '$(DESTDIR)$(ZSH)/'
	for c in $(filter-out $(CALLED),$(COMMANDS)); do \
		install -m 644 completions/start_server.bash '$(DESTDIR)$(BASH)/'$$c && \
		install -m 644 completions/start_server.fish '$(DESTDIR)$(FISH)/'$$c.fish || exit 1; \
	done

uninstall:
	cd '$(DESTDIR)$(PREFIX)/bin' && rm -f $(COMMANDS)
	for m in $(MAN1:man/%=man1/%) $(MAN7:man/%=man7/%); do rm -f '$(DESTDIR)$(MANDIR)/'$$m; done
	for c in $(COMMANDS); do rm -f '$(DESTDIR)$(BASH)/'$$c '$(DESTDIR)$(FISH)/'$$c.fish; done
	rm -f '$(DESTDIR)$(ZSH)/_start_server'

# What is made of the options and of the pages, and kept here: the tables and the lists of
# contents in docs, and the man pages. Tests tell when they are stale.
man:
	go generate ./cmd/start_server ./internal/pages
	go run ./internal/pages/man . man

run: build
	@echo
	@echo "Serving on http://127.0.0.1:$(PORT)/, and Ctrl-C stops it. In another terminal, here:"
	@echo
	@echo "  curl http://127.0.0.1:$(PORT)/                   to see who answers"
	@echo "  bin/start_server --restart $(FILES)"
	@echo "                                                to hot-restart it"
	@echo
	bin/start_server --port=$(PORT) $(FILES) -- bin/hello

# What the tests need and can be had is installed first; what cannot is skipped
# by its test, which says so. With CI set nothing is skipped.
test:
	./e2e/install-servers
	go test -race -timeout=18m ./...

# Tests of servers and tools that take many minutes, or hundreds of megabytes to install: more
# servers, and what blue/green makes of their broken releases; a browser for the monitor's page;
# Prometheus's own checks. They are no part of make test, nor of .ci/run.
EXTRA = TestBlueGreenKeepsBrokenReleasesFromClients|TestMoreServers|TestBrokenRelease|TestPageOfTheMonitor|TestPolicyOfThePage|TestScreenshots|TestFilesForPrometheusAreChecked
test-extra:
	EXTRA=1 ./e2e/install-servers
	go test -race -tags=extra -timeout=60m -run='$(EXTRA)' ./e2e

# All of e2e again and again on a busy machine, for the test that fails by chance.
# RUNS=20, BUSY=2 and RUN=. may be set: how often, beside how many busy loops, which.
stress:
	./e2e/install-servers
	./e2e/stress

# What runs on any system, macOS and Windows too.
vet:
	go vet ./...

unit:
	go test . ./cmd/... ./internal/... ./listener

# That a tag is the version of this module, and that Changes has the date of it.
release-check:
	@grep -q '^const Version = "$(TAG:v%=%)"$$' starter.go || { echo "$(TAG) is not the Version in starter.go"; exit 1; }
	@grep -Eq '^$(subst .,\.,$(TAG:v%=%)), [0-9]{4}-[0-9]{2}-[0-9]{2}$$' Changes || { echo "Changes has no date for $(TAG)"; exit 1; }

lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...

cross:
	for os in darwin windows; do GOOS=$$os go build ./... && GOOS=$$os go vet ./... || exit 1; done
	GOARCH=arm64 go vet ./...

# Counted, not timed: go test takes the end of the time for a failure when it
# comes in the middle of an input.
fuzz:
	go test -run='^$$' -fuzz=FuzzLoop -fuzztime=5000x ./internal/supervise
	go test -run='^$$' -fuzz=FuzzParse -fuzztime=100000x ./internal/socket
	go test -run='^$$' -fuzz=FuzzParse -fuzztime=100000x ./listener
	go test -run='^$$' -fuzz=FuzzParse -fuzztime=100000x ./internal/notify
	go test -run='^$$' -fuzz=FuzzRequest -fuzztime=100000x ./internal/control
	go test -run='^$$' -fuzz=FuzzExpand -fuzztime=30000x ./internal/fdenv
	go test -run='^$$' -fuzz=FuzzInstructions -fuzztime=100000x ./internal/trampoline
	go test -run='^$$' -fuzz=FuzzParse -fuzztime=50000x ./internal/probe
	go test -run='^$$' -fuzz=FuzzAnswer -fuzztime=50000x ./internal/probe/wire
	go test -run='^$$' -fuzz=FuzzMessage -fuzztime=100000x ./internal/control

# What the tests of a package do not see when its code is changed: an operator turned
# around, a limit moved by one. For each package the changes that lived, that no test came
# to and that ran out of time are printed, with file:line:column, and then the counts:
# "Killed: 55, Lived: 0, Not covered: 9" and the two shares of them. Not covered are also
# all constants, and all conditions of a case, which go's coverage does not count. It takes
# hours; for one package: make mutants MUTATED=fdenv.
mutants:
	@for package in $(MUTATED); do \
		echo "internal/$$package"; \
		elsewhere=$$(go list -f '^$${{range .IgnoredGoFiles}}|{{.}}{{end}}' ./internal/$$package) || exit 1; \
		GOFLAGS="$$GOFLAGS -count=1 -vet=off" $(GREMLINS) unleash --output-statuses=lct --timeout-coefficient=20 \
			--exclude-files="$$elsewhere" ./internal/$$package || exit 1; \
	done

bench:
	go run ./bench

# Packages, tarballs, SBOMs and their checksums, in dist: packaging/contents says what is in
# them. check-packages builds them twice, compares, and installs and removes them in a root of
# its own.
packages:
	COMMIT='$(COMMIT)' ./packaging/build dist

check-packages:
	./packaging/check

clean:
	rm -rf bin dist
