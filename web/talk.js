// The conversation: chat messages and files, to all or to one participant. Holds messages and transfers; renders nothing.

import { Incoming, Outgoing, PROTOCOL, listen } from "./transfer.js";

const MAX_LINES = 500; // older messages are dropped; files stay
const MAX_OFFERS = 50; // files that one participant may have offered and not sent yet
const RETRY = 1_000; // ms after which a file is offered again if only its channel was lost
const MAX_TEXT_BYTES = 64 * 1024; // bytes (UTF-8) of a message
const MAX_CONCURRENT = 4; // concurrent files to one participant; others wait

export class Talk {
  #people; #changed; #keep = 0;
  #keys = 0;
  lines = []; // {key, kind: "text" | "file", mine, name, to, text | outgoing: [{id, name, transfer}] | incoming}
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
      const outgoing = this.#listeners(to).map(({ id, name }) => ({ id, name, transfer: new Outgoing(file, () => this.#moved(id)) }));
      this.#add({ kind: "file", mine: true, text: file.name, size: file.size, to: to && outgoing[0]?.name, outgoing });
      for (const { id } of outgoing) this.#next(id);
    }
  }

  /** A participant opened a channel for a file. */
  offered(person, channel) {
    listen(channel, (offer) => {
      const theirs = this.#incoming().filter((one) => one.from === person.name && !one.incoming.over);
      const known = theirs.find(({ incoming }) => incoming.id === offer.id);
      if (known) {
        if (known.incoming.size !== offer.size || known.incoming.name !== offer.name) return "bad-offer";
        if (known.incoming.state !== "waiting") return "busy";
        known.incoming.attach(channel);
        return null;
      }
      if (theirs.length >= MAX_OFFERS) return "too-many";
      const incoming = new Incoming(offer, this.#changed);
      incoming.attach(channel);
      this.#add({ kind: "file", mine: false, from: person.name, name: person.name, text: offer.name, size: offer.size, incoming });
      return null;
    });
  }

  /** A participant is connected (again): their waiting transfers continue. */
  connected(person) {
    for (const line of this.lines) {
      for (const one of line.outgoing ?? []) {
        // A participant who rejoined may have another id.
        if (one.transfer.state === "waiting" && one.name === person.name) one.id = person.id;
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
      line.incoming?.cancel();
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
    let free = MAX_CONCURRENT - theirs.filter(({ transfer }) => transfer.state !== "waiting").length;
    for (const { transfer } of theirs) {
      if (free <= 0) break;
      if (transfer.state !== "waiting") continue;
      free -= 1;
      transfer.start(person.peer.open(PROTOCOL), person.peer.pc.sctp?.maxMessageSize);
    }
  }
}
