// The conversation: texts and files, to all or to one person. Holds what was said and what is under way; draws nothing.

import { Incoming, Outgoing, PROTOCOL, listen } from "./transfer.js";

const MOST_LINES = 500; // older texts are forgotten; files stay
const MOST_OFFERS = 50; // files that one person may have offered and not yet sent
const RETRY = 1_000; // milliseconds after which a file is offered again where only its channel was lost
const LONGEST = 64 * 1024; // bytes of UTF-8 in a text
const AT_ONCE = 4; // files under way to one person; others wait for their turn

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

  /** Says something to everybody, or to the person with the id `to`. */
  say(text, to = null) {
    text = text.trim();
    if (!text || new TextEncoder().encode(text).length > LONGEST) return false;
    const heard = this.#listeners(to);
    for (const { peer } of heard) peer.say(text);
    this.#add({ kind: "text", mine: true, text, to: to && heard[0]?.name });
    return true;
  }

  /** Somebody said something. */
  heard(person, text) {
    this.#add({ kind: "text", mine: false, name: person.name, text });
  }

  /** Sends files to everybody who is there, or to one person. */
  send(files, to = null) {
    for (const file of files) {
      const outgoing = this.#listeners(to).map(({ id, name }) => ({ id, name, transfer: new Outgoing(file, () => this.#moved(id)) }));
      this.#add({ kind: "file", mine: true, text: file.name, size: file.size, to: to && outgoing[0]?.name, outgoing });
      for (const { id } of outgoing) this.#next(id);
    }
  }

  /** Somebody opened a channel for a file. */
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
      if (theirs.length >= MOST_OFFERS) return "too-many";
      const incoming = new Incoming(offer, this.#changed);
      incoming.attach(channel);
      this.#add({ kind: "file", mine: false, from: person.name, name: person.name, text: offer.name, size: offer.size, incoming });
      return null;
    });
  }

  /** Somebody is (again) connected: what waits for them goes on. */
  connected(person) {
    for (const line of this.lines) {
      for (const one of line.outgoing ?? []) {
        // Who comes back may have another id.
        if (one.transfer.state === "waiting" && one.name === person.name) one.id = person.id;
      }
    }
    this.#next(person.id);
  }

  /** The files that were offered to us and are wanted. */
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

  /** The call is over: nothing more comes or goes. */
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
    if (texts.length > MOST_LINES) this.lines.splice(this.lines.indexOf(texts[0]), 1);
    this.#changed();
  }

  #moved(id) {
    this.#changed();
    this.#next(id);
    clearTimeout(this.#keep);
    // A channel may be lost while the connection stays.
    this.#keep = setTimeout(() => [...this.#people()].forEach((person) => this.#next(person.id)), RETRY);
  }

  /** Starts what waits for a person, as far as there are turns. */
  #next(id) {
    const person = [...this.#people()].find((one) => one.id === id);
    if (person?.peer?.pc.connectionState !== "connected") return;
    const theirs = this.lines.flatMap((line) => line.outgoing ?? []).filter((one) => one.id === id && !one.transfer.over);
    let free = AT_ONCE - theirs.filter(({ transfer }) => transfer.state !== "waiting").length;
    for (const { transfer } of theirs) {
      if (free <= 0) break;
      if (transfer.state !== "waiting") continue;
      free -= 1;
      transfer.start(person.peer.open(PROTOCOL), person.peer.pc.sctp?.maxMessageSize);
    }
  }
}
