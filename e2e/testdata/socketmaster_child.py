# A server as socketmaster's README has them: the socket is at descriptor 3, which
# EINHORN_FDS says, too. TERM, or whatever it is told by -signal, has it leave when
# it has answered what it has accepted.

import os
import select
import signal
import socket

left, wake = socket.socketpair()
for end in left, wake:
    end.setblocking(False)
signal.set_wakeup_fd(wake.fileno())
for told in signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR2:
    signal.signal(told, lambda *_: None)

assert os.environ["EINHORN_FDS"] == "3", os.environ["EINHORN_FDS"]
listener = socket.socket(fileno=3)
listener.setblocking(False)  # another server may be the one who accepts

print("serving", flush=True)
body = b"hello from pid %d\n" % os.getpid()
answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
while True:
    readable, _, _ = select.select([listener, left], [], [])
    if left in readable:
        print("told", signal.Signals(left.recv(1)[0]).name, flush=True)
        break
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    with connection:
        connection.setblocking(True)
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(4096)
            if not part:
                break
            request += part
        else:
            connection.sendall(answer)
