// The room's socket: joins, answers pings, notices silence, comes back after a loss. Knows nothing of media or of the page.

const SILENCE = 15_000; // milliseconds; the server pings three times as often
const COME_BACK_FOR = 120_000; // milliseconds
const MAX_UNSENT = 500;
// Errors that end nothing.
const TOLD = new Set(["no-such-peer", "busy"]);
const FINAL = new Set([1000, 1001, 1008]); // closes that the server means; others are accidents

export class RoomSocket {
  #url; #identity; #on; #socket; #silence; #retry;
  #proof = null;
  #open = false;
  #ended = false;
  #lostAt = 0;
  #attempt = 0;
  #verdict = null;
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

  /** Sends now, or after coming back; of track lists only the last counts. */
  send(message) {
    if (this.#open) return this.#socket.send(JSON.stringify(message));
    if (message.type === "tracks") this.#unsent = this.#unsent.filter((other) => other.type !== "tracks");
    if (this.#unsent.length < MAX_UNSENT) this.#unsent.push(message);
  }

  /** Says goodbye and stays away. */
  leave() {
    if (this.#open) this.send({ type: "leave" });
    this.#end();
    this.#socket.close(1000);
  }

  #connect = () => {
    this.#verdict = null;
    const socket = (this.#socket = new WebSocket(this.#url));
    const mine = (handle) => (event) => { if (socket === this.#socket && !this.#ended) handle(event); };
    socket.onopen = mine(() => {
      const { name, token } = this.#identity;
      const join = { type: "join", protocol: 1, name, role: "participant" };
      if (token) join.token = token;
      if (this.#proof) join.resume = this.#proof;
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
      // Closing a dead socket can take long: let go of it, and do not wait for its last event.
      this.#socket = null;
      socket.close(4000, "silence");
      this.#closed(4000);
    }, SILENCE);
  }

  #hear(message) {
    if (message.type === "ping") return this.#socket.send('{"type":"pong"}');
    if (message.type === "error" && !TOLD.has(message.code)) this.#verdict = message;
    if (message.type !== "welcome") return this.#on.event(message);
    this.#proof = { id: message.id, secret: message.secret };
    this.#open = true;
    this.#attempt = this.#lostAt = 0;
    const unsent = this.#unsent.splice(0);
    this.#on.welcome(message);
    // Without a resume the signals were for connections that are gone, and the labels are told anew by whoever hears the welcome.
    if (message.resumed) for (const message of unsent) this.send(message);
  }

  #closed(code) {
    clearTimeout(this.#silence);
    const coming = !this.#open;
    this.#open = false;
    this.#lostAt ||= Date.now();
    const never = !this.#proof;
    // A page that stood still while it came back (a phone in a pocket) is refused for saying nothing; that is no reason to stay away.
    const meant = FINAL.has(code) && this.#verdict?.code !== "full" && !(coming && this.#verdict?.code === "bad-message");
    if (never || meant || Date.now() - this.#lostAt > COME_BACK_FOR) {
      this.#end();
      const fallback = never ? "The room cannot be reached." : "The connection to the room was lost.";
      return this.#on.closed(this.#verdict?.code ?? null, this.#verdict?.message ?? fallback);
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
