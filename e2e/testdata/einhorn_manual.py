# A worker by einhorn's manual and nothing else: the sockets are EINHORN_FD_0 and so on,
# EINHORN_FD_COUNT of them; when it is ready it sends worker:ack with its pid to
# EINHORN_SOCK_PATH; USR2 is a graceful stop. It comes no further than to its start as long
# as there is a file silent.N, N being its EINHORN_CHILD_INDEX.

import os
import select
import signal
import socket
import time

stop, wake = socket.socketpair()
for end in stop, wake:
    end.setblocking(False)
signal.set_wakeup_fd(wake.fileno())
signal.signal(signal.SIGUSR2, lambda *_: None)

listeners = []
for i in range(int(os.environ["EINHORN_FD_COUNT"])):
    listener = socket.socket(fileno=int(os.environ["EINHORN_FD_%d" % i]))
    listener.setblocking(False)
    listeners.append(listener)

while os.path.exists("silent." + os.environ["EINHORN_CHILD_INDEX"]):
    time.sleep(0.02)

control = socket.socket(socket.AF_UNIX)
control.connect(os.environ["EINHORN_SOCK_PATH"])
control.sendall(b'{"command": "worker:ack", "pid": %d}\n' % os.getpid())
control.recv(4096)
control.close()

body = b"hello from pid %d\n" % os.getpid()
answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
while True:
    ready, _, _ = select.select(listeners + [stop], [], [])
    if stop in ready:
        break
    for listener in ready:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        connection.settimeout(None)
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                part = connection.recv(4096)
                if not part:
                    break
                request += part
            else:
                connection.sendall(answer)
