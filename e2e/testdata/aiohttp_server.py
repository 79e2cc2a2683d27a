# aiohttp's run_app cancels the requests that it is serving when it is told to go. This
# program stops accepting, answers what it has, and then leaves.

import asyncio
import os
import signal
import socket

from aiohttp import web


async def hello(request):
    return web.Response(text="hello from pid %d, generation %s\n" % (os.getpid(), os.environ["SERVER_STARTER_GENERATION"]))


async def main():
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)

    @web.middleware
    async def closing(request, handler):
        response = await handler(request)
        if told.is_set():  # the client makes its next connection to the new generation
            response.force_close()
        return response

    app = web.Application(middlewares=[closing])
    app.add_routes([web.get("/", hello)])
    runner = web.AppRunner(app, keepalive_timeout=5)
    await runner.setup()
    fd = int(os.environ["SERVER_STARTER_PORT"].split(";")[0].rpartition("=")[2])
    listener = await loop.create_server(runner.server, sock=socket.socket(fileno=fd))
    await told.wait()
    listener.close()
    while runner.server.connections:  # idle ones end after keepalive_timeout
        await asyncio.sleep(0.05)
    await runner.cleanup()


asyncio.run(main())
