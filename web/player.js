// The page of a recording: loads what it shows from addresses relative to its own (docs/view.md), and lets the other modules do the work.

import { Bars } from "./player-bars.js";
import { Lists } from "./player-lists.js";
import { FilmSource, TracksSource } from "./player-sources.js";
import { STATES, clock, date, harmless, make, parseClock, unrecordedTimes } from "./player-words.js";

const $ = (id) => document.getElementById(id);
const RELOAD = 5_000; // ms between two looks at a recording that goes on
const STEP = 5_000; // ms of a step by an arrow key

const base = new URL(document.documentElement.dataset.base ?? "./", location.href);
let recording = null;
let source = null;
let silences = []; // when nothing was recorded
let begun = false; // somebody has pressed play, or went to a moment
let chosen = null; // what is played: a film's file, or "tracks"
let volume = { volume: 1, muted: false };
try { volume = { ...volume, ...JSON.parse(localStorage.getItem("player-volume") ?? "{}") }; } catch { /* a private window */ }

const bars = new Bars(seek);
const lists = new Lists(base, { seek: jump, choose: (file, on) => source?.choose?.(file, on) });

// ---- Loading

async function fetchRecording() {
  const response = await fetch(new URL("view.json", base), { cache: "no-store" });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `the server answered ${response.status}`);
  return body;
}

async function load() {
  $("failed").hidden = true;
  let loaded;
  try {
    loaded = await fetchRecording();
  } catch (error) {
    $("player").hidden = true;
    $("failed").hidden = false;
    const said = error.message.charAt(0).toUpperCase() + error.message.slice(1);
    $("failed-why").textContent = /[.!?]$/.test(said) ? said : `${said}.`;
    return;
  }
  $("player").hidden = false;
  show(loaded);
  const what = likely();
  choose(what, hashTime() ?? (what === "tracks" ? firstSight() : 0));
  if (recording.state === "recording") setTimeout(reload, RELOAD);
}

/** A recording that goes on is looked at from time to time. */
async function reload() {
  try {
    const before = JSON.stringify(recording);
    const loaded = await fetchRecording();
    if (JSON.stringify(loaded) !== before) show(loaded);
    source?.update(loaded);
  } catch { /* the next time */ }
  if (recording.state === "recording") setTimeout(reload, RELOAD);
}

/** Where tracks are played from at first: where somebody is to be seen; of a recording that goes on, just now. */
function firstSight() {
  if (recording.state === "recording") return Math.max(0, recording.duration_ms - STEP);
  const starts = recording.tracks.filter(({ kind }) => kind === "video").map(({ start_ms }) => start_ms);
  return starts.length ? Math.min(...starts) : 0;
}

/** What is played at first: the newest whole film, else the tracks. */
function likely() {
  const whole = recording.films.filter(({ file }) => !file.includes(".live."));
  if (recording.state === "recording" || !whole.length) return recording.tracks.length || !recording.films.length ? "tracks" : recording.films[0].file;
  return whole.find(({ file }) => /^film\.[a-z0-9]+$/.test(file))?.file ?? whole[0].file;
}

// ---- Display

const length = () => Math.max(recording.duration_ms, chosen === "tracks" ? 0 : source?.length ?? 0, 1);

function show(loaded) {
  recording = loaded;
  silences = unrecordedTimes(recording);
  const room = harmless(recording.room);
  document.title = `${room} · Roombot`;
  $("title").textContent = room;
  $("when").textContent = `${date(recording.started)} · ${clock(recording.duration_ms)}`;
  $("list").hidden = !recording.list;
  if (recording.list) $("list").href = new URL(recording.list, base);
  $("state").textContent = STATES[recording.state] ?? recording.state;
  $("state").dataset.state = recording.state;
  $("end").textContent = clock(recording.duration_ms);
  showReasons();
  // Further films of the recorder service are called by an id.
  const called = (file) => (/^film\.(mp4|webm)$/.test(file) ? "Film" : /^film_[a-z0-9]{26}\./.test(file) ? "Film, later" : file);
  const options = [...recording.films.map(({ file }) => [file, called(file)]), ...(recording.tracks.length ? [["tracks", "Tracks"]] : [])];
  $("source").replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: harmless(text) })));
  $("source").value = chosen ?? "";
  $("source").parentElement.hidden = options.length < 2;
  bars.show(recording, length());
  lists.show(recording, chosen === "tracks");
}

