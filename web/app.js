// The page: lobby, call, end. Holds the participants and our media, and lets the other modules do the work.

import { Media, loudness } from "./media.js";
import { Peer } from "./peer.js";
import { Panel } from "./panel.js";
import { RoomSocket } from "./signal.js";
import { summarise } from "./stats.js";
import { Talk } from "./talk.js";
import { View, banner, hue, initials, toast, toggle } from "./view.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const number = (key, otherwise) => Math.max(1, Number(query.get(key)) || otherwise);
const room = location.pathname.split("/").pop();
const codec = ["vp8", "vp9", "h264", "av1"].find((one) => one === query.get("codec")?.toLowerCase()) ?? null;
const SPEAKING_LEVEL = 0.02; // RMS of full scale; speech close to a microphone is louder
const DEVICE_TIMEOUT = 5_000; // ms that an automatic join waits for a permission

let phase = "lobby"; // lobby -> joining -> joined <-> reconnecting -> over
let problem = null; // a problem with a device, for the user
let refusal = null; // why the room refused us
let me = { id: null, name: "" };
let iceServers = [];
let socket = null;
let hearMe = null;
const people = new Map(); // id -> {id, name, role, labels, peer}

const wish = { width: number("width", 1280), height: number("height", 720), fps: number("fps", 30), raw: query.get("raw") === "1" };
const media = new Media(wish, ourTrackChanged);
const view = new View(() => banner("The browser plays no sound before a click.", "Turn the sound on", () => {
  view.play();
  banner(null);
}));

const listeners = () => [...people.values()];
const talk = new Talk(listeners, render);
const panel = new Panel(talk, listeners, toast);

// ---- Participants

function meet({ id, name, role, tracks }) {
  people.get(id)?.peer?.close();
  const send = (body) => socket.send({ type: "signal", to: id, ...body });
  const on = {
    changed: render,
    connected: () => talk.connected(person),
    text: (text) => talk.heard(person, text),
    channel: (channel) => talk.offered(person, channel),
  };
  const peer = new Peer({ id, polite: me.id > id, iceServers, codec, send, on });
  const person = { id, name, role, labels: tracks ?? [], peer };
  for (const [source, track] of media.tracks) peer.set(source, track, media.streamOf(source));
  people.set(id, person);
  return peer;
}

function part(id) {
  const person = people.get(id);
  person?.peer.close();
  people.delete(id);
  talk.left(id);
  return person;
}

function welcome(message) {
  const again = phase === "reconnecting";
  me = { id: message.id, name: message.name };
  iceServers = message.ice_servers;
  phase = "joined";
  if (again) banner(null);
  else if (problem) toast(problem, true);
  const here = new Set(message.peers.map((peer) => peer.id));
  for (const id of [...people.keys()]) if (!message.resumed || !here.has(id)) part(id);
  if (!message.resumed) sendLabels();
  for (const peer of message.peers) {
    const known = people.get(peer.id);
    if (known) known.labels = peer.tracks;
    // We make the first offer to participants who joined while we were disconnected, and always to a recorder.
    else if (message.resumed || peer.role === "recorder") meet(peer).begin();
    else meet(peer);
  }
  show();
}

function heard(message) {
  switch (message.type) {
    case "peer-joined":
      meet(message.peer).begin();
      toast(message.peer.role === "recorder" ? `${message.peer.name} records this room` : `${message.peer.name} joined`);
      break;
    case "peer-left": {
      const person = part(message.id);
      if (person) toast(person.role === "recorder" ? "The recording has ended" : `${person.name} left`);
      break;
    }
    case "signal": people.get(message.from)?.peer.hear(message); break;
    case "tracks": {
      const person = people.get(message.from);
      if (person) person.labels = message.tracks;
      break;
    }
    case "error": console.warn(`room: ${message.message}`); break;
  }
  render();
}

function lost() {
  phase = "reconnecting";
  banner("The connection to the room was lost. Reconnecting… Video and audio continue.");
  render();
}

function closed(code, words) {
  const message = words.charAt(0).toUpperCase() + words.slice(1);
  refusal = message;
  const wasIn = phase !== "joining";
  hangUp();
  if (wasIn) return over(code === "closed" ? "The room was closed" : "You are no longer in the room", message);
  phase = "lobby";
  $("token-field").hidden = code !== "token" && !$("token").value;
  show();
  if (code === "token") $("token").focus();
}

// ---- Our media

