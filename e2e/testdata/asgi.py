import os


async def app(scope, receive, send):
    assert scope["type"] == "http"  # no lifespan
    body = b"hello from pid %d, generation %s\n" % (os.getpid(), os.environb[b"SERVER_STARTER_GENERATION"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