function showReasons() {
  const state = {
    partial: "Something was lost", recovered: "The recording was interrupted and finished later", "cut-short": "The recording was interrupted; the next recording there finishes it",
  }[recording.state];
  const lines = [...(recording.reasons ?? []).map(({ text }) => text), ...recording.warnings.filter((text) => !(recording.reasons ?? []).some((reason) => reason.text === text)),
    ...recording.missing.map((file) => `${file} is listed and not there`)];
  const why = $("why");
  why.hidden = !state && !lines.length;
  const count = lines.length === 1 ? "1 note" : `${lines.length} notes`;
  why.querySelector("summary").textContent = [state, lines.length ? count : null].filter(Boolean).join(" · ");
  why.querySelector("ul").replaceChildren(...lines.slice(0, 200).map((text) => make("li", { textContent: harmless(text), dir: "auto" })));
  why.classList.toggle("bad", recording.state === "partial" || recording.state === "cut-short");
}

/** Plays a film or the tracks from a time on. */
function choose(what, at, playing = false) {
  source?.destroy();
  chosen = what;
  $("trouble").hidden = true;
  const on = {
    changed: render,
    blocked: () => trouble("The browser plays nothing before a click: press Play."),
    failed: trouble,
  };
  const isTracks = what === "tracks";
  $("stage").hidden = !isTracks;
  if (isTracks) {
    source = new TracksSource(base, recording, { stage: $("stage"), screens: $("screens"), faces: $("faces") }, on);
    for (const file of lists.off) source.choose(file, false);
  } else {
    source = new FilmSource(base, what, recording.poster, on);
    source.element.addEventListener("click", toggle);
    source.element.addEventListener("loadedmetadata", () => bars.show(recording, length()));
    $("picture").prepend(source.element);
  }
  $("source").value = what;
  lists.show(recording, isTracks);
  bars.show(recording, length());
  source.setRate(Number($("speed").value));
  source.setVolume(volume.volume, volume.muted);
  if (at) source.seek(at);
  if (playing) source.play();
  render();
}

function trouble(text) {
  $("trouble").hidden = !text;
  $("trouble").textContent = text ?? "";
}

function toast(text) {
  const line = make("p", { class: "toast", textContent: text });
  $("toasts").replaceChildren(line);
  setTimeout(() => line.remove(), 4_000);
}

const use = (button, name) => button.querySelector("use").setAttribute("href", `#i-${name}`);
let told = "";

function render() {
  if (!source || !recording) return;
  const { playing } = source;
  const at = source.time;
  if (playing) trouble(null);
  $("player").classList.toggle("is-playing", playing);
  begun ||= playing;
  $("start").hidden = begun;
  const silence = silences.find(({ start_ms, end_ms }) => start_ms <= at && at < (end_ms ?? Infinity));
  const note = source.waiting ? "Loading…" : silence?.why ?? "";
  if ($("wait").textContent !== note) $("wait").textContent = note;
  $("wait").hidden = !note;
  const word = playing ? "Pause" : "Play";
  if ($("play").getAttribute("aria-label") !== word) {
    $("play").setAttribute("aria-label", word);
    $("play").title = `${word} (space)`;
    use($("play"), playing ? "pause" : "play");
  }
  use($("mute"), volume.muted || !volume.volume ? "silent" : "sound");
  $("mute").setAttribute("aria-pressed", String(volume.muted));
  $("volume").value = String(Math.round(100 * (volume.muted ? 0 : volume.volume)));
  $("volume").style.setProperty("--part", `${$("volume").value}%`);
  $("end").textContent = clock(length());
  const now = clock(at);
  if (now !== told) $("now").textContent = told = now;
  bars.at(at);
  lists.at(at);
}

let last = -1;
function frame() {
  if (source && source.time !== last) {
    last = source.time;
    render();
  }
  requestAnimationFrame(frame);
}

// ---- Controls

function seek(ms) {
  if (!source) return;
  begun = true;
  source.seek(Math.max(0, Math.min(length(), ms)));
  render();
}

