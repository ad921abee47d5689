// Words and values of the player's pages: times, sizes, names, events as sentences, elements. Pure but for the elements that it makes.

/** An element with properties and children; texts stay texts. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A name or text of a participant, without characters that change the text direction or are invisible. */
export const harmless = (text) => String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => (c === "\n" || c === "\u200d" ? c : "\u{fffd}"));

/** A text of a participant with its own direction. */
export const own = (text) => make("bdi", { textContent: harmless(text) });

/** 750000 -> "12:30". */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** "12:30", "1:02:30" or "90" (seconds) in milliseconds; null where it is no time. */
export function parseClock(text) {
  if (!/^\d{1,6}(:\d{1,2}){0,2}(\.\d{1,3})?$/.test(text)) return null;
  return text.split(":").reduce((sum, part) => sum * 60 + Number(part), 0) * 1000;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];
export function size(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(power && value < 10 ? 1 : 0)} ${UNITS[power]}`;
}

export const date = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** The address of a file of the recording. */
export const fileUrl = (path) => `media/${path.split("/").map(encodeURIComponent).join("/")}`;

/** What is true at a time: the interval that holds it, of a sorted list of intervals that do not overlap. */
export function holding(intervals, at) {
  let [low, high] = [0, intervals.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (intervals[middle].start_ms <= at) low = middle + 1;
    else high = middle;
  }
  const last = intervals[low - 1];
  return last && at < (last.end_ms ?? Infinity) ? last : null;
}

/** The index of the last of a sorted list that began at or before a time; -1: none. */
export function lastBefore(list, at, timeOf) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(list[middle]) <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** When nothing was recorded: [{start_ms, end_ms, why}], of pauses and of times without a recorder. */
export function unrecordedTimes({ pauses, parts }) {
  const away = (parts ?? []).slice(1).map((part, index) => ({ start_ms: parts[index].end_ms ?? part.start_ms, end_ms: part.start_ms, why: "There was no recorder here" }));
  return [...away, ...(pauses ?? []).map((pause) => ({ ...pause, why: "The recording was paused here" }))].filter(({ start_ms, end_ms }) => end_ms === null || end_ms > start_ms);
}

export const SOURCES = { camera: "Camera", mic: "Microphone", screen: "Screen", "screen-audio": "Sound of the screen" };
export const STATES = {
  recording: "Being recorded", "cut-short": "Interrupted", complete: "Complete", partial: "Partial", recovered: "Recovered",
};

/** An event of the timeline as a sentence: {text, minor}; minor ones are shown on demand. */
export function sentence(event, nameOf, trackOf) {
  const who = event.participant ? nameOf(event.participant) : "";
  const source = (SOURCES[event.source] ?? event.source ?? "").toLowerCase();
  const ofTrack = () => {
    const track = trackOf(event.file);
    return track ? `${nameOf(track.participant)}: ${(SOURCES[track.source] ?? "track").toLowerCase()}` : event.file;
  };
  const isScreen = event.source === "screen";
  switch (event.event) {
    case "recording-started": return { text: "The recording began" };
    case "recording-ended": return { text: `The recording ended: ${event.reason}` };
    // Of joins and screens the chapters tell.
    case "joined": return { text: `${who} joined`, minor: true };
    case "left": return { text: event.reason === "left" ? `${who} left` : `${who} left: ${event.reason}` };
    case "track-on": return isScreen ? { text: `${who} shared a screen`, minor: true } : { text: `${who}: ${source} began`, minor: true };
    case "track-off": return isScreen ? { text: `${who} stopped sharing`, minor: true } : { text: `${who}: ${source} ended`, minor: true };
    case "mute": return { text: `${who}: ${source} off`, minor: true };
    case "unmute": return { text: `${who}: ${source} on`, minor: true };
    case "gap": return { text: `${ofTrack()}: ${((event.end_ms - event.start_ms) / 1000).toFixed(1)} s missing (${event.cause})`, minor: true, bad: true };
    case "ice-state": return { text: `${who}: connection ${event.state}`, minor: true, bad: true };
    case "reconnecting": return { text: `Connection to the room lost: ${event.cause}`, bad: true };
    case "resumed": return { text: "Connection to the room is back" };
    case "recorder-away": return { text: `The recorder was gone: ${event.reason}`, bad: true };
    case "recorder-back": return { text: `The recorder was back after ${(event.away_ms / 1000).toFixed(1)} s` };
    case "recording-paused": return { text: "The recording was paused" };
    case "recording-resumed": return { text: "The recording went on" };
    case "warning": return { text: event.message, bad: true };
    case "unrecorded": return { text: `${who}: ${source || "a stream"} was not recorded: ${event.reason}`, bad: true };
    case "film-short": return { text: `The film lacks ${event.pictures} frames`, minor: true, bad: true };
    case "recovered": return { text: `${ofTrack()} was finished after an interruption`, minor: true };
    case "file": {
      const name = event.name;
      if (event.status === "received") return { text: `${who} sent ${name}` };
      if (event.status === "started") return { text: `${who} began to send ${name}`, minor: true };
      return { text: `${who}: ${name} was ${event.status === "refused" ? "refused" : "not complete"}${event.reason ? `: ${event.reason}` : ""}`, bad: true };
    }
    // Of a newer version.
    default: return { text: `${event.event.replaceAll("-", " ")}${who ? `: ${who}` : ""}`, minor: true };
  }
}
