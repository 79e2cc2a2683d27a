// node hands a listening socket that it inherits to server.listen, and has no way of
// its own to leave gracefully: what follows SIGTERM here is to be copied.

const http = require('http');
const net = require('net');

const fd = Number(process.env.SERVER_STARTER_PORT.split(';')[0].split('=').pop());
let draining = false;

const server = http.createServer((request, response) => {
  // A client that keeps its connection alive makes a new one after this answer.
  if (draining) response.setHeader('Connection', 'close');
  response.end(`hello from pid ${process.pid}, generation ${process.env.SERVER_STARTER_GENERATION}\n`);
});
server.listen({ fd });

process.on('SIGTERM', () => {
  draining = true;
  // It accepts no more, and answers what it has accepted. server.close() would also cut
  // connections whose first request is on its way. Those that stay idle are closed after
  // server.keepAliveTimeout, 5 s, and node ends with the last one.
  net.Server.prototype.close.call(server);
});
