// Files over data channels, `roombot-file/1` (docs/files.md): sender and receiver. Knows no room and no page.

export const PROTOCOL = "roombot-file/1";

const CHUNK = 64 * 1024; // bytes of a message, if the other side accepts as much
const BLOCK = 1 << 20; // bytes read from the disk at a time
const MAX_BUFFERED = 4 << 20; // bytes in the channel's send buffer above which we wait
const LOW = 1 << 20;
const WINDOW = 4 << 20; // bytes that a sender may be ahead
const PART = 4 << 20; // bytes per blob: the browser may move blobs to its disk
const MAX_FILE = 8 * 2 ** 30; // bytes that a browser can save as a download
const MOST_AGAIN = 2;
const MAX_BUSY_RETRIES = 90; // repeated offers, about a second apart: a receiver may take a minute to notice that our previous connection is lost
const IDLE = 60_000; // milliseconds

const WORDS = {
  "too-large": "too large", "too-many": "too many files", "no-space": "their disk is full", unwanted: "not wanted", idle: "timeout",
  mismatch: "damaged in transfer", cancelled: "cancelled", busy: "already being sent", broken: "their disk failed",
};

/** Why a transfer ended, for the user. */
export const why = (reason) => WORDS[reason] ?? "refused";

// ---- Hashes

let worker = null;
let hashes = 0;
const awaited = new Map(); // id -> {resolve, reject}

/** A running SHA-256; `digest` is a promise of 64 hex digits. */
class Hash {
  #id = (hashes += 1);

