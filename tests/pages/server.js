// The servers of other people's rooms, for tests: deepstream.io 3.1.2, socket.io 4, and the pages. All on 127.0.0.1 and on ports of
// their own choice; the addresses are printed as one line of JSON. Ends with its input.
const fs = require('fs')
const http = require('http')
const path = require('path')
const { WebSocketServer } = require('ws')
const uws = require('uws')
const Endpoint = require('deepstream.io/src/message/uws/connection-endpoint')
const Deepstream = require('deepstream.io')

// The real uws took over the file descriptor of the closed socket; ws makes the handshake itself.
const upgrades = new WebSocketServer({ noServer: true })
let endpoint
Endpoint.prototype._onUpgradeRequest = function (request, socket, head) {
  if (request.url.split('?')[0] !== this._urlPath) return socket.end('HTTP/1.1 400 URL not supported\r\n\r\n')
  upgrades.handleUpgrade(request, socket, head, (ws) => {
    this._upgradeRequest = request
    uws.attach(this._serverGroup, ws)
  })
}
const ready = Endpoint.prototype._onReady
Endpoint.prototype._onReady = function () {
  endpoint = this
  ready.call(this)
}

const config = {
  showLogo: false,
  logLevel: 'OFF',
  libDir: null,
  connectionEndpoints: {
    websocket: {
      name: 'uws',
      options: {
        port: 0, host: '127.0.0.1', urlPath: '/deepstream', healthCheckPath: '/health-check', heartbeatInterval: 30000,
        outgoingBufferTimeout: 0, unauthenticatedClientTimeout: 180000, maxAuthAttempts: 3, maxMessageSize: 1048576
      }
    },
    http: null
  },
  plugins: {},
  permission: { type: 'none' },
  auth: process.argv.includes('--locked')
    ? { type: 'file', options: { path: path.join(__dirname, 'users.json'), hash: false } }
    : { type: 'none' }
}
const modules = (name) => path.join(__dirname, 'node_modules', name)
const FILES = {
  '/simple-peer-8.js': modules('simple-peer/simplepeer.min.js'),
  '/simple-peer-9.js': modules('simple-peer-9/simplepeer.min.js'),
  '/deepstream.js': modules('deepstream.io-client-js/dist/deepstream.js'),
  '/socket.io.js': modules('socket.io/client-dist/socket.io.min.js')
}
const TYPES = { '.js': 'text/javascript', '.html': 'text/html' }
const pages = http.createServer((request, response) => {
  const name = new URL(request.url, 'http://x').pathname
  const file = FILES[name] || path.join(process.env.PAGES, path.basename(name))
  fs.readFile(file, (error, data) => {
    response.writeHead(error ? 404 : 200, { 'content-type': TYPES[path.extname(file)] || 'text/plain' })
    response.end(error ? 'not here' : data)
  })
})

// The classic group call of socket.io and simple-peer: who is there, and two relays.
const rooms = {}
const calls = new (require('socket.io').Server)(pages)
if (process.argv.includes('--locked')) {
  calls.use((socket, next) => next(socket.handshake.auth.token === 'open sesame' ? undefined : new Error('the token is wrong')))
}
calls.on('connection', (socket) => {
  let room
  socket.on('join room', (name) => {
    room = rooms[name] = rooms[name] || []
    if (room.length >= 4) return socket.emit('room full')
    room.push(socket.id)
    socket.emit('all users', room.filter((id) => id !== socket.id))
  })
  socket.on('sending signal', ({ userToSignal, signal, callerID }) => {
    calls.to(userToSignal).emit('user joined', { signal, callerID })
  })
  socket.on('returning signal', ({ signal, callerID }) => {
    calls.to(callerID).emit('receiving returned signal', { signal, id: socket.id })
  })
  socket.on('disconnect', () => {
    if (room && room.includes(socket.id)) room.splice(room.indexOf(socket.id), 1)
  })
})

const server = new Deepstream(config)
server.on('started', () => {
  pages.listen(0, '127.0.0.1', () => {
    const deepstream = endpoint._server.address().port
    console.log(JSON.stringify({ deepstream, pages: pages.address().port }))
  })
})
server.start()
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
