// What the call looks like: tiles, their layout, badges, banners. Draws the model it is given; decides nothing.

const $ = (id) => document.getElementById(id);
const GAP = 12;
const SPEAKING_HOLD = 700; // milliseconds for which a speaker stays marked after the last sound

export const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  svg.firstChild.setAttribute("href", `#i-${name}`);
  return svg;
};

export const initials = (name) => {
  const words = name.trim().split(/\s+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = words.length > 1 ? [words[0], words.at(-1)].map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 1);
  return letters.join("").toUpperCase();
};

/** The same colour for the same name on every screen. */
export const hue = (name) => [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);

/**
 * The tiles of a model, as plain values: [{key, kind: "face" | "screen", name, self, stream, video, muted, status}].
 *
 * @param model {me: {name, media}, people: [{id, name, role, labels, peer}]}
 */
export function tilesOf({ me, people }) {
  const { media } = me;
  const tiles = [{
    key: "me", kind: "face", name: `${me.name} (you)`, initialsOf: me.name, self: true,
    stream: media.tracks.has("camera") ? media.face : null, video: media.tracks.has("camera"), muted: media.muted.mic, status: null,
  }];
  if (media.screen) tiles.push({ key: "me:screen", kind: "screen", name: "You are sharing your screen", self: true, stream: media.screen, video: true });
  for (const { id, name, role, labels, peer } of people) {
    if (role === "recorder") continue;
    const label = (source) => labels.find((one) => one.source === source);
    const screenIds = new Set(labels.filter((one) => one.source === "screen").map((one) => one.stream));
    const streams = [...(peer?.streams.values() ?? [])];
    const face = streams.find((stream) => !screenIds.has(stream.id)) ?? null;
    const [camera] = face?.getVideoTracks() ?? [];
    const [mic] = face?.getAudioTracks() ?? [];
    tiles.push({
      key: id, kind: "face", name, initialsOf: name, self: false, person: id, stream: face,
      video: Boolean(camera) && !(label("camera")?.muted ?? camera.muted),
      muted: label("mic")?.muted ?? !mic,
      status: statusOf(peer),
    });
    for (const stream of streams.filter((one) => screenIds.has(one.id) && one.getVideoTracks().length)) {
      tiles.push({ key: `${id}:${stream.id}`, kind: "screen", name: `${name}’s screen`, self: false, stream, video: true, status: null });
    }
  }
  return tiles;
}

function statusOf(peer) {
  switch (peer?.pc.connectionState) {
    case "connected": return null;
    case "disconnected": case "failed": return "Reconnecting…";
    default: return "Connecting…";
  }
}

/** The largest tiles of which `count` fit into a width and a height; faces may be taller on a phone. */
export function fit(count, width, height, faces) {
  const ratios = faces && width < 600 ? [16 / 9, 4 / 3, 1, 3 / 4] : [16 / 9];
  let best = { width: 0, height: 0 };
  for (const ratio of ratios) {
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const tall = (height - GAP * (rows - 1)) / rows;
      const wide = Math.min((width - GAP * (columns - 1)) / columns, tall * ratio);
      if (wide * (wide / ratio) > best.width * best.height * 1.01) best = { width: Math.floor(wide), height: Math.floor(wide / ratio) };
    }
  }
  return best;
}

export class View {
  #tiles = new Map(); // key -> {figure, video, name, status, spokeAt}
  #soundBlocked;