  constructor(size) {
    tell({ id: this.#id, size });
  }
  add(blob) {
    tell({ id: this.#id, blob });
  }
  digest() {
    tell({ id: this.#id, end: true });
    return new Promise((resolve, reject) => awaited.set(this.#id, { resolve, reject }));
  }
  drop() {
    tell({ id: this.#id, drop: true });
  }
}

function tell(message) {
  if (!worker) {
    worker = new Worker(new URL("./hash.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { id, sha256, problem } }) => {
      const { resolve, reject } = awaited.get(id) ?? {};
      awaited.delete(id);
      if (problem) reject?.(new Error(problem));
      else resolve?.(sha256);
    };
  }
  worker.postMessage(message);
}

const digests = new WeakMap(); // File -> promise: hashed once for all receivers

function digestOf(file) {
  if (!digests.has(file)) {
    const hash = new Hash(file.size);
    hash.add(file);
    digests.set(file, hash.digest());
  }
  return digests.get(file);
}

/** An id for a file. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

// ---- Sending

/** One file to one participant. `state`: hashing (if shared) -> waiting (for a connection) -> offered -> sending -> checking -> done | ended. */
export class Outgoing {
  #file; #changed; #channel; #until = 0; #at = 0; #largest = CHUNK; #running = false; #turn = 0; #busy = 0; #id; #sha256 = null;

  /**
   * @param changed called whenever `state` or `bytes` may have changed
   * @param shared the id in all offers of a file that everybody is offered; `null`: it is for one participant
   */
  constructor(file, changed, shared = null) {
    this.#file = file;
    this.#changed = changed;
    this.#id = shared ?? newId();
    this.name = file.name;
    this.size = file.size;
    this.bytes = 0; // as far as the receiver allows
    this.state = shared ? "hashing" : "waiting";
    this.reason = null; // why it has ended
    if (!shared) return;
    // Others may offer it on, so its hash has to be known from the beginning.
    const hashed = (sha256) => {
      if (this.over) return;
      this.#sha256 = sha256;
      this.#become("waiting");
    };
    digestOf(file).then(hashed, () => this.fail("unreadable"));
  }

  get over() {
    return this.state === "done" || this.state === "ended";
  }

  /**
   * Offers the file on a new channel; again after a loss.
   *
   * @param largest bytes that the receiver takes in a message
   */
  start(channel, largest) {
    this.#channel = channel;
    this.#largest = Math.max(1, Math.min(CHUNK, largest || CHUNK));
    this.#running = false;
    this.#turn += 1;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = LOW;
    channel.onopen = () => this.#tell({ type: "offer", id: this.#id, name: this.name, size: this.size, ...(this.#file.type && { mime: this.#file.type.slice(0, 128) }), ...(this.#sha256 && { sha256: this.#sha256, shared: true }) });
    channel.onmessage = ({ data }) => channel === this.#channel && this.#hear(data);
    channel.onclose = () => {
      if (channel !== this.#channel || this.over) return;
      this.#channel = null;
      this.#become("waiting");
    };
    this.#become("offered");
    if (channel.readyState === "open") channel.onopen();
  }

  cancel() {
    if (this.over) return;
    this.#tell({ type: "cancel", reason: "cancelled" });
    this.#end("cancelled");
  }

  /** Ends without telling the receiver, who is not connected. */
  fail(reason) {
    if (!this.over) this.#end(reason);
  }

  #become(state) {
    this.state = state;
    this.#changed();
  }

  #end(reason) {
    this.reason = reason;
    this.#become(reason ? "ended" : "done");
    // The last message must still be sent: closing waits for it.
    this.#channel?.close();
    this.#channel = null;
  }

  #tell(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  #hear(data) {
    const message = parse(data);
    switch (message?.type) {
      case "accept":
      case "again":
        if (!position(message.offset, this.size) || !position(message.until, Infinity)) return this.#end("bad-message");
        this.#at = message.offset;
        this.#until = message.until;
        this.#busy = 0;
        return void this.#send();
      case "more":
        if (!position(message.until, Infinity)) return this.#end("bad-message");
        this.#until = Math.max(this.#until, message.until);
        return void this.#send();
      case "ack": {
        return void digestOf(this.#file).then((ours) => this.#end(ours === message.sha256 ? null : "mismatch"), () => this.#end("unreadable"));
      }
      case "refuse":
        if (message.reason === "busy" && (this.#busy += 1) <= MAX_BUSY_RETRIES) return this.#channel.close(); // and offered again
        // falls through
      case "cancel":
        return this.#end(String(message.reason).slice(0, 32));
    }
  }

  /** Sends up to the receiver's limit. One runs at a time, for one channel. */
  async #send() {
    if (this.#running) return;
    this.#running = true;
    const [channel, turn] = [this.#channel, this.#turn];
    const mine = () => channel === this.#channel && channel?.readyState === "open" && turn === this.#turn;
    this.#become("sending");
    try {
      while (mine() && this.#at < Math.min(this.#until, this.size)) {
        const from = this.#at;
        const block = await this.#file.slice(from, Math.min(from + BLOCK, this.#until, this.size)).arrayBuffer();
        if (!mine()) return;
        if (from !== this.#at) continue; // the receiver has requested another position meanwhile
        for (let at = 0; at < block.byteLength; at += this.#largest) channel.send(new Uint8Array(block, at, Math.min(this.#largest, block.byteLength - at)));
        this.#at += block.byteLength;
        this.bytes = this.#at;
        this.#changed();
        if (channel.bufferedAmount > MAX_BUFFERED) await drained(channel);
      }
      if (mine() && this.#at >= this.size) {
        this.#become("checking");
        const sha256 = await digestOf(this.#file);
        if (mine() && this.#at >= this.size) this.#tell({ type: "end", sha256 });
      }
    } catch (error) {
      // The file was deleted or changed.
      if (!mine()) return;
      console.warn(`${this.name}:`, error);
      this.#tell({ type: "cancel", reason: "unreadable" });
      this.#end("unreadable");
    } finally {
      if (turn === this.#turn) this.#running = false;
    }
  }
}

function drained(channel) {
  return new Promise((resolve) => {
    channel.addEventListener("bufferedamountlow", resolve, { once: true });
    channel.addEventListener("close", resolve, { once: true });
    if (channel.bufferedAmount <= LOW || channel.readyState !== "open") resolve();
  });
}

// ---- Receiving

/**
 * One file of one participant. `state`: offered -> receiving -> checking -> done | ended; waiting while there is no connection. A file that
 * everybody was offered may go on from another source: it is `absent` while nobody offers it.
 */
export class Incoming {
  #changed; #channel = null; #parts = []; #fresh = []; #freshBytes = 0; #until = 0; #hash = null; #again = 0; #idle = 0; #ordered = true; #pieces = []; #byOther = false;

  /** @param offer a valid offer. @param changed called whenever `state` or `bytes` may have changed */
  constructor(offer, changed) {
    this.#changed = changed;
    this.id = offer.id;
    this.name = offer.name;
    this.size = offer.size;
    this.mime = offer.mime ?? "";
    this.sha256 = offer.sha256?.toLowerCase() ?? null; // as promised
    this.shared = isShared(offer);
    this.declined = false; // for good, whoever offers it
    this.bytes = 0;
    this.state = "offered";
    this.reason = null;
    this.blob = null; // the file, once it is complete
  }

  get over() {
    return this.state === "done" || this.state === "ended";
  }

  /** Whether somebody sends or offers it now. */
  get live() {
    return this.#channel !== null || this.state === "checking";
  }

  /** Whether an offer of anybody is for this shared file: with another hash it is another file. */
  is(offer) {
    return this.shared && isShared(offer) && offer.id === this.id && offer.size === this.size && offer.sha256.toLowerCase() === this.sha256;
  }

  /** Attaches the channel of the offer; again after a reconnect, or that of another who offers it. */
  attach(channel, offer) {
    if (this.state === "absent") this.state = "offered";
    if (this.state === "ended") this.#renew();
    const going = this.state !== "offered";
    this.#byOther = offer.from !== undefined;
    this.#channel = channel;
    this.#ordered = channel.ordered;
    this.#pieces = [];
    channel.onmessage = ({ data }) => channel === this.#channel && this.#hear(data);
    channel.onclose = () => channel === this.#channel && this.lost();
    if (going) this.take();
    else this.#changed();
  }

  /** Whoever sent or offered it is gone. */
  lost() {
    if (this.over || !this.#channel) return;
    this.#channel = null;
    if (this.state === "offered") this.shared ? this.#become("absent") : this.#end("cancelled");
    else if (this.state !== "checking" || !this.shared) this.#become("waiting");
  }

  #renew() {
    this.#parts = [];
    this.#fresh = [];
    this.#freshBytes = this.bytes = this.#again = 0;
    this.#hash = this.reason = null;
    this.state = "offered";
  }

  /** Accepts the file. */
  take() {
    if (this.over || !this.#channel) return;
    this.#hash ??= new Hash(this.size);
    this.#until = this.bytes + WINDOW;
    this.#tell({ type: "accept", offset: this.bytes, until: this.#until });
    this.#alive();
    this.#become("receiving");
  }

  /** @param declined for good: nobody needs to offer it again */
  cancel(declined = true) {
    if (this.over) return;
    this.declined = declined;
    this.#tell(this.state === "offered" ? { type: "refuse", reason: "unwanted", text: "not wanted" } : { type: "cancel", reason: "cancelled" });
    this.#end("cancelled");
  }

  #become(state) {
    this.state = state;
    this.#changed();
  }

  #end(reason) {
    clearTimeout(this.#idle);
    this.reason = reason;
    if (reason) {
      this.#hash?.drop();
      this.#parts = this.#fresh = this.#pieces = [];
      const channel = this.#channel;
      if (channel) setTimeout(() => channel.close(), 1_000); // after the message with the reason
    }
    this.#channel = null;
    this.#become(reason ? "ended" : "done");
  }

  #tell(message) {
    if (this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  #refuse(reason) {
    this.#tell({ type: "refuse", reason, text: why(reason) });
    this.#end(reason);
  }

  #alive() {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.state === "receiving" && this.#refuse("idle"), IDLE);
  }

  #hear(data) {
    this.#alive();
    if (data instanceof ArrayBuffer) return this.#ordered ? this.#chunk(data) : this.#piece(data);
    const message = parse(data);
    if (message?.type === "cancel") {
      // Whose file it is has withdrawn it.
      this.declined ||= message.reason === "cancelled" && !this.#byOther;
      return this.#end("cancelled");
    }
    if (message?.type === "end" && this.state === "receiving") return void this.#finish(message.sha256);
    this.#refuse("bad-message");
  }

  /** The next bytes, in order. */
  #chunk(data) {
    if (this.state !== "receiving") return this.#refuse("bad-message");
    if (this.bytes + data.byteLength > Math.min(this.#until, this.size)) return this.#refuse("flood");
    this.#fresh.push(data);
    this.#freshBytes += data.byteLength;
    this.bytes += data.byteLength;
    if (this.#freshBytes >= PART) this.#put();
    if (this.#until - this.bytes <= WINDOW / 2 && this.#until < this.size) {
      this.#until = this.bytes + WINDOW;
      this.#tell({ type: "more", until: this.#until });
    }
    this.#changed();
  }

  /** Bytes after their position, in any order. */
  #piece(data) {
    if (data.byteLength < 9) return this.#refuse("bad-message");
    const at = Number(new DataView(data).getBigUint64(0));
    if (at < this.bytes || at + data.byteLength - 8 > Math.min(this.#until, this.size)) return this.#refuse("flood");
    this.#pieces.push({ at, bytes: data.slice(8) });
    this.#pieces.sort((one, other) => one.at - other.at);
    while (this.#pieces[0]?.at === this.bytes && this.state === "receiving") this.#chunk(this.#pieces.shift().bytes);
  }

  #put() {
    const part = new Blob(this.#fresh);
    this.#fresh = [];
    this.#freshBytes = 0;
    this.#parts.push(part);
    this.#hash.add(part);
  }

  async #finish(theirs) {
    // On an unordered channel chunks may arrive after the end: the hash decides.
    if (this.bytes < this.size && !this.#ordered) return void setTimeout(() => this.state === "receiving" && this.#finish(theirs), 50);
    this.#put();
    this.#become("checking");
    const ours = this.bytes === this.size ? await this.#hash.digest().catch(() => null) : null;
    if (this.state !== "checking") return;
    if (ours && ours === theirs && ours === (this.sha256 ?? ours)) {
      this.blob = new Blob(this.#parts, { type: this.mime });
      this.#tell({ type: "ack", sha256: ours });
      return this.#end(null);
    }
    this.#again += 1;
    if (this.#again > MOST_AGAIN) return this.#refuse("mismatch");
    this.#parts = [];
    this.bytes = 0;
    if (!ours) this.#hash.drop();
    this.#hash = new Hash(this.size);
    this.#until = WINDOW;
    this.#tell({ type: "again", offset: 0, until: this.#until });
    this.#become(this.#channel ? "receiving" : "waiting");
  }
}

export const HAVE = "have";

/**
 * Waits for the offer on a channel that somebody opened.
 *
 * @param taken called with the offer; says why it is refused (`HAVE`: the shared file is here already), or nothing
 */
export function listen(channel, taken) {
  channel.binaryType = "arraybuffer";
  channel.onmessage = ({ data }) => {
    const offer = parse(data);
    const reason = valid(offer) ? (offer.size > MAX_FILE ? "too-large" : taken(offer)) : "bad-offer";
    if (!reason) return;
    channel.onmessage = null;
    channel.send(JSON.stringify(reason === HAVE ? { type: "ack", sha256: offer.sha256.toLowerCase() } : { type: "refuse", reason, text: why(reason) }));
    setTimeout(() => channel.close(), 1_000);
  };
}

const position = (value, largest) => Number.isSafeInteger(value) && value >= 0 && value <= largest;

function valid(offer) {
  return offer?.type === "offer" && /^[\w-]{8,64}$/.test(offer.id) && typeof offer.name === "string" && offer.name.length <= 1024
    && position(offer.size, Infinity) && (offer.mime === undefined || (typeof offer.mime === "string" && offer.mime.length <= 128))
    && (offer.sha256 === undefined || /^[0-9a-f]{64}$/i.test(offer.sha256)) && [undefined, true, false].includes(offer.shared)
    && (offer.from === undefined || (typeof offer.from === "string" && offer.from.length <= 256));
}

/** Whether everybody is offered this file, so that it may come from anybody. Without its hash nobody could say whether it is the same. */
export const isShared = (offer) => offer.shared === true && offer.sha256 !== undefined;

function parse(data) {
  if (typeof data !== "string" || data.length > 8 * 1024) return null;
  try {
    const value = JSON.parse(data);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
