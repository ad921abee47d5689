// The room's socket: joins, answers pings, notices silence, reconnects. Knows nothing of media or the page.

const SILENCE = 15_000; // ms; the server pings three times as often
const RECONNECT_TIMEOUT = 120_000; // milliseconds
const MAX_UNSENT = 500;
// Errors that are not fatal.
const NON_FATAL = new Set(["no-such-peer", "busy"]);
const COME_BACK = new Set(["full", "slow"]); // fatal errors after which joining again is worth a try
const INTENDED_CLOSES = new Set([1000, 1001, 1008]); // close codes that are intended; others are network failures

export class RoomSocket {
  #url; #identity; #on; #socket; #silence; #retry;
  #membership = null;
  #open = false;
  #ended = false;
  #lostAt = 0;
  #attempt = 0;
  #fatalError = null;
  #unsent = [];

  /**
   * @param url where the room's WebSocket is
   * @param identity {name, token}
   * @param on callbacks: welcome(message), event(message), lost(attempt), closed(code, message)
   */
  constructor(url, identity, on) {
    this.#url = url;
    this.#identity = identity;
    this.#on = on;
    addEventListener("online", this.#hurry);
    this.#connect();
  }

  /** Sends now, or after reconnecting; of track lists only the last one. */
  send(message) {
    if (this.#open) return this.#socket.send(JSON.stringify(message));
    if (message.type === "tracks") this.#unsent = this.#unsent.filter((other) => other.type !== "tracks");
    if (this.#unsent.length < MAX_UNSENT) this.#unsent.push(message);
  }

  /** Leaves for good. */
  leave() {
    if (this.#open) this.send({ type: "leave" });
    this.#end();
    this.#socket.close(1000);
  }

  #connect = () => {
    this.#fatalError = null;
    const socket = (this.#socket = new WebSocket(this.#url));
    const mine = (handle) => (event) => { if (socket === this.#socket && !this.#ended) handle(event); };
    socket.onopen = mine(() => {
      const { name, token } = this.#identity;
      const join = { type: "join", protocol: 1, name, role: "participant" };
      if (token) join.token = token;
      if (this.#membership) join.resume = this.#membership;
      socket.send(JSON.stringify(join));
    });
    socket.onmessage = mine(({ data }) => {
      this.#listen();
      this.#hear(JSON.parse(data));
    });
    socket.onclose = mine(({ code }) => this.#closed(code));
    this.#listen();
  };

  #listen() {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#silence = setTimeout(() => {
      // Closing a dead socket can take long: abandon it without waiting for its close event.
      this.#socket = null;
      socket.close(4000, "silence");
      this.#closed(4000);
    }, SILENCE);
  }

  #hear(message) {
    if (message.type === "ping") return this.#socket.send('{"type":"pong"}');
    if (message.type === "error" && !NON_FATAL.has(message.code)) this.#fatalError = message;
    if (message.type !== "welcome") return this.#on.event(message);
    this.#membership = { id: message.id, secret: message.secret };
    this.#open = true;
    this.#attempt = this.#lostAt = 0;
    const unsent = this.#unsent.splice(0);
    this.#on.welcome(message);
    // Without a resume, queued signals are for connections that no longer exist, and the welcome handler sends the labels again.
    if (message.resumed) for (const message of unsent) this.send(message);
  }

  #closed(code) {
    clearTimeout(this.#silence);
    const joining = !this.#open;
    this.#open = false;
    this.#lostAt ||= Date.now();
    const neverJoined = !this.#membership;
    // A page that was suspended while it reconnected (a phone) is refused because its join came too late: try again.
    const isFinal = INTENDED_CLOSES.has(code) && !COME_BACK.has(this.#fatalError?.code) && !(joining && this.#fatalError?.code === "bad-message");
    if (neverJoined || isFinal || Date.now() - this.#lostAt > RECONNECT_TIMEOUT) {
      this.#end();
      const fallback = neverJoined ? "The room cannot be reached." : "The connection to the room was lost.";
      return this.#on.closed(this.#fatalError?.code ?? null, this.#fatalError?.message ?? fallback);
    }
    this.#attempt += 1;
    this.#on.lost(this.#attempt);
    const wait = Math.min(5000, 250 * 2 ** (this.#attempt - 1)) * (0.75 + Math.random() / 2);
    this.#retry = setTimeout(this.#connect, wait);
  }

  #hurry = () => {
    if (!this.#lostAt || this.#ended) return;
    clearTimeout(this.#retry);
    if (this.#socket?.readyState !== WebSocket.CONNECTING) this.#connect();
  };

  #end() {
    this.#ended = true;
    this.#open = false;
    clearTimeout(this.#silence);
    clearTimeout(this.#retry);
    removeEventListener("online", this.#hurry);
  }
}
