// The list of recordings, with search. Takes it from recordings.json beside the page.

import { STATES, clock, date, harmless, make } from "./player-words.js";

const $ = (id) => document.getElementById(id);
const RELOAD = 10_000; // ms between two looks
const NAMED = 6; // people who are named on a card
const SHOWN = 300; // cards at once

let recordings = null;
let drawn = "";

const address = (folder) => `recordings/${encodeURIComponent(folder)}/`;

function card(one) {
  const names = one.participants.slice(0, NAMED).map(harmless).join(", ");
  const more = one.participants.length > NAMED ? ` and ${one.participants.length - NAMED} more` : "";
  const picture = make("div", { class: "card-picture" });
  if (one.poster) picture.append(make("img", { src: `${address(one.folder)}media/${one.poster}`, alt: "", loading: "lazy", decoding: "async" }));
  picture.append(make("span", { class: "card-length", textContent: clock(one.duration_ms) }));
  const state = one.state === "complete" ? null : make("span", { class: "state", textContent: STATES[one.state] ?? one.state });
  if (state) state.dataset.state = one.state;
  return make("li", {}, make("a", { class: "recording-card", href: address(one.folder) }, picture,
    make("div", { class: "card-words" }, make("h2", {}, make("bdi", { textContent: harmless(one.room) })), state,
      make("p", { class: "quiet", textContent: date(one.started) }), make("p", { class: "quiet people-line", dir: "auto", textContent: names + more }))));
}

/** Every word is somewhere in the room's name, a participant's, the date or the folder's name. */
function matches(one, words) {
  const text = [one.room, one.folder, date(one.started), one.started, STATES[one.state], ...one.participants].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

function render() {
  if (!recordings) return;
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = recordings.filter((one) => matches(one, words));
  const state = JSON.stringify(found);
  if (state === drawn) return;
  drawn = state;
  $("recordings").replaceChildren(...found.slice(0, SHOWN).map(card));
  const all = recordings.length === 1 ? "1 recording" : `${recordings.length} recordings`;
  const shown = found.length > SHOWN ? `; the newest ${SHOWN} are shown` : "";
  $("count").textContent = !recordings.length ? "There is no recording in this folder yet." : words.length ? `${found.length} of ${all}${shown}` : `${all}${shown}`;
}

async function load() {
  try {
    const response = await fetch("recordings.json", { cache: "no-store" });
    if (response.ok) recordings = await response.json();
    render();
  } catch {
    if (!recordings) $("count").textContent = "The list cannot be loaded.";
  }
}

$("search").addEventListener("input", render);
setInterval(load, RELOAD);
load();