function ourTrackChanged(source) {
  const track = media.tracks.get(source);
  for (const { peer } of people.values()) {
    const done = track || !source.startsWith("screen") ? peer.set(source, track ?? null, media.streamOf(source)) : peer.remove(source);
    done?.catch((error) => console.warn(`${source} to ${peer.id}:`, error));
  }
  if (source === "mic") listenToOurselves();
  sendLabels();
  render();
}

function sendLabels() {
  if (phase === "joined" || phase === "reconnecting") socket.send({ type: "tracks", tracks: media.labels() });
}

function listenToOurselves() {
  hearMe?.close();
  const track = media.tracks.get("mic");
  hearMe = track ? loudness(track) : null;
}

const told = (sentence) => {
  if (sentence) {
    problem = sentence;
    if (phase === "lobby") render();
    else toast(sentence, true);
  }
  return !sentence;
};

const actions = {
  mute: async (muted) => told(await media.setMic(!muted)),
  camera: async (on) => told(await media.setCamera(on)),
  share: async (on) => (on ? told(await media.share()) : (media.unshare(), true)),
  leave: () => {
    if (phase === "over" || phase === "lobby") return;
    socket.leave();
    hangUp();
    over("You left the room", "");
  },
};

function hangUp() {
  talk.end();
  for (const id of [...people.keys()]) part(id);
  view.clear();
  banner(null);
}

