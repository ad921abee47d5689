// A member of a room, written from docs/protocol.md and docs/files.md with libdatachannel: no line of roombot's own code was read for it.
//
// Usage: member.js '{"room": URL, "name": NAME, "share": {"camera": "VP8", "mic": "opus"}, "files": FOLDER, "frames": FOLDER}'
// It does what it is told by lines of JSON on its input, and tells what happens by lines of JSON on its output.

import { join } from "node:path";
import readline from "node:readline";
import datachannel from "node-datachannel";
import WebSocket from "ws";
import * as files from "./files.js";
import { Player, Stream } from "./frames.js";

const how = JSON.parse(process.argv[2]);
const tell = (event, more = {}) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);
const kindOf = (source) => (source === "camera" || source === "screen" ? "video" : "audio");
const streamOf = (source) => `${how.name}-${source.startsWith("screen") ? "screen" : "face"}`;
const PAYLOAD_TYPES = { VP8: 120, H264: 122, opus: 110 };

/** What is shared, each with what plays it. */
const shared = new Map();

function share(source, codec) {
  const dump = `${codec.toLowerCase()}${source === "screen" ? ".small" : ""}.frames`;
  shared.set(source, { codec, player: new Player(join(how.frames, dump), codec, codec === "opus" ? 48_000 : 90_000) });
}

/** The media sections of a description. */
function sections(sdp) {
  return sdp
    .split(/\r?\nm=/)
    .slice(1)
    .map((text) => {
      const lines = text.split(/\r?\n/);
      const value = (name) => lines.find((line) => line.startsWith(`a=${name}:`))?.slice(name.length + 3);
      return {
        kind: lines[0].split(" ")[0],
        mid: value("mid"),
        stream: value("msid")?.split(" ")[0],
        takes: !lines.includes("a=sendonly") && !lines.includes("a=inactive") && lines[0].split(" ")[1] !== "0",
        payloadType(codec) {
          const line = lines.find((one) => one.startsWith("a=rtpmap:") && one.includes(` ${codec}/`));
          return line && Number(line.slice(9).split(" ")[0]);
        },
      };
    });
}

/** Another member, and the connection to it. */
class Peer {
  chat = null;
  #begun = false; // the first offer was made, by them or by me
  #needed = false; // something of mine is in no description yet
  #sent = new Map(); // source -> {track, stream, player}
  #taken = new Set(); // sections with a track of mine
  #count = 0;
  counts = new Map();

