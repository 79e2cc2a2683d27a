import os


def app(environ, start_response):
    body = ("hello from pid %d, generation %s\n" % (os.getpid(), os.environ["SERVER_STARTER_GENERATION"])).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
