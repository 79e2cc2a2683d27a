# Answers every datagram with its pid and generation. At TERM it reads no more: what is
# in the socket's queue stays there for the new generation.

import os
import select
import signal
import socket

told, wake = socket.socketpair()
for end in told, wake:
    end.setblocking(False)
signal.set_wakeup_fd(wake.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)

conn = socket.socket(fileno=int(os.environ["SERVER_STARTER_PORT"].rpartition("=")[2]))
conn.setblocking(False)  # another generation may be the one that reads
answer = b"hello from pid %d, generation %s\n" % (os.getpid(), os.environb[b"SERVER_STARTER_GENERATION"])
while True:
    readable, _, _ = select.select([conn, told], [], [])
    if told in readable:
        break
    try:
        _, client = conn.recvfrom(65536)
    except BlockingIOError:
        continue
    conn.sendto(answer, client)
