// The conversation: chat messages and files, to all or to one participant. Holds messages and transfers; renders nothing.

import { HAVE, Incoming, Outgoing, PROTOCOL, isShared, listen, newId } from "./transfer.js";

const MAX_LINES = 500; // older messages are dropped; files stay
const MAX_OFFERS = 50; // files that one participant may have offered and not sent yet
const MAX_NAME = 64; // characters of a participant's name
const RETRY = 1_000; // ms after which a file is offered again if only its channel was lost
const MAX_TEXT_BYTES = 64 * 1024; // bytes (UTF-8) of a message
const MAX_CONCURRENT = 4; // concurrent files to one participant; others wait

export class Talk {
  #people; #changed; #keep = 0;
  #keys = 0;
  // {key, kind: "text" | "file", mine, name, to, text | outgoing: [{id, name, transfer}] | incoming, source: id, via: name of another who offers it}
  lines = [];
  unread = 0;

  /**
   * @param people () => iterable of {id, name, role, peer}
   * @param changed called whenever there is something new to draw
   */
  constructor(people, changed) {
    this.#people = people;
    this.#changed = changed;
  }

  /** Sends a message to everybody, or to the participant with the id `to`. */
  say(text, to = null) {
    text = text.trim();
    if (!text || new TextEncoder().encode(text).length > MAX_TEXT_BYTES) return false;
    const heard = this.#listeners(to);
    for (const { peer } of heard) peer.say(text);
    this.#add({ kind: "text", mine: true, text, to: to && heard[0]?.name });
    return true;
  }

  /** A message was received. */
  heard(person, text) {
    this.#add({ kind: "text", mine: false, name: person.name, text });
  }

  /** Sends files to everybody present, or to one participant. */
  send(files, to = null) {
    for (const file of files) {
      const shared = to ? null : newId();
      const outgoing = this.#listeners(to).map(({ id, name }) => ({ id, name, transfer: new Outgoing(file, () => this.#moved(id), shared) }));
      this.#add({ kind: "file", mine: true, text: file.name, size: file.size, to: to && outgoing[0]?.name, outgoing });
      for (const { id } of outgoing) this.#next(id);
    }
  }

  /** A participant opened a channel for a file. */
  offered(person, channel) {
    listen(channel, (offer) => {
      const shared = this.#incoming().find(({ incoming }) => incoming.is(offer));
      if (shared) return this.#continued(shared, person, channel, offer);
      const theirs = this.#incoming().filter((one) => one.from === person.name && !one.incoming.over);
      const known = theirs.find(({ incoming }) => incoming.id === offer.id && !incoming.shared);
      if (known) {
        if (known.incoming.size !== offer.size || known.incoming.name !== offer.name) return "bad-offer";
        if (known.incoming.state !== "waiting") return "busy";
        known.source = person.id;
        known.incoming.attach(channel, offer);
        return null;
      }
      if (theirs.filter(({ incoming }) => incoming.state !== "absent").length >= MAX_OFFERS) return "too-many";
      const incoming = new Incoming(offer, this.#changed);
      incoming.attach(channel, offer);
      const sharer = isShared(offer) && offer.from ? offer.from.slice(0, MAX_NAME) : null;
      const line = { from: person.name, source: person.id, name: sharer ?? person.name, via: sharer && person.name };
      this.#add({ kind: "file", mine: false, text: offer.name, size: offer.size, incoming, ...line });
      return null;
    });
  }

  /** A file that everybody was offered is offered again, by its sharer or by another who has it. */
  #continued(line, person, channel, offer) {
    if (line.incoming.state === "done") return HAVE;
    if (line.incoming.declined) return "unwanted";
    if (line.incoming.live) return "busy";
    line.source = person.id;
    line.via = offer.from === undefined ? null : person.name;
    line.incoming.attach(channel, offer);
    return null;
  }

  /** A participant has left: what they offered may go on from others. */
  left(id) {
    for (const { source, incoming } of this.#incoming()) if (source === id) incoming.lost();
  }

  /** A participant is connected (again): their waiting transfers continue. */
  connected(person) {
    for (const line of this.lines) {
      for (const one of line.outgoing ?? []) {
        // A participant who rejoined may have another id.
        if (["hashing", "waiting"].includes(one.transfer.state) && one.name === person.name) one.id = person.id;
      }
    }
    this.#next(person.id);
  }

  /** Offered files that the user has accepted. */
  take(key) {
    this.lines.find((line) => line.key === key)?.incoming?.take();
  }

  cancel(key) {
    const line = this.lines.find((one) => one.key === key);
    line?.incoming?.cancel();
    for (const { transfer } of line?.outgoing ?? []) transfer.cancel();
  }

  read() {
    this.unread = 0;
    this.#changed();
  }

  /** The call has ended: all transfers stop. */
  end() {
    for (const line of this.lines) {
      line.incoming?.cancel(false);
      for (const { transfer } of line.outgoing ?? []) transfer.fail("cancelled");
    }
  }

  #listeners(to) {
    return [...this.#people()].filter(({ id }) => !to || id === to);
  }

  #incoming() {
    return this.lines.filter((line) => line.incoming);
  }

  #add(line) {
    this.lines.push({ key: (this.#keys += 1), at: new Date(), ...line });
    if (!line.mine) this.unread += 1;
    const texts = this.lines.filter(({ kind }) => kind === "text");
    if (texts.length > MAX_LINES) this.lines.splice(this.lines.indexOf(texts[0]), 1);
    this.#changed();
  }

  #moved(id) {
    this.#changed();
    this.#next(id);
    clearTimeout(this.#keep);
    // A channel may be lost while the connection stays.
    this.#keep = setTimeout(() => [...this.#people()].forEach((person) => this.#next(person.id)), RETRY);
  }

  /** Starts waiting transfers to a participant, up to the limit. */
  #next(id) {
    const person = [...this.#people()].find((one) => one.id === id);
    if (person?.peer?.pc.connectionState !== "connected") return;
    const theirs = this.lines.flatMap((line) => line.outgoing ?? []).filter((one) => one.id === id && !one.transfer.over);
    let free = MAX_CONCURRENT - theirs.filter(({ transfer }) => !["hashing", "waiting"].includes(transfer.state)).length;
    for (const { transfer } of theirs) {
      if (free <= 0) break;
      if (transfer.state !== "waiting") continue;
      free -= 1;
      transfer.start(person.peer.open(PROTOCOL), person.peer.pc.sctp?.maxMessageSize);
    }
  }
}