  /** @param soundBlocked called when the browser does not play sound before the user has clicked */
  constructor(soundBlocked) {
    this.#soundBlocked = soundBlocked;
    new ResizeObserver(() => this.#layout()).observe($("stage"));
  }

  /** Draws the call. */
  render(model) {
    const tiles = tilesOf(model);
    const keys = new Set(tiles.map((tile) => tile.key));
    for (const [key, { figure, video }] of this.#tiles) {
      if (keys.has(key)) continue;
      video.srcObject = null;
      figure.remove();
      this.#tiles.delete(key);
    }
    for (const tile of tiles) this.#draw(tile);
    $("stage").classList.toggle("presenting", tiles.some((tile) => tile.kind === "screen"));
    const count = 1 + model.people.filter((one) => one.role !== "recorder").length;
    $("count").textContent = count === 1 ? "Only you" : `${count} people`;
    const recorders = model.people.filter((one) => one.role === "recorder").map((one) => one.name);
    $("recording").hidden = !recorders.length;
    const text = recorders.length ? `Recording by ${recorders.join(", ")}` : "";
    const badge = $("recording").lastElementChild;
    if (badge.textContent !== text) badge.textContent = text;
    this.#layout();
  }

  /** Marks who speaks. */
  speaking(key, loud) {
    const tile = this.#tiles.get(key);
    if (!tile) return;
    const now = performance.now();
    if (loud) tile.spokeAt = now;
    tile.figure.classList.toggle("speaking", now - tile.spokeAt < SPEAKING_HOLD);
  }

  /** Plays everything, from within a click: then the browser lets sound out. */
  play() {
    for (const { video } of this.#tiles.values()) video.play().catch(() => {});
  }

  clear() {
    for (const { figure, video } of this.#tiles.values()) {
      video.srcObject = null;
      figure.remove();
    }
    this.#tiles.clear();
  }

  #draw(tile) {
    const drawn = this.#tiles.get(tile.key) ?? this.#create(tile);
    const { figure, video, name, status } = drawn;
    if (video.srcObject !== tile.stream) {
      video.srcObject = tile.stream;
      if (tile.stream) video.play().catch((error) => error.name === "NotAllowedError" && this.#soundBlocked());
    }
    figure.classList.toggle("has-video", tile.video);
    figure.classList.toggle("muted", Boolean(tile.muted));
    figure.setAttribute("aria-label", [tile.name, tile.muted && "muted", tile.kind === "face" && !tile.video && "camera off", tile.status].filter(Boolean).join(", "));
    name.textContent = tile.name;
    status.textContent = tile.status ?? "";
  }

  #create(tile) {
    const figure = document.createElement("figure");
    figure.className = `tile ${tile.kind}${tile.self ? " self" : ""}`;
    const video = document.createElement("video");
    video.autoplay = video.playsInline = true;
    video.muted = tile.self;
    const card = document.createElement("div");
    card.className = "avatar-card";
    const avatar = document.createElement("span");
    avatar.className = "avatar";
    avatar.setAttribute("aria-hidden", "true");
    if (tile.initialsOf) {
      avatar.textContent = initials(tile.initialsOf);
      figure.style.setProperty("--hue", hue(tile.initialsOf));
    }
    card.append(avatar);
    const caption = document.createElement("figcaption");
    const name = document.createElement("span");
    caption.append(icon("mic-off"), name);
    if (tile.person) figure.dataset.person = tile.person;
    const status = document.createElement("span");
    status.className = "status";
    figure.append(video, card, caption, status);
    // The larger a face can be, the better: a click shows a screen, or a face, in full.
    figure.addEventListener("dblclick", () => (document.fullscreenElement ? document.exitFullscreen() : figure.requestFullscreen?.().catch(() => {})));
    $(tile.kind === "screen" ? "screens" : "faces").append(figure);
    const drawn = { figure, video, name, status, spokeAt: -Infinity };
    this.#tiles.set(tile.key, drawn);
    return drawn;
  }

  #layout() {
    for (const area of [$("screens"), $("faces")]) {
      const { width, height } = fit(area.childElementCount, area.clientWidth, area.clientHeight, area.id === "faces");
      area.style.setProperty("--tile-width", `${width}px`);
      area.style.setProperty("--tile-height", `${height}px`);
    }
  }
}

/** A round button that is on or off. */
export function toggle(button, on, { icons: [onIcon, offIcon], words: [onWord, offWord], says }) {
  button.setAttribute("aria-pressed", String(on));
  button.setAttribute("aria-label", says);
  button.querySelector("use").setAttribute("href", `#i-${on ? onIcon : offIcon}`);
  const word = button.querySelector("span");
  if (word) word.textContent = on ? onWord : offWord;
}

/** A line across the top; `null` takes it away. */
export function banner(text, action, run) {
  $("banner").hidden = !text;
  $("banner").firstElementChild.textContent = text ?? "";
  $("banner-action").hidden = !action;
  $("banner-action").textContent = action ?? "";
  $("banner-action").onclick = run ?? null;
}

/** A short message that goes away by itself; problems stay longer. `null` takes all away but problems. */
export function toast(text, problem = false) {
  if (text === null) return $("toasts").querySelectorAll(".toast:not(.problem)").forEach((line) => line.remove());
  const line = document.createElement("p");
  line.className = problem ? "toast problem" : "toast";
  line.textContent = text;
  $("toasts").append(line);
  while ($("toasts").childElementCount > 4) $("toasts").firstElementChild.remove();
  setTimeout(() => line.remove(), problem ? 12_000 : 4_000);
}
