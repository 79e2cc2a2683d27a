# A worker as einhorn has them: it serves on EINHORN_FD_0, says that it is ready to
# the socket at EINHORN_SOCK_PATH, and leaves at USR2.

import json
import os
import select
import signal
import socket

retired, wake = socket.socketpair()
for end in retired, wake:
    end.setblocking(False)
signal.set_wakeup_fd(wake.fileno())
signal.signal(signal.SIGUSR2, lambda *_: None)

assert os.environ["EINHORN_FDS"] == os.environ["EINHORN_FD_0"], os.environ["EINHORN_FDS"]
listener = socket.socket(fileno=int(os.environ["EINHORN_FD_0"]))
listener.setblocking(False)  # another worker may be the one who accepts

with socket.socket(socket.AF_UNIX) as control:
    control.connect(os.environ["EINHORN_SOCK_PATH"])
    control.sendall(b'{"command":"worker:ack","pid":%d}\n' % os.getpid())
    answer = json.loads(control.makefile().readline())
    assert answer["ok"], answer

body = b"hello from pid %d, generation %s\n" % (os.getpid(), os.environb[b"SERVER_STARTER_GENERATION"])
answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
while True:
    readable, _, _ = select.select([listener, retired], [], [])
    if retired in readable:
        break
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(4096)
            if not part:
                break
            request += part
        else:
            connection.sendall(answer)
