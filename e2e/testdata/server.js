// start_server --port=8080 -- node server.js
const http = require('http')
const greeting = `hello from pid ${process.pid}, generation ${process.env.SERVER_STARTER_GENERATION}\n`
const server = http.createServer((request, answer) => answer.end(greeting))
server.listen({ fd: Number(process.env.SERVER_STARTER_PORT.split('=').pop()) })
process.on('SIGTERM', () => server.close())
