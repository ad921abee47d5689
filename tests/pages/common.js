// What the pages share: media without devices, what they see and hear, and a state that tests can read. Libraries are given by the page.
'use strict'

window.page = { phase: 'starting', said: [], files: [], errors: [], streams: 0 }
const query = new URLSearchParams(location.search)

page.fail = (error) => page.errors.push(String((error && error.message) || error))
window.addEventListener('error', (event) => page.fail(event.message))

// Camera and microphone, both as they come.
page.face = () => navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240, frameRate: 15 } })

// The camera drawn to a canvas of 300x225, each picture in grey of three equal parts, unless it is to stay as it is. No sound.
page.canvas = async (grey) => {
  const video = document.createElement('video')
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240, frameRate: 15 } })
  video.muted = true
  await video.play()
  const canvas = Object.assign(document.createElement('canvas'), { width: 300, height: 225 })
  const brush = canvas.getContext('2d', { willReadFrequently: true })
  setInterval(() => {
    brush.drawImage(video, 0, 0, canvas.width, canvas.height)
    if (!grey) return
    const picture = brush.getImageData(0, 0, canvas.width, canvas.height)
    for (let at = 0; at < picture.data.length; at += 4) {
      const light = (picture.data[at] + picture.data[at + 1] + picture.data[at + 2]) / 3
      picture.data[at] = picture.data[at + 1] = picture.data[at + 2] = light
    }
    brush.putImageData(picture, 0, 0)
  }, 66)
  return canvas.captureStream(15)
}

// The screen that is shared in mid-call.
page.screen = () => navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 10 } })

// Shows a stream of theirs: each its own element, the newest one last.
page.show = (stream) => {
  page.streams += 1
  const video = Object.assign(document.createElement('video'), { autoplay: true, muted: true, playsInline: true, width: 160 })
  video.srcObject = stream
  document.body.append(video)
}

// How colourful the newest picture of theirs is: the mean distance of the colours, 0 to 255. Below 0 there is none yet.
page.colour = () => {
  const video = [...document.querySelectorAll('video')].filter((one) => one.videoWidth > 2).pop()
  if (!video) return -1
  const canvas = new OffscreenCanvas(64, 48)
  const brush = canvas.getContext('2d')
  brush.drawImage(video, 0, 0, 64, 48)
  const { data } = brush.getImageData(0, 0, 64, 48)
  let [sum, light] = [0, 0]
  for (let at = 0; at < data.length; at += 4) {
    sum += Math.max(data[at], data[at + 1], data[at + 2]) - Math.min(data[at], data[at + 1], data[at + 2])
    light += data[at]
  }
  // A black picture has no colours, and is no picture.
  return light < 64 * 48 * 8 ? -1 : sum / (64 * 48)
}

// What a connection has received.
page.counts = async (connection) => {
  const counts = { frames: 0, packets: 0 }
  if (!connection) return counts
  for (const one of (await connection.getStats()).values()) {
    if (one.type !== 'inbound-rtp') continue
    if (one.kind === 'video') counts.frames += one.framesDecoded || 0
    else counts.packets += one.packetsReceived || 0
  }
  return counts
}

page.sha256 = async (bytes) => {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

// Bytes that look random.
page.bytes = (size) => {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + 65536)))
  return bytes
}

// A file in the framing of lesson 6: what it is, then its bytes in pieces of 1200.
page.sendFile = async (peer, fileName, size) => {
  const bytes = page.bytes(size)
  peer.send(JSON.stringify({ fileName, fileSize: size }))
  for (let at = 0; at < size || at === 0; at += 1200) peer.send(bytes.slice(at, at + 1200))
  return page.sha256(bytes)
}

// Takes such files from a peer; what is neither a file nor part of one was said.
page.takeFiles = (peer) => {
  let coming
  peer.on('data', (data) => {
    if (!coming) {
      try {
        const { fileName, fileSize } = JSON.parse(data.toString())
        if (typeof fileName !== 'string') throw new Error('no file')
        coming = { fileName, fileSize, parts: [], received: 0 }
      } catch (_) {
        page.said.push(data.toString())
      }
      return
    }
    coming.parts.push(data)
    coming.received += data.length
    if (coming.received < coming.fileSize) return
    const { fileName, fileSize, parts, received } = coming
    coming = undefined
    new Blob(parts).arrayBuffer().then(page.sha256).then((sha256) => page.files.push({ fileName, fileSize, received, sha256 }))
  })
}
