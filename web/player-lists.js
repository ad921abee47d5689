// What lies beside the player: chat, timeline, slides, people, files. Each line leads to its time; what is played now is marked.

import { SOURCES, clock, fileUrl, harmless, lastBefore, make, own, sentence, size } from "./player-words.js";
import { hue, icon, initials } from "./view.js";

const $ = (id) => document.getElementById(id);
const PANELS = ["chat", "timeline", "slides", "people", "files"];
const linked = /https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}']/gu;

/** A text of a participant with its URLs as links. */
function withLinks(text) {
  const parts = [];
  let at = 0;
  for (const { 0: address, index } of text.matchAll(linked)) {
    parts.push(text.slice(at, index), make("a", { textContent: address, href: address, target: "_blank", rel: "noopener noreferrer" }));
    at = index + address.length;
  }
  return [...parts, text.slice(at)];
}

export class Lists {
  #base; #seek; #choose;
  #recording = null;
  #marked = new Map(); // panel -> {times, lines, index}
  #all = false; // also minor events
  #off = new Set(); // tracks that are switched off
  #named = new Map();

  /** @param on {seek(ms), choose(file, on)} */
  constructor(base, { seek, choose }) {
    [this.#base, this.#seek, this.#choose] = [base, seek, choose];
    for (const name of PANELS) $(`tab-${name}`).addEventListener("click", () => this.open(name));
    $("tabs").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      const shown = PANELS.filter((name) => !$(`tab-${name}`).hidden);
      const now = shown.findIndex((name) => $(`tab-${name}`).getAttribute("aria-selected") === "true");
      const next = shown[(now + step + shown.length) % shown.length];
      this.open(next);
      $(`tab-${next}`).focus();
      event.preventDefault();
    });
  }

  open(panel) {
    for (const name of PANELS) {
      const is = name === panel;
      $(`panel-${name}`).hidden = !is;
      $(`tab-${name}`).setAttribute("aria-selected", String(is));
      $(`tab-${name}`).tabIndex = is ? 0 : -1;
    }
    const marked = this.#marked.get(panel);
    if (marked && marked.index >= 0) this.#reveal(panel, marked.lines[marked.index]);
  }

  /** A recording, or a newer state of it. `tracksPlay`: tracks can be switched on and off. */
  show(recording, tracksPlay) {
    const isFirst = !this.#recording;
    this.#recording = recording;
    this.#named = new Map(recording.participants.map((person) => [person.key, person]));
    const scrolled = Object.fromEntries(PANELS.map((name) => [name, $(`panel-${name}`).scrollTop]));
    this.#marked.clear();
    this.#chat();
    this.#timeline();
    this.#slides();
    this.#people(tracksPlay);
    this.#files();
    for (const name of PANELS) $(`panel-${name}`).scrollTop = scrolled[name];
    const counts = { chat: recording.chat.length, slides: recording.slides.length, people: recording.participants.length, files: recording.files.length };
    for (const [name, count] of Object.entries(counts)) {
      const tab = $(`tab-${name}`);
      const label = name[0].toUpperCase() + name.slice(1);
      tab.replaceChildren(label, ...(count ? [make("b", { class: "number", textContent: String(count) })] : []));
    }
    $("tab-slides").hidden = !recording.slides.length;
    if (isFirst) this.open(recording.chat.length ? "chat" : recording.slides.length ? "slides" : "timeline");
  }

  #name(key) { return this.#named.get(key)?.name ?? key; }

  /** A button that leads to a time. */
  #jump(ms, className, ...children) {
    const button = make("button", { class: className, type: "button" }, ...children);
    button.addEventListener("click", () => this.#seek(ms));
    return button;
  }

  #time(ms) {
    const button = this.#jump(ms, "time", clock(ms));
    button.setAttribute("aria-label", `Go to ${clock(ms)}`);
    return button;
  }

  #mark(panel, list, lines) { this.#marked.set(panel, { times: list.map(({ at_ms }) => at_ms), lines, index: -1 }); }

  #chat() {
    const { chat, left_out: leftOut } = this.#recording;
    const lines = chat.map(({ at_ms, participant, text }) => {
      const name = this.#name(participant);
      const who = make("span", { class: "who" }, own(name));
      who.style.setProperty("--hue", hue(name));
      // The line leads to its time; links in it stay links.
      const line = make("li", { class: "line" }, make("div", { class: "line-head" }, who, this.#time(at_ms)), make("p", { class: "said", dir: "auto" }, ...withLinks(harmless(text))));
      line.addEventListener("click", (event) => event.target.closest("a, button") || String(getSelection()) || this.#seek(at_ms));
      return line;
    });
    this.#mark("chat", chat, lines);
    const more = leftOut ? [make("p", { class: "quiet note", textContent: `${leftOut} further events and messages are in timeline.jsonl only.` })] : [];
    $("panel-chat").replaceChildren(lines.length ? make("ol", { class: "lines" }, ...lines) : make("p", { class: "quiet note", textContent: "Nobody wrote anything." }), ...more);
  }

  #timeline() {
    const recording = this.#recording;
    const tracks = new Map(recording.tracks.map((track) => [track.file, track]));
    const told = recording.events.map((entry) => ({ at_ms: entry.t_ms, ...sentence(entry, (key) => this.#name(key), (file) => tracks.get(file)) }));
    const events = told.filter(({ minor }) => this.#all || !minor);
    const entries = [...recording.chapters.map((chapter) => ({ ...chapter, isChapter: true })), ...events];
    entries.sort((one, other) => one.at_ms - other.at_ms || Boolean(other.isChapter) - Boolean(one.isChapter));
    const lines = entries.map((entry) => {
      const text = make("bdi", { textContent: harmless(entry.isChapter ? entry.title : entry.text) });
      const className = entry.isChapter ? "chapter" : entry.bad ? "event bad" : "event";
      return make("li", {}, this.#jump(entry.at_ms, className, make("span", { class: "time", textContent: clock(entry.at_ms) }), text));
    });
    const chapters = entries.map((entry, index) => ({ ...entry, index })).filter(({ isChapter }) => isChapter);
    this.#mark("timeline", chapters, chapters.map(({ index }) => lines[index].firstChild));
    const box = make("input", { type: "checkbox", checked: this.#all });
    box.addEventListener("change", () => {
      this.#all = box.checked;
      this.#timeline();
      $("panel-timeline").querySelector("input").focus();
    });
    const minor = told.length - told.filter((one) => !one.minor).length;
    const choice = minor ? [make("label", { class: "choice quiet" }, box, ` Also joins, tracks and gaps (${minor})`)] : [];
    $("panel-timeline").replaceChildren(...choice, make("ol", { class: "lines tight" }, ...lines));
  }

  #slides() {
    const { slides } = this.#recording;
    const lines = slides.map(({ at_ms, of, file }, index) => {
      const picture = make("img", { src: new URL(fileUrl(file), this.#base), alt: `Slide ${index + 1}`, loading: "lazy", decoding: "async" });
      return make("li", {}, this.#jump(at_ms, "slide", picture, make("span", { class: "slide-words" }, make("span", { class: "time", textContent: clock(at_ms) }), own(of))));
    });
    this.#mark("slides", slides, lines.map((line) => line.firstChild));
    $("panel-slides").replaceChildren(make("ol", { class: "slides" }, ...lines));
  }

  #people(tracksPlay) {
    const recording = this.#recording;
    const people = recording.participants.map((person) => {
      const avatar = make("span", { class: "avatar small-avatar", textContent: initials(harmless(person.name)), "aria-hidden": "true" });
      avatar.style.setProperty("--hue", hue(person.name));
      const spans = person.present.slice(0, 20).flatMap(({ start_ms, end_ms }) => [this.#time(start_ms), make("span", { class: "quiet", textContent: `to ${end_ms === null ? "now" : clock(end_ms)}` })]);
      const role = person.role === "participant" ? [] : [make("span", { class: "badge", textContent: person.role })];
      const tracks = recording.tracks.filter((track) => track.participant === person.key).map((track) => this.#track(track, tracksPlay));
      const lost = (recording.unrecorded ?? []).filter((one) => one.participant === person.key).map((one) => make("li", { class: "track bad" },
        make("span", { textContent: `${SOURCES[one.source] ?? "A stream"}: not recorded` }), this.#time(one.start_ms), make("small", { textContent: harmless(one.reason) })));
      return make("li", { class: "person" }, make("div", { class: "person-head" }, avatar, make("b", {}, own(person.name)), ...role),
        make("p", { class: "present" }, ...spans), make("ul", { class: "tracks" }, ...tracks, ...lost));
    });
    $("panel-people").replaceChildren(people.length ? make("ul", { class: "people" }, ...people) : make("p", { class: "quiet note", textContent: "Nobody was in the room." }));
  }

  #track(track, tracksPlay) {
    const label = SOURCES[track.source] ?? track.source;
    const box = make("input", { type: "checkbox", checked: !this.#off.has(track.file), disabled: !tracksPlay, title: tracksPlay ? "Play this track" : "Choose “Tracks” to switch tracks on and off" });
    box.addEventListener("change", () => {
      if (box.checked) this.#off.delete(track.file);
      else this.#off.add(track.file);
      this.#choose(track.file, box.checked);
    });
    const { width, height } = track.resolutions.at(-1) ?? {};
    const facts = [track.codec.toUpperCase(), width && `${width}×${height}`, size(track.bytes)];
    const missing = track.gaps.filter(({ cause }) => cause !== "mute").reduce((sum, gap) => sum + gap.end_ms - gap.start_ms, 0);
    const share = (100 * track.lost) / Math.max(1, track.packets + track.lost);
    if (track.lost) facts.push(`${track.lost} packets lost (${share < 0.1 ? "< 0.1" : share.toFixed(1)} %)`);
    if (track.repaired) facts.push(`${track.repaired} repaired`);
    if (missing) facts.push(`${(missing / 1000).toFixed(1)} s missing`);
    if (track.sync_error_ms) facts.push(`sync ± ${Math.max(1, Math.round(track.sync_error_ms))} ms`);
    const bad = share > 1 || missing > 2000 || track.unwritten_frames;
    return make("li", { class: bad ? "track bad" : "track" }, make("label", {}, box, ` ${label}`), this.#time(track.start_ms),
      this.#save(`tracks/${track.file}`, track.file), make("small", { textContent: facts.filter(Boolean).join(" · ") }));
  }

  /** The chosen tracks, by file. */
  get off() { return this.#off; }

  #save(path, name) {
    const link = make("a", { class: "plain-icon save", href: new URL(fileUrl(path), this.#base), download: name, "aria-label": `Save ${harmless(name)}`, title: "Save" }, icon("save"));
    return link;
  }

  #files() {
    const recording = this.#recording;
    const missing = new Set(recording.missing);
    const sent = recording.files.map((file) => {
      const isWhole = file.state === "received" && !missing.has(file.file);
      const words = [isWhole ? size(file.size) : `incomplete, ${size(file.bytes)} of ${size(file.size)}${file.reason ? `: ${harmless(file.reason)}` : ""}`];
      return make("li", { class: isWhole ? "entry" : "entry bad" },
        make("span", { class: "entry-name" }, own(file.name.split(/[\\/]/).at(-1) || file.file.split("/").at(-1))), isWhole ? this.#save(file.file, file.file.split("/").at(-1)) : make("span"),
        make("small", {}, own(this.#name(file.participant)), " · ", this.#time(file.at_ms), " · ", ...words));
    });
    const entry = ({ file, bytes }) => make("li", { class: "entry" }, make("span", { class: "entry-name", textContent: harmless(file) }), this.#save(file, file.split("/").at(-1)), make("small", { textContent: size(bytes) }));
    const films = recording.films.map(entry);
    const documents = recording.documents.map(entry);
    const tracks = recording.tracks.filter((track) => !missing.has(`tracks/${track.file}`)).map((track) => entry({ file: `tracks/${track.file}`, bytes: track.bytes }));
    const part = (title, entries, none) => [make("h2", { textContent: title }), entries.length ? make("ul", { class: "entries" }, ...entries) : make("p", { class: "quiet note", textContent: none })];
    $("panel-files").replaceChildren(...part("Sent in the meeting", sent, "Nobody sent a file."), ...part("Of the recording", [...films, ...documents, ...tracks], "There are none yet."));
  }

  /** Marks what is there at a time. */
  at(ms) {
    for (const [panel, marked] of this.#marked) {
      const index = lastBefore(marked.times, ms, (time) => time);
      if (index === marked.index) continue;
      marked.lines[marked.index]?.removeAttribute("aria-current");
      marked.index = index;
      const line = marked.lines[index];
      line?.setAttribute("aria-current", "true");
      if (line && !$(`panel-${panel}`).hidden) this.#reveal(panel, line);
    }
  }

  /** Scrolls the panel, and never the page, unless its user is in it. */
  #reveal(panel, line) {
    const area = $(`panel-${panel}`);
    if (area.matches(":hover") || area.scrollHeight <= area.clientHeight) return;
    const top = line.getBoundingClientRect().top - area.getBoundingClientRect().top + area.scrollTop;
    area.scrollTo({ top: top - area.clientHeight / 3, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
}
