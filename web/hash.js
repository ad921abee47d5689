// A worker: SHA-256 (FIPS 180-4) of a sequence of blobs. The browser's digest needs all bytes in memory and is not available on pages from
// plain HTTP; for these cases there is an implementation here.
//
// Messages: {id, size} begins, {id, blob} adds, {id, end: true} replies {id, sha256} or {id, problem} and ends, {id, drop: true} cancels.

const BLOCK = 1 << 20; // bytes read at a time
const NATIVE = 256 << 20; // bytes for which the browser's digest is used

const K = new Uint32Array(64);
const START = new Uint32Array(8);
for (let candidate = 2, found = 0; found < 64; candidate += 1) {
  let prime = true;
  for (let i = 2; i * i <= candidate; i += 1) if (candidate % i === 0) prime = false;
  if (!prime) continue;
  const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32);
  if (found < 8) START[found] = fraction(Math.sqrt(candidate));
  K[found] = fraction(Math.cbrt(candidate));
  found += 1;
}

class Sha256 {
  #state = START.slice();
  #words = new Uint32Array(64);
  #rest = new Uint8Array(64);
  #filled = 0;
  #length = 0;

  update(bytes) {
    this.#length += bytes.length;
    let at = 0;
    if (this.#filled) {
      at = Math.min(64 - this.#filled, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < 64) return;
      this.#blocks(this.#rest, 0, 64);
    }
    const whole = at + ((bytes.length - at) & ~63);
    this.#blocks(bytes, at, whole);
    this.#rest.set(bytes.subarray(whole));
    this.#filled = bytes.length - whole;
  }

  digest() {
    const length = this.#length;
    const end = new Uint8Array(this.#filled < 56 ? 64 - this.#filled : 128 - this.#filled);
    end[0] = 0x80;
    const view = new DataView(end.buffer);
    view.setUint32(end.length - 8, Math.floor(length / 2 ** 29));
    view.setUint32(end.length - 4, (length << 3) >>> 0);
    this.update(end);
    return [...this.#state].map((word) => word.toString(16).padStart(8, "0")).join("");
  }

  #blocks(bytes, from, until) {
    const w = this.#words;
    let [a0, b0, c0, d0, e0, f0, g0, h0] = this.#state;
    for (let at = from; at < until; at += 64) {
      for (let i = 0, j = at; i < 16; i += 1, j += 4) w[i] = (bytes[j] << 24) | (bytes[j + 1] << 16) | (bytes[j + 2] << 8) | bytes[j + 3];
      for (let i = 16; i < 64; i += 1) {
        const x = w[i - 15];
        const y = w[i - 2];
        const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
      }
      let [a, b, c, d, e, f, g, h] = [a0, b0, c0, d0, e0, f0, g0, h0];
      for (let i = 0; i < 64; i += 1) {
        const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
      }
      a0 = (a0 + a) | 0; b0 = (b0 + b) | 0; c0 = (c0 + c) | 0; d0 = (d0 + d) | 0;
      e0 = (e0 + e) | 0; f0 = (f0 + f) | 0; g0 = (g0 + g) | 0; h0 = (h0 + h) | 0;
    }
    this.#state.set([a0, b0, c0, d0, e0, f0, g0, h0]);
  }
}

/** `size`: bytes in all. Small inputs are collected for the browser's digest, which is many times faster. */
class Digest {
  #parts;
  #sha = new Sha256();
  #dropped = false;
  #tail = Promise.resolve();

  constructor(size) {
    this.#parts = size <= NATIVE && globalThis.crypto?.subtle ? [] : null;
  }

  add(blob) {
    if (this.#parts) this.#parts.push(blob);
    else this.#tail = this.#tail.then(() => this.#read(blob));
  }

  async end() {
    if (!this.#parts) return this.#tail.then(() => this.#sha.digest());
    const whole = await new Blob(this.#parts).arrayBuffer();
    const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  drop() {
    this.#dropped = true;
  }

  async #read(blob) {
    for (let at = 0; at < blob.size && !this.#dropped; at += BLOCK) {
      this.#sha.update(new Uint8Array(await blob.slice(at, at + BLOCK).arrayBuffer()));
    }
  }
}

const under = new Map(); // id -> Digest

onmessage = ({ data: { id, size, blob, end, drop } }) => {
  if (size !== undefined) under.set(id, new Digest(size));
  const one = under.get(id);
  if (!one) return;
  if (blob) one.add(blob);
  if (!end && !drop) return;
  under.delete(id);
  if (drop) one.drop();
  else one.end().then((sha256) => postMessage({ id, sha256 }), (error) => postMessage({ id, problem: String(error) }));
};
