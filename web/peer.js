// One connection to one other member: perfect negotiation (W3C WebRTC 10.7), our tracks out, theirs in, data channels both ways.
// Knows no room and no page.

const OFFER_TIMEOUT = 10_000; // ms after which an offer without an answer is sent again
const MAX_RENEWALS = 3; // a connection that fails before it is established is made anew so often
const MAX_QUEUED_TEXTS = 100; // messages that wait for the chat channel to open

export class Peer {
  #send; #on; #changed; #iceServers; #polite; #codec;
  #queuedTexts = [];
  #local = new Map(); // source -> {track, stream}
  #senders = new Map(); // source -> RTCRtpSender
  #hasOffer = false; // our tracks wait until the first offer was made or received
  #makingOffer = false;
  #ignoreOffer = false;
  #answerPending = false;
  #first = false; // we make the first offer
  #established = false;
  #renewals = 0;
  #repeat = 0;
  #inbox = Promise.resolve();

  /**
   * @param options {id, polite, iceServers, codec, send(body), on: {changed(), connected(), text(string), channel(RTCDataChannel)}};
   *   `changed` is called whenever what there is to see may have, `channel` for channels with a protocol of their own
   */
  constructor({ id, polite, iceServers, codec, send, on }) {
    this.id = id;
    this.streams = new Map(); // their media streams by id
    this.channel = null; // the chat's data channel
    this.#polite = polite;
    this.#iceServers = iceServers;
    this.#codec = codec;
    this.#send = send;
    this.#on = on;
    this.#changed = on.changed;
    this.pc = this.#connection();
  }

  #connection() {
    const pc = new RTCPeerConnection({ iceServers: this.#iceServers });
    pc.onnegotiationneeded = () => this.#hasOffer && this.#offer();
    pc.onicecandidate = ({ candidate }) => this.#send({ candidate: candidate ? candidate.toJSON() : null });
    pc.ondatachannel = ({ channel }) => (channel.protocol ? this.#on.channel(channel) : this.#chat(channel));
    pc.ontrack = ({ track, streams: [stream] }) => {
      if (!stream) return;
      this.streams.set(stream.id, stream);
      stream.onremovetrack = () => {
        if (!stream.getTracks().length) this.streams.delete(stream.id);
        this.#changed();
      };
      track.onmute = track.onunmute = this.#changed;
      this.#changed();
    };
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "failed") pc.restartIce();
      if (pc.connectionState === "connected") {
        this.#established = true;
        this.#on.connected();
      }
      this.#changed();
    };
    return pc;
  }

  /** Makes the first offer. */
  begin() {
    this.#first = true;
    this.#chat(this.pc.createDataChannel("chat"));
    this.#admit();
  }

