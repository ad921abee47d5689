// The few calls of uws 8 that deepstream.io 3.1.2 makes, on sockets of `ws`: the real uws is gone from npm and has no build for
// today's node. A socket comes in by `attach`, where the real one took over its file descriptor.
const users = new WeakMap()

const group = {
  create: () => ({ sockets: new Set() }),
  onDisconnection: (g, f) => { g.disconnected = f },
  onMessage: (g, f) => { g.message = f },
  onPing: () => {},
  onPong: () => {},
  onConnection: (g, f) => { g.connected = f },
  startAutoPing: (g, interval, message) => {
    g.timer = setInterval(() => g.sockets.forEach((ws) => ws.send(message)), interval)
  },
  close: (g) => {
    clearInterval(g.timer)
    g.sockets.forEach((ws) => ws.close())
  }
}

module.exports = {
  OPCODE_TEXT: 1,
  native: {
    getAddress: (ws) => [ws._socket.remotePort, ws._socket.remoteAddress, ws._socket.remoteFamily],
    setUserData: (ws, data) => users.set(ws, data),
    clearUserData: (ws) => users.delete(ws),
    server: {
      group,
      prepareMessage: (message) => message,
      sendPrepared: (ws, message) => ws.send(message),
      finalizeMessage: () => {},
      send: (ws, message) => ws.send(message),
      terminate: (ws) => ws.terminate()
    }
  },
  attach: (g, ws) => {
    g.sockets.add(ws)
    ws.on('message', (data, binary) => {
      const user = users.get(ws)
      if (user) g.message(binary ? data : data.toString(), user)
    })
    ws.on('close', (code, reason) => {
      g.sockets.delete(ws)
      g.disconnected(ws, code, reason.toString(), users.get(ws))
    })
    ws.on('error', () => {})
    g.connected(ws)
  }
}
