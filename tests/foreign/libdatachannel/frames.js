// Pictures and sound that encoders made before (fixtures/frames), cut into RTP packets by hand. Knows no room.

import { readFileSync } from "node:fs";

const MOST = 1100; // bytes of a payload

/** The frames of a dump: one record each, of length (u32), RTP time (u32), key frame (u8), bytes. */
export function frames(file) {
  const data = readFileSync(file);
  const found = [];
  for (let at = 0; at < data.length; at += 9 + data.readUInt32BE(at)) {
    found.push({ time: data.readUInt32BE(at + 4), key: data[at + 8] === 1, bytes: data.subarray(at + 9, at + 9 + data.readUInt32BE(at)) });
  }
  return found;
}

/** RFC 7741: one byte says where a frame begins. */
function vp8(frame) {
  const payloads = [];
  for (let at = 0; at < frame.length; at += MOST) {
    payloads.push(Buffer.concat([Buffer.of(at === 0 ? 0x10 : 0), frame.subarray(at, at + MOST)]));
  }
  return payloads;
}

/** RFC 6184: NAL units as they are, or in fragments (FU-A). In the dump each has its length before it. */
function h264(frame) {
  const payloads = [];
  for (let at = 0; at < frame.length; ) {
    const unit = frame.subarray(at + 4, at + 4 + frame.readUInt32BE(at));
    at += 4 + unit.length;
    if (unit.length <= MOST) {
      payloads.push(unit);
      continue;
    }
    for (let from = 1; from < unit.length; from += MOST) {
      const first = from === 1 ? 0x80 : 0;
      const last = from + MOST >= unit.length ? 0x40 : 0;
      const head = Buffer.of((unit[0] & 0xe0) | 28, first | last | (unit[0] & 0x1f));
      payloads.push(Buffer.concat([head, unit.subarray(from, from + MOST)]));
    }
  }
  return payloads;
}

export const packetizers = { VP8: vp8, H264: h264, opus: (frame) => [frame] };

/** Plays frames over and over in real time: one sequence of packets to each of its receivers. */
export class Player {
  #receivers = new Set();
  #timer;

  /** @param clock ticks of the codec's clock a second */
  constructor(file, codec, clock) {
    this.all = frames(file);
    this.packetize = packetizers[codec];
    this.step = this.all[1].time - this.all[0].time;
    this.pause = (this.step / clock) * 1000;
    this.count = 0;
    this.start = performance.now();
    this.#timer = setTimeout(() => this.#next(), 0);
  }

  #next() {
    const frame = this.all[this.count % this.all.length];
    const payloads = this.packetize(frame.bytes);
    for (const receiver of this.#receivers) {
      // A newcomer begins with a picture that it can begin with.
      receiver.begun ||= frame.key;
      if (receiver.begun) receiver.send(payloads, this.count * this.step);
    }
    this.count += 1;
    this.#timer = setTimeout(() => this.#next(), this.start + this.count * this.pause - performance.now());
  }

  add(receiver) {
    this.#receivers.add(receiver);
  }

  remove(receiver) {
    this.#receivers.delete(receiver);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** RTP packets of one stream to one peer. */
export class Stream {
  begun = false;
  #sequence = Math.floor(Math.random() * 0x8000);
  #base = Math.floor(Math.random() * 0x7fffffff);

  constructor(track, ssrc, payloadType, config, video) {
    Object.assign(this, { track, ssrc, payloadType, config, video });
  }

  send(payloads, time) {
    if (!this.track.isOpen()) {
      this.begun = false;
      return;
    }
    const stamp = (this.#base + time) >>> 0;
    this.config.timestamp = stamp;
    payloads.forEach((payload, index) => {
      const head = Buffer.alloc(12);
      const last = this.video && index === payloads.length - 1;
      head.writeUInt8(0x80, 0);
      head.writeUInt8((last ? 0x80 : 0) | this.payloadType, 1);
      head.writeUInt16BE(this.#sequence, 2);
      head.writeUInt32BE(stamp, 4);
      head.writeUInt32BE(this.ssrc, 8);
      this.#sequence = (this.#sequence + 1) & 0xffff;
      this.track.sendMessageBinary(Buffer.concat([head, payload]));
    });
  }
}