  /** Sends a chat message, or queues it until the channel is open. */
  say(text) {
    if (this.channel?.readyState === "open") this.channel.send(text);
    else if (this.#queuedTexts.length < MAX_QUEUED_TEXTS) this.#queuedTexts.push(text);
  }

  /** Opens a channel with a subprotocol. */
  open(protocol) {
    return this.pc.createDataChannel(protocol, { protocol });
  }

  /** A channel without a subprotocol: its texts are chat; we send on the one labelled as the chat. */
  #chat(channel) {
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => typeof data === "string" && this.#on.text(data);
    if (channel.label !== "chat") return;
    this.channel = channel;
    channel.onopen = () => {
      for (const text of this.#queuedTexts.splice(0)) channel.send(text);
      this.#changed();
    };
    if (channel.readyState === "open") channel.onopen();
  }

  /** Sends `track` as this source instead of the previous one; `null` sends nothing but keeps the transceiver. */
  async set(source, track, stream) {
    if (track) this.#local.set(source, { track, stream });
    else this.#local.delete(source);
    const sender = this.#senders.get(source);
    if (sender) await sender.replaceTrack(track);
    else if (track && this.#hasOffer) this.#add(source, track, stream);
  }

  /** Removes a source. */
  remove(source) {
    this.#local.delete(source);
    const sender = this.#senders.get(source);
    this.#senders.delete(source);
    if (sender && this.pc.signalingState !== "closed") this.pc.removeTrack(sender);
  }

  /** The source of one of our senders: `camera`, `mic`, … */
  sourceOf(sender) {
    for (const [source, known] of this.#senders) if (known === sender) return source;
    return null;
  }

  /** A signal from the other side. Signals are handled in order. */
  hear(body) {
    this.#inbox = this.#inbox.then(() => this.#handle(body)).catch((error) => {
      if (this.pc.signalingState === "closed") return;
      console.warn(`signal of ${this.id}:`, error);
      if (!body.description) return;
      this.#send({ refused: String(error?.message ?? error).slice(0, 300) });
      this.#renew();
    });
  }

  /** A description was refused, by us or by them: what was not established will not be, so both sides begin anew. `anew`: nothing of ours
   * arrives over a connection that stands. */
  #renew(anew = false) {
    if ((this.#established && !anew) || this.#renewals++ >= MAX_RENEWALS) return;
    this.#established = false;
    clearTimeout(this.#repeat);
    this.pc.onnegotiationneeded = null;
    this.pc.close();
    this.#hasOffer = this.#makingOffer = this.#ignoreOffer = this.#answerPending = false;
    this.#senders.clear();
    this.streams.clear();
    this.channel = null;
    this.pc = this.#connection();
    if (this.#first) this.begin();
    this.#changed();
  }

  close() {
    clearTimeout(this.#repeat);
    this.pc.close();
  }

  #admit() {
    this.#hasOffer = true;
    for (const [source, { track, stream }] of this.#local) this.#add(source, track, stream);
  }

  #add(source, track, stream) {
    const sender = this.pc.addTrack(track, stream);
    this.#senders.set(source, sender);
    if (track.kind !== "video") return;
    const transceiver = this.pc.getTransceivers().find((one) => one.sender === sender);
    if (this.#codec) preferCodec(transceiver, this.#codec);
  }

  async #offer() {
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#describe();
    } catch (error) {
      if (this.pc.signalingState !== "closed") console.warn(`offer to ${this.id}:`, error);
    } finally {
      this.#makingOffer = false;
    }
  }

  #describe() {
    const { type, sdp } = this.pc.localDescription;
    this.#send({ description: { type, sdp } });
    clearTimeout(this.#repeat);
    if (type !== "offer") return;
    // An offer or its answer may have been lost with a socket; answering the same offer twice is harmless.
    this.#repeat = setTimeout(() => {
      if (this.pc.signalingState === "have-local-offer") this.#describe();
    }, OFFER_TIMEOUT);
  }

  async #handle({ description, candidate, refused, anew }) {
    const { pc } = this;
    if (refused !== undefined) {
      console.warn(`${this.id} refused our description: ${refused}`);
      clearTimeout(this.#repeat);
      if (anew || !this.#established) return this.#renew(anew);
      if (pc.signalingState === "have-local-offer") await pc.setLocalDescription({ type: "rollback" });
      return;
    }
    if (!description) {
      try {
        await pc.addIceCandidate(candidate ?? undefined);
      } catch (error) {
        if (!this.#ignoreOffer) throw error;
      }
      return;
    }
    const free = !this.#makingOffer && (pc.signalingState === "stable" || this.#answerPending);
    this.#ignoreOffer = !this.#polite && description.type === "offer" && !free;
    if (this.#ignoreOffer) return;
    if (description.type === "answer" && pc.signalingState === "stable") return; // the second answer to a repeated offer
    this.#answerPending = description.type === "answer";
    try {
      await pc.setRemoteDescription(description); // implicitly rolls back our offer where theirs has priority
    } finally {
      this.#answerPending = false;
    }
    if (description.type === "offer") {
      if (!this.#hasOffer) this.#admit();
      else if (this.#codec) pc.getTransceivers().forEach((one) => one.sender.track?.kind === "video" && preferCodec(one, this.#codec));
      await pc.setLocalDescription();
      this.#describe();
    } else {
      clearTimeout(this.#repeat);
    }
    if (this.#codec) await this.#applyPreferredCodec();
    this.#changed();
  }

  /** If the other side prefers another codec, makes the sender use our preferred one of those negotiated. */
  async #applyPreferredCodec() {
    for (const sender of this.pc.getSenders()) {
      if (sender.track?.kind !== "video") continue;
      const parameters = sender.getParameters();
      const [first] = parameters.codecs ?? [];
      const wanted = parameters.codecs?.find((one) => isCodec(one, this.#codec));
      const [encoding] = parameters.encodings;
      if (!encoding || !wanted || isCodec(first, this.#codec) || isCodec(encoding.codec, this.#codec)) continue;
      encoding.codec = wanted;
      await sender.setParameters(parameters).catch((error) => console.warn(`codec ${this.#codec}:`, error));
    }
  }
}

function isCodec(codec, name) {
  return codec?.mimeType.toLowerCase() === `video/${name}`;
}

/** Puts one codec first and keeps the rest (retransmission and error correction among them) behind it. */
function preferCodec(transceiver, name) {
  const all = RTCRtpReceiver.getCapabilities("video")?.codecs ?? [];
  const first = all.filter((codec) => isCodec(codec, name));
  if (first.length) transceiver.setCodecPreferences([...first, ...all.filter((codec) => !first.includes(codec))]);
}
