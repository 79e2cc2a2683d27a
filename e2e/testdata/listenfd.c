// A server that takes its socket as Rust's crate listenfd does: LISTEN_PID is its own
// pid, LISTEN_FDS counts from descriptor 3, and both are removed from the environment.
// TERM closes the socket; what is accepted is answered.

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int inherited(void) {
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	if (!pid || atoi(pid) != getpid() || !fds || atoi(fds) != 1)
		errx(1, "LISTEN_PID is %s and LISTEN_FDS is %s", pid ? pid : "not set", fds ? fds : "not set");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	int listening = 0;
	socklen_t size = sizeof listening;
	if (getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
		errx(1, "descriptor 3 is not a listening socket");
	// Another worker may be the one that accepts.
	fcntl(3, F_SETFL, fcntl(3, F_GETFL) | O_NONBLOCK);
	return 3;
}

static void answer(int connection) {
	char request[4096] = "", body[100], text[300];
	size_t n = 0;
	while (!strstr(request, "\r\n\r\n")) {
		ssize_t more = n < sizeof request - 1 ? read(connection, request + n, sizeof request - 1 - n) : 0;
		if (more <= 0)
			return;
		n += more;
		request[n] = 0;
	}
	snprintf(body, sizeof body, "hello from pid %d, generation %s\n", getpid(), getenv("SERVER_STARTER_GENERATION"));
	int length = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	if (write(connection, text, length) < 0)
		warn("write");
}

int main(void) {
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	struct pollfd wait[] = {{.fd = inherited(), .events = POLLIN}, {.fd = signalfd(-1, &term, SFD_CLOEXEC), .events = POLLIN}};
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		poll(wait, 2, -1);
		if (wait[1].revents)
			return 0;
		int connection = -1;
		if (wait[0].revents)
			connection = accept4(wait[0].fd, NULL, NULL, SOCK_CLOEXEC);
		if (connection >= 0) {
			answer(connection);
			close(connection);
		}
	}
}