/** A jump to a moment, which the address then names. */
function jump(ms) {
  seek(ms);
  history.replaceState(null, "", `#t=${clock(ms)}`);
}

function toggle() {
  if (source.playing) source.pause();
  else source.play();
  render();
}

function setVolume(change) {
  volume = { ...volume, ...change };
  source?.setVolume(volume.volume, volume.muted);
  try { localStorage.setItem("player-volume", JSON.stringify(volume)); } catch { /* a private window */ }
  render();
}

function setSpeed(step) {
  const speed = $("speed");
  speed.selectedIndex = Math.max(0, Math.min(speed.length - 1, speed.selectedIndex + step));
  source?.setRate(Number(speed.value));
}

const full = () => (document.fullscreenElement ? document.exitFullscreen() : $("screening").requestFullscreen?.().catch(() => {}));
const hashTime = () => parseClock(new URLSearchParams(location.hash.slice(1)).get("t") ?? "");

$("play").addEventListener("click", toggle);
$("start").addEventListener("click", toggle);
$("stage").addEventListener("click", toggle);
$("mute").addEventListener("click", () => setVolume({ muted: !volume.muted }));
$("volume").addEventListener("input", () => setVolume({ volume: Number($("volume").value) / 100, muted: false }));
$("speed").addEventListener("change", () => setSpeed(0));
$("source").addEventListener("change", () => choose($("source").value, source?.time ?? 0, source?.playing));
$("full").addEventListener("click", full);
$("again").addEventListener("click", load);
$("share").addEventListener("click", async () => {
  history.replaceState(null, "", `#t=${clock(source.time)}`);
  try {
    await navigator.clipboard.writeText(location.href);
    toast(`The link to ${clock(source.time)} is copied`);
  } catch {
    toast("The address of this page now leads to this moment");
  }
});
addEventListener("hashchange", () => {
  const at = hashTime();
  if (at !== null) seek(at);
});
addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (!source || event.ctrlKey || event.metaKey || event.altKey) return;
  const is = (selector) => target.closest?.(selector);
  if (is("select, textarea, input:not([type=range]):not([type=checkbox])")) return;
  if (is("#volume, [role=tablist]") && key.startsWith("Arrow")) return;
  if (key === " " && is("button, a, summary, input[type=checkbox]")) return;
  const actions = {
    " ": toggle, k: toggle, f: full, m: () => setVolume({ muted: !volume.muted }),
    ArrowLeft: () => seek(source.time - STEP), ArrowRight: () => seek(source.time + STEP),
    j: () => seek(source.time - 2 * STEP), l: () => seek(source.time + 2 * STEP),
    ArrowUp: () => setVolume({ volume: Math.min(1, volume.volume + 0.1), muted: false }), ArrowDown: () => setVolume({ volume: Math.max(0, volume.volume - 0.1) }),
    Home: () => seek(0), End: () => seek(length()), "<": () => setSpeed(-1), ">": () => setSpeed(1),
  };
  // A list that has the focus is scrolled by these.
  if (is("[role=tabpanel]") && /^(ArrowUp|ArrowDown|Home|End)$/.test(key)) return;
  const action = actions[key.length === 1 ? key.toLowerCase() : key];
  if (!action) return;
  event.preventDefault();
  action();
});

/** For tests and scripts: the state and the controls. */
window.roombot = {
  get state() {
    return {
      recording: recording?.state ?? null, source: chosen, time: source?.time ?? null, length: recording ? length() : null,
      playing: source?.playing ?? false, waiting: source?.waiting ?? false, rate: Number($("speed").value), ...volume,
      tracks: [...(source?.players?.values() ?? [])].filter(({ element }) => element).map((player) => ({
        file: player.track.file, session: player.session, at: player.element.currentTime, ready: player.element.readyState,
        seeking: player.element.seeking, paused: player.element.paused, ended: player.element.ended, error: player.element.error?.message ?? null,
      })),
    };
  },
  /** The element of a track, by its file. */
  element: (file) => source?.players?.get(file)?.element ?? source?.element ?? null,
  play: () => source.play(),
  pause: () => source.pause(),
  seek: jump,
  choose: (what) => choose(what, source?.time ?? 0),
};

requestAnimationFrame(frame);
load();
