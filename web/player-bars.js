// The seek bar and the lanes below it: who was there, who spoke, what was shared and what is missing. Draws and takes clicks; decides nothing.

import { clock, harmless, make, unrecordedTimes } from "./player-words.js";
import { hue } from "./view.js";

const $ = (id) => document.getElementById(id);
const LANE = 22; // height of a lane in pixels
const NARROWEST = 1.5; // pixels of what lasts for a moment only
const COLOURS = { present: "#ffffff14", screen: "#6c8cff", gap: "#ff6b6b", nothing: "#f2c06330" };

export class Bars {
  #recording = null;
  #people = [];
  #length = 1;
  #seek;
  #drawnAt = -1;

  /** @param seek called with a session time in milliseconds */
  constructor(seek) {
    this.#seek = seek;
    $("seek").addEventListener("input", () => seek(Number($("seek").value)));
    const over = (event) => {
      const { left, width } = $("seek").getBoundingClientRect();
      const part = Math.max(0, Math.min(1, (event.clientX - left) / width));
      $("hint").hidden = false;
      $("hint").textContent = clock(part * this.#length);
      $("hint").style.setProperty("--at", `${(part * 100).toFixed(2)}%`);
    };
    $("seek").addEventListener("pointermove", over);
    $("seek").addEventListener("pointerleave", () => { $("hint").hidden = true; });
    const lanes = $("lanes-picture");
    const at = (event) => {
      const { left, width } = lanes.getBoundingClientRect();
      return Math.max(0, Math.min(1, (event.clientX - left) / width)) * this.#length;
    };
    lanes.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") lanes.setPointerCapture(event.pointerId);
      this.#seek(at(event));
    });
    lanes.addEventListener("pointermove", (event) => event.buttons && event.pointerType === "mouse" && this.#seek(at(event)));
    new ResizeObserver(() => this.#draw()).observe($("lanes"));
  }

  /** A recording, or a newer state of it. */
  show(recording, length) {
    this.#recording = recording;
    this.#length = Math.max(1, length);
    $("seek").max = String(Math.ceil(this.#length));
    this.#people = recording.participants.filter((person) => person.role !== "recorder");
    $("lanes").hidden = !this.#people.length;
    $("lanes-names").replaceChildren(...this.#people.map((person) => {
      const name = make("li", {}, make("bdi", { textContent: harmless(person.name) }));
      name.style.setProperty("--hue", hue(person.name));
      return name;
    }));
    const spoke = this.#people.map((person) => {
      const intervals = recording.activities.find((one) => one.participant === person.key)?.spoke ?? [];
      return `${harmless(person.name)} ${clock(intervals.reduce((sum, one) => sum + one.end_ms - one.start_ms, 0))}`;
    });
    $("lanes-picture").setAttribute("aria-label", `Who spoke for how long: ${spoke.join(", ")}`);
    $("marks").replaceChildren(...recording.chapters.filter(({ at_ms }) => at_ms > 0 && at_ms < this.#length).map(({ at_ms }) => {
      const mark = make("i");
      mark.style.setProperty("--at", `${((at_ms / this.#length) * 100).toFixed(3)}%`);
      return mark;
    }));
    this.#draw();
  }

  /** The position has changed. */
  at(ms) {
    const seek = $("seek");
    seek.value = String(Math.round(ms));
    seek.style.setProperty("--part", `${((100 * Math.min(ms, this.#length)) / this.#length).toFixed(3)}%`);
    const told = clock(ms);
    if (seek.getAttribute("aria-valuetext") !== told) seek.setAttribute("aria-valuetext", `${told} of ${clock(this.#length)}`);
    const cursor = Math.round((ms / this.#length) * $("lanes-picture").clientWidth);
    if (cursor !== this.#drawnAt) {
      this.#drawnAt = cursor;
      $("lanes").style.setProperty("--cursor", `${cursor}px`);
    }
  }

  #draw() {
    const recording = this.#recording;
    if (!recording) return;
    const canvas = $("lanes-picture");
    const [width, height] = [canvas.parentElement.clientWidth, LANE * this.#people.length];
    const scale = devicePixelRatio || 1;
    // The size of a canvas has a limit, and a meeting of hundreds needs no lanes beyond it.
    canvas.width = Math.min(8192, Math.round(width * scale));
    canvas.height = Math.min(8192, Math.round(height * scale));
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.scale(canvas.width / Math.max(1, width), canvas.height / Math.max(1, height));
    const bar = (interval, y, thick, colour) => {
      const from = (interval.start_ms / this.#length) * width;
      const to = (Math.min(interval.end_ms ?? this.#length, this.#length) / this.#length) * width;
      context.fillStyle = colour;
      context.beginPath();
      context.roundRect(from, y, Math.max(NARROWEST, to - from), thick, Math.min(3, thick / 2));
      context.fill();
    };
    for (const { start_ms, end_ms } of unrecordedTimes(recording)) {
      const from = (start_ms / this.#length) * width;
      context.fillStyle = COLOURS.nothing;
      context.fillRect(from, 0, Math.max(NARROWEST, ((end_ms ?? this.#length) / this.#length) * width - from), height);
    }
    this.#people.forEach((person, row) => {
      const y = row * LANE;
      const activity = recording.activities.find((one) => one.participant === person.key);
      for (const one of activity?.present ?? []) bar(one, y + 3, LANE - 6, COLOURS.present);
      for (const one of activity?.screen ?? []) bar(one, y + LANE - 6, 3, COLOURS.screen);
      for (const one of activity?.spoke ?? []) bar(one, y + 5, LANE - 12, `hsl(${hue(person.name)} 55% 62%)`);
      const gaps = recording.tracks.filter((track) => track.participant === person.key).flatMap(({ gaps: all }) => all);
      for (const one of gaps) if (one.cause !== "mute") bar(one, y + 3, 2, COLOURS.gap);
      for (const one of recording.unrecorded ?? []) if (one.participant === person.key) bar(one, y + 3, 2, COLOURS.gap);
    });
  }
}