function join() {
  me.name = $("name").value.trim();
  if (!me.name || phase === "joining" || phase === "joined") return;
  try { localStorage.setItem("name", me.name); } catch { /* a private window */ }
  refusal = null;
  phase = "joining";
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname}`;
  socket = new RoomSocket(url, { name: me.name, token: $("token").value }, { welcome, event: heard, lost, closed });
  show();
}

function over(title, why) {
  phase = "over";
  media.close();
  $("over-title").textContent = title;
  $("over-why").textContent = why;
  show();
  $("over-title").focus();
}

// ---- Display

let drawing = false;
/** Renders once for all changes of this event loop turn. */
function render() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    const mic = { icons: ["mic", "mic-off"], words: ["Mute", "Unmute"] };
    const camera = { icons: ["camera", "camera-off"], words: ["Stop video", "Start video"] };
    const share = { icons: ["share", "share"], words: ["Stop sharing", "Share"] };
    const [micOn, cameraOn, sharing] = [!media.muted.mic, !media.muted.camera, Boolean(media.screen)];
    for (const id of ["mic", "lobby-mic"]) toggle($(id), micOn, { ...mic, says: micOn ? "Mute the microphone" : "Unmute the microphone" });
    for (const id of ["camera", "lobby-camera"]) toggle($(id), cameraOn, { ...camera, says: cameraOn ? "Switch the camera off" : "Switch the camera on" });
    toggle($("share"), sharing, { ...share, says: sharing ? "Stop sharing your screen" : "Share your screen" });
    $("lobby-problem").hidden = !(refusal ?? problem);
    $("lobby-problem").textContent = refusal ?? problem ?? "";
    if (phase === "lobby" || phase === "joining") return drawLobby(cameraOn);
    if (phase === "over") return;
    view.render({ me: { ...me, media }, people: listeners() });
    panel.render();
  });
}

function drawLobby(cameraOn) {
  const preview = $("preview");
  const stream = cameraOn ? media.face : null; // an empty stream would keep the page "loading" forever
  if (preview.srcObject !== stream) preview.srcObject = stream;
  preview.closest(".mirror").classList.toggle("has-video", cameraOn);
  $("meter").hidden = media.muted.mic;
  const name = $("name").value.trim();
  $("preview-card").firstElementChild.textContent = initials(name || "?");
  $("preview-card").style.setProperty("--hue", hue(name));
}

function show() {
  document.body.dataset.phase = phase;
  $("lobby").hidden = phase !== "lobby" && phase !== "joining";
  $("call").hidden = phase !== "joined" && phase !== "reconnecting";
  $("over").hidden = phase !== "over";
  $("join").disabled = phase === "joining";
  $("join").textContent = phase === "joining" ? "Joining…" : "Join the room";
  render();
}

setInterval(() => {
  const own = media.muted.mic ? 0 : hearMe?.() ?? 0;
  if (phase === "lobby") return $("meter").style.setProperty("--level", Math.min(1, own * 6).toFixed(2));
  if (phase !== "joined" && phase !== "reconnecting") return;
  view.speaking("me", own > SPEAKING_LEVEL);
  for (const { id, peer, labels } of people.values()) {
    const muted = labels.some((label) => label.source === "mic" && label.muted);
    // Audio of a shared screen is not the voice of the participant.
    const films = labels.filter((label) => label.source === "screen-audio").map((label) => peer.streams.get(label.stream));
    const isVoice = ({ track }) => track.kind === "audio" && !films.some((film) => film?.getTracks().includes(track));
    const sound = peer.pc.getReceivers().filter(isVoice);
    const levels = sound.flatMap((receiver) => receiver.getSynchronizationSources().map((source) => source.audioLevel ?? 0));
    view.speaking(id, !muted && Math.max(0, ...levels) > SPEAKING_LEVEL);
  }
}, 200);

// ---- Start

$("lobby-room").textContent = $("room-name").textContent = room;
document.title = `${room} · Roombot`;
$("join-form").addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
$("name").addEventListener("input", render);
for (const id of ["mic", "lobby-mic"]) $(id).addEventListener("click", () => actions.mute(!media.muted.mic));
for (const id of ["camera", "lobby-camera"]) $(id).addEventListener("click", () => actions.camera(media.muted.camera));
$("share").addEventListener("click", () => actions.share(!media.screen));
$("leave").addEventListener("click", actions.leave);
$("again").addEventListener("click", () => location.reload());
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, textarea, select")) return;
  const key = { m: "mic", v: "camera", s: "share", c: "chat" }[event.key.toLowerCase()];
  if (!key || $("call").hidden) return;
  event.preventDefault(); // otherwise the key is typed into the chat that it opens
  $(key).click();
});
addEventListener("pagehide", () => socket?.leave());
addEventListener("pageshow", (event) => event.persisted && location.reload());

const progress = ({ state, bytes, reason }) => ({ state, bytes, reason });

/** For tests and scripts: the state and the controls. */
window.roombot = {
  get state() {
    return {
      phase, problem, refusal, room, me,
      media: { mic: !media.muted.mic, camera: !media.muted.camera, screen: Boolean(media.screen), labels: media.labels() },
      peers: [...people.values()].map(({ id, name, role, labels, peer }) => ({
        id, name, role, labels,
        connection: peer.pc.connectionState, ice: peer.pc.iceConnectionState, signaling: peer.pc.signalingState, chat: peer.channel?.readyState ?? null,
        tracks: [...peer.streams.values()].flatMap((stream) => stream.getTracks().map(({ kind, muted, readyState }) => {
          const source = labels.find((label) => label.stream === stream.id && label.kind === kind)?.source ?? null;
          return { stream: stream.id, kind, source, muted, readyState };
        })),
      })),
    };
  },
  ...actions,
  join,
  say: (text, to) => talk.say(text, to),
  send: (files, to) => talk.send(files, to),
  take: (key) => talk.take(key),
  cancel: (key) => talk.cancel(key),
  /** The conversation: messages, and files with their progress. */
  get talk() {
    return talk.lines.map(({ key, kind, mine, name, via, to, text, size, outgoing, incoming }) => ({
      key, kind, mine, name: name ?? null, via: via ?? null, to: to ?? null, text, size: size ?? null,
      outgoing: outgoing?.map((one) => ({ name: one.name, ...progress(one.transfer) })) ?? null,
      incoming: incoming ? progress(incoming) : null,
    }));
  },
  /** A received file, as a Blob. */
  blob: (key) => talk.lines.find((line) => line.key === key)?.incoming?.blob ?? null,
  /**
   * @param of a name; without one, everybody
   * @returns {[id]: {name, connection, rtt, outbound, inbound}}
   */
  async stats(of) {
    const labelOf = (labels) => (stream, kind) => labels.find((label) => label.stream === stream && label.kind === kind);
    const asked = [...people.values()].filter(({ name }) => of === undefined || name === of);
    const all = asked.map(async ({ id, name, labels, peer }) => [id, { name, ...await summarise(peer, labelOf(labels)) }]);
    return Object.fromEntries(await Promise.all(all));
  },
};

async function start() {
  let remembered = "";
  try { remembered = localStorage.getItem("name") ?? ""; } catch { /* a private window */ }
  const auto = query.get("auto") === "1";
  $("name").value = (query.get("name") ?? remembered).slice(0, 64) || (auto ? "Guest" : "");
  $("token").value = query.get("token") ?? "";
  show();
  if (!$("name").value) $("name").focus();
  const open = media.open({ mic: query.get("mic") !== "0", camera: query.get("camera") !== "0" });
  const opened = open.then((problems) => told(problems.join(" ")));
  if (!auto) return opened;
  // Nobody may answer the permission prompt: join without devices, and add them when they are granted.
  await Promise.race([opened, new Promise((resolve) => setTimeout(resolve, DEVICE_TIMEOUT))]);
  join();
  if (query.get("screen") === "1") actions.share(true);
}
start();
