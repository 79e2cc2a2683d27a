# waitress takes sockets, but its command waitress-serve has no option for that.

import os
import socket

import waitress

from application import app

fd = int(os.environ["SERVER_STARTER_PORT"].split(";")[0].rpartition("=")[2])
waitress.serve(app, sockets=[socket.socket(fileno=fd)])