  constructor(peer) {
    Object.assign(this, { id: peer.id, name: peer.name, role: peer.role });
    this.label(peer.tracks);
    // Of two offers that meet, mine goes if my id is the larger one.
    this.polite = Buffer.compare(Buffer.from(room.id), Buffer.from(this.id)) > 0;
    // Without `forceMediaTransport` nothing could be added to a connection that began with channels only.
    const config = { iceServers: [], disableAutoNegotiation: true, forceMediaTransport: true };
    this.pc = new datachannel.PeerConnection(this.name, config);
    this.pc.onLocalDescription((sdp, type) => this.#signal({ description: { type, sdp } }));
    this.pc.onLocalCandidate((candidate, mid) => this.#signal({ candidate: { candidate: candidate.replace(/^a=/, ""), sdpMid: mid } }));
    this.pc.onStateChange((state) => {
      tell("state", { of: this.name, state });
      this.offerAgain();
    });
    this.pc.onSignalingStateChange(() => this.offerAgain());
    this.pc.onTrack((track) => this.#watch(track));
    this.pc.onDataChannel((channel) => (channel.getProtocol() === files.PROTOCOL ? this.#take(channel) : this.#hear(channel)));
  }

  label(tracks) {
    this.labels = new Map(tracks.map((track) => [`${track.stream} ${track.kind}`, track.source]));
  }

  close() {
    for (const { stream, player } of this.#sent.values()) player.remove(stream);
    this.pc.close();
  }

  #signal(what) {
    say({ type: "signal", to: this.id, ...what });
  }

  // ---- Negotiation

  /** The first offer. */
  call() {
    this.#begun = true;
    this.#hear(this.pc.createDataChannel("chat"));
    this.#putTracks([]);
    this.#needed = false;
    this.pc.setLocalDescription("offer");
  }

  onDescription({ type, sdp }) {
    if (type === "offer") {
      if (this.pc.signalingState() === "have-local-offer") {
        if (!this.polite) return;
        this.pc.setLocalDescription("rollback");
        this.#needed = true;
      }
      // An answer carries what their sections have room for.
      this.#begun = true;
      this.#putTracks(sections(sdp));
      this.pc.setRemoteDescription(sdp, "offer");
      this.pc.setLocalDescription("answer");
      this.#putTracks([]);
    } else if (this.pc.signalingState() === "have-local-offer") {
      this.pc.setRemoteDescription(sdp, "answer");
    }
    this.offerAgain();
  }

  onCandidate(candidate) {
    if (candidate?.candidate) this.pc.addRemoteCandidate(candidate.candidate, candidate.sdpMid ?? "");
  }

  changed() {
    if (!this.#begun) return;
    this.#putTracks([]);
    this.offerAgain();
  }

  /** If something of mine is in no description yet, and the connection stands. */
  offerAgain() {
    if (!this.#needed || this.pc.state() !== "connected" || this.pc.signalingState() !== "stable") return;
    this.#needed = false;
    tell("offer", { to: this.name });
    this.pc.setLocalDescription("offer");
  }

  /** What is shared and what is sent become the same. `offered`: sections of an offer that is about to be answered. */
  #putTracks(offered) {
    for (const [source, { track, stream, player }] of this.#sent) {
      if (shared.has(source)) continue;
      player.remove(stream);
      track.close();
      this.#sent.delete(source);
      this.#needed = true;
    }
    for (const [source, { codec, player }] of shared) {
      if (this.#sent.has(source)) continue;
      const fits = (one) => one.kind === kindOf(source) && one.takes && !this.#taken.has(one.mid) && one.payloadType(codec);
      const section = offered.find(fits);
      if (!section && offered.length) continue;
      this.#put(source, codec, player, section);
    }
  }

  #put(source, codec, player, section) {
    this.#count += 1;
    const mid = section?.mid ?? `${source}-${this.#count}`;
    const payloadType = section?.payloadType(codec) ?? PAYLOAD_TYPES[codec];
    const ssrc = Math.floor(Math.random() * 0xffffffff);
    const video = kindOf(source) === "video";
    const media = new (video ? datachannel.Video : datachannel.Audio)(mid, how.oneWay ? "SendOnly" : "SendRecv");
    if (codec === "opus") media.addOpusCodec(payloadType);
    if (codec === "VP8") media.addVP8Codec(payloadType);
    if (codec === "H264") media.addH264Codec(payloadType, "profile-level-id=64000b;packetization-mode=1;level-asymmetry-allowed=1");
    media.addSSRC(ssrc, how.name, streamOf(source), `${streamOf(source)}-${source}`);
    const track = this.pc.addTrack(media);
    const config = new datachannel.RtpPacketizationConfig(ssrc, how.name, payloadType, video ? 90_000 : 48_000);
    const handler = new datachannel.RtcpSrReporter(config);
    handler.addToChain(new datachannel.RtcpNackResponder());
    track.setMediaHandler(handler);
    this.#count_frames(track);
    const stream = new Stream(track, ssrc, payloadType, config, video);
    player.add(stream);
    this.#sent.set(source, { track, stream, player });
    this.#taken.add(mid);
    this.#needed ||= !section;
  }

  // ---- What comes

  #watch(track) {
    this.#taken.add(track.mid());
    track.setMediaHandler(new datachannel.RtcpReceivingSession());
    this.#count_frames(track);
  }

  /** Counts pictures by their last packets, and packets of sound, under the label of stream and kind. */
  #count_frames(track) {
    const kind = track.type();
    const mid = track.mid();
    track.onMessage((packet) => {
      const rtcp = packet[1] >= 192 && packet[1] <= 223;
      if (rtcp || (kind === "video" && packet[1] < 128)) return;
      const section = sections(this.pc.remoteDescription()?.sdp ?? "").find((one) => one.mid === mid);
      const source = this.labels.get(`${section?.stream} ${kind}`) ?? "unlabelled";
      this.counts.set(source, (this.counts.get(source) ?? 0) + 1);
    });
  }

  #hear(channel) {
    if (channel.getLabel() === "chat") {
      this.chat = channel;
      const open = () => tell("chat-open", { of: this.name });
      if (channel.isOpen()) open();
      else channel.onOpen(open);
    }
    channel.onMessage((text) => tell("chat", { of: this.name, text: String(text) }));
  }

  async #take(channel) {
    try {
      tell("file", { of: this.name, ...(await files.receive(channel, how.files)) });
    } catch (reason) {
      tell("file-failed", { of: this.name, why: reason.message });
    }
  }

  async send(path) {
    try {
      const sha256 = await files.send(this.pc.createDataChannel("file", { protocol: files.PROTOCOL }), path);
      tell("sent", { to: this.name, path, sha256 });
    } catch (reason) {
      tell("not-sent", { to: this.name, path, why: reason.message });
    }
  }
}

// ---- The room's server, and who is there

const room = { id: null, peers: new Map() };
const socket = new WebSocket(how.room);
const say = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
const sayTracks = () =>
  say({ type: "tracks", tracks: [...shared.keys()].map((source) => ({ stream: streamOf(source), kind: kindOf(source), source, muted: false })) });

function meet(info, calls) {
  const peer = new Peer(info);
  room.peers.set(peer.id, peer);
  tell("peer", { id: peer.id, name: peer.name, role: peer.role });
  if (calls) peer.call();
}

const heard = {
  welcome(message) {
    room.id = message.id;
    tell("joined", { id: room.id, name: message.name });
    sayTracks();
    // Who was there before calls the newcomer, but for a recorder.
    for (const peer of message.peers) meet(peer, peer.role === "recorder");
  },
  ping: () => say({ type: "pong" }),
  "peer-joined": ({ peer }) => meet(peer, true),
  "peer-left"({ id, reason }) {
    const peer = room.peers.get(id);
    if (!peer) return;
    tell("peer-left", { name: peer.name, why: reason });
    room.peers.delete(id);
    peer.close();
  },
  tracks({ from, tracks }) {
    const peer = room.peers.get(from);
    peer?.label(tracks);
    if (peer) tell("labels", { of: peer.name, sources: tracks.map((track) => track.source) });
  },
  signal({ from, description, candidate }) {
    if (description) room.peers.get(from)?.onDescription(description);
    else room.peers.get(from)?.onCandidate(candidate);
  },
  error: ({ code, message }) => tell("error", { code, message }),
};

for (const [source, codec] of Object.entries(how.share)) share(source, codec);
socket.on("open", () => say({ type: "join", protocol: 1, name: how.name, role: "participant" }));
socket.on("message", (text) => {
  const message = JSON.parse(text);
  heard[message.type]?.(message);
});
socket.on("close", () => {
  tell("left");
  for (const peer of room.peers.values()) peer.close();
  datachannel.cleanup();
  process.exit(0);
});

setInterval(() => {
  for (const peer of room.peers.values()) {
    for (const [source, frames] of peer.counts) tell("frames", { of: peer.name, source, frames });
  }
}, 250);

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  const peers = [...room.peers.values()].filter((peer) => !order.to || order.to === peer.name);
  if (order.do === "share") share(order.source, order.codec);
  if (order.do === "unshare") {
    shared.get(order.source).player.stop();
    shared.delete(order.source);
  }
  if (order.do === "share" || order.do === "unshare") {
    sayTracks();
    for (const peer of peers) peer.changed();
  }
  if (order.do === "say") for (const peer of peers) peer.chat.sendMessage(order.text);
  if (order.do === "send") for (const peer of peers) peer.send(order.path);
  if (order.do === "leave") say({ type: "leave" });
});
