// What is played: a film, or the tracks themselves on one clock. Both have the same controls, and times of the session in milliseconds.

import { TrackPlayer } from "./player-track.js";
import { fileUrl, harmless, holding, make, own } from "./player-words.js";
import { fit, hue, icon, initials } from "./view.js";

const TICK = 100; // ms between two looks at all tracks
const MOST_ELEMENTS = 48; // a browser has no more than 75 players on a page
const RANK = { mic: 0, screen: 1, "screen-audio": 2, camera: 3 };

/** A film, which begins with the session. */
export class FilmSource {
  waiting = false;
  #video;

  /** @param on {changed, blocked, failed(text)} */
  constructor(base, file, poster, on) {
    const video = make("video", { class: "film", src: new URL(fileUrl(file), base), preload: "metadata", playsInline: true });
    if (poster) video.poster = new URL(fileUrl(poster), base);
    for (const event of ["play", "pause", "ended", "durationchange", "seeked"]) video.addEventListener(event, on.changed);
    video.addEventListener("waiting", () => { this.waiting = true; on.changed(); });
    for (const event of ["playing", "canplay", "pause"]) video.addEventListener(event, () => { this.waiting = false; on.changed(); });
    video.addEventListener("error", () => on.failed("This browser cannot play the film. Play the tracks, or save the film and open it in a media player."));
    this.#video = video;
    this.on = on;
  }

  get element() { return this.#video; }
  get time() { return this.#video.currentTime * 1000; }
  get length() { return Number.isFinite(this.#video.duration) ? this.#video.duration * 1000 : null; }
  get playing() { return !this.#video.paused && !this.#video.ended; }
  play() { this.#video.play().catch((error) => error.name === "NotAllowedError" && this.on.blocked()); }
  pause() { this.#video.pause(); }
  seek(ms) { this.#video.currentTime = ms / 1000; }
  setRate(rate) { this.#video.playbackRate = this.#video.defaultPlaybackRate = rate; }
  setVolume(volume, muted) { Object.assign(this.#video, { volume, muted }); }
  update() {}
  tick() {}
  destroy() {
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#video.remove();
  }
}

/** The tracks in sync, each person in a tile. */
export class TracksSource {
  waiting = false;
  playing = false;
  length = null;
  players = new Map(); // track file -> TrackPlayer
  #base; #on; #stage; #screens; #faces;
  #recording = null;
  #at = 0; // the session time at #since
  #since = 0;
  #rate = 1;
  #volume = { volume: 1, muted: false };
  #tiles = new Map(); // key -> {figure, name}
  #timer;
  #observer;

  /** @param stage {stage, screens, faces}: elements that the tiles go into */
  constructor(base, recording, { stage, screens, faces }, on) {
    this.#base = base;
    this.#on = on;
    [this.#stage, this.#screens, this.#faces] = [stage, screens, faces];
    this.update(recording);
    this.#timer = setInterval(() => this.tick(), TICK);
    this.#observer = new ResizeObserver(() => this.#layout());
    this.#observer.observe(stage);
    this.tick();
  }

  get time() {
    const running = this.playing && !this.waiting;
    const at = this.#at + (running ? (performance.now() - this.#since) * this.#rate : 0);
    return Math.min(at, this.#recording.duration_ms);
  }

  #hold() { [this.#at, this.#since] = [this.time, performance.now()]; }

  play() {
    if (this.time >= this.#recording.duration_ms && this.#recording.state !== "recording") this.#at = 0;
    this.#since = performance.now();
    this.playing = true;
    this.tick();
    this.#on.changed();
  }
  pause() {
    this.#hold();
    this.playing = false;
    this.tick();
    this.#on.changed();
  }
  seek(ms) {
    this.#hold();
    this.#at = ms;
    this.tick();
    this.#on.changed();
  }
  setRate(rate) {
    this.#hold();
    this.#rate = rate;
    this.tick();
  }
  setVolume(volume, muted) {
    this.#volume = { volume, muted };
    for (const player of this.players.values()) this.#sound(player);
  }
  #sound(player) {
    if (player.element && !player.isVideo) Object.assign(player.element, this.#volume);
  }

  /** Switches a track on or off. */
  choose(file, on) {
    const player = this.players.get(file);
    if (player) player.on = on;
    this.tick();
  }

  /** A newer state of the recording. */
  update(recording) {
    this.#recording = recording;
    for (const track of recording.tracks) {
      const [pieces, growing] = [recording.placements[track.file], recording.growing[track.file]];
      const known = this.players.get(track.file);
      if (known) known.update(track, pieces, growing);
      else if (pieces?.length) this.players.set(track.file, new TrackPlayer(track, pieces, growing, new URL(fileUrl(`tracks/${track.file}`), this.#base), this.#on.blocked));
    }
  }

  /** Loads what is near, unloads the rest, and brings everybody to the clock's time. */
  tick() {
    const at = this.time;
    if (this.playing && at >= this.#recording.duration_ms) {
      this.#at = this.#recording.duration_ms;
      this.playing = this.#recording.state === "recording"; // more is to come
      this.#since = performance.now();
      this.#on.changed();
    }
    const near = [...this.players.values()].filter((player) => player.isNear(at));
    near.sort((one, other) => RANK[one.track.source] - RANK[other.track.source]);
    const kept = new Set(near.slice(0, MOST_ELEMENTS));
    for (const player of this.players.values()) {
      if (!kept.has(player)) {
        player.unload();
      } else if (!player.element) {
        player.load();
        this.#sound(player);
        // Sound has no tile.
        if (!player.isVideo) this.#stage.append(player.element);
      }
    }
    const waits = [...kept].some((player) => player.holdsUp(at, this.playing));
    if (waits !== this.waiting) {
      this.#hold();
      this.waiting = waits;
      this.#on.changed();
    }
    const mode = !this.playing ? "paused" : waits ? "waiting" : "playing";
    for (const player of kept) player.follow(this.time, mode, this.#rate);
    this.#draw(at);
  }

  /** The tiles that are to be seen: {key, kind, name, player, muted, speaking}. */
  #tilesAt(at) {
    const live = [...this.players.values()].filter((player) => player.isLive(at));
    const nameOf = (key) => this.#recording.participants.find((person) => person.key === key)?.name ?? key;
    const screens = live.filter(({ track, on }) => track.source === "screen" && on);
    const tiles = screens.map((player) => ({
      key: player.track.file, kind: "screen", name: `${nameOf(player.track.participant)}’s screen`, initialsOf: nameOf(player.track.participant), player,
    }));
    for (const person of this.#recording.participants) {
      if (person.role === "recorder") continue;
      const activity = this.#recording.activities.find((one) => one.participant === person.key);
      // Of two at once, the later one: the earlier one is about to end.
      const last = (source) => live.findLast(({ track }) => track.participant === person.key && track.source === source);
      const [camera, mic] = [last("camera"), last("mic")];
      if (!camera && !(activity && holding(activity.present, at))) continue;
      const frozen = camera && (this.#recording.frozen[camera.track.file] ?? []).some((span) => span.start_ms <= at && at < (span.end_ms ?? Infinity));
      tiles.push({
        key: person.key, kind: "face", name: person.name, initialsOf: person.name, player: camera?.on && !frozen ? camera : null,
        muted: !mic || !mic.on, speaking: Boolean(activity && mic && holding(activity.spoke, at)),
      });
    }
    return tiles;
  }

  #draw(at) {
    const tiles = this.#tilesAt(at);
    const keys = new Set(tiles.map(({ key }) => key));
    let isOther = false;
    for (const [key, { figure }] of this.#tiles) {
      if (keys.has(key)) continue;
      figure.remove();
      this.#tiles.delete(key);
      isOther = true;
    }
    for (const tile of tiles) {
      isOther ||= !this.#tiles.has(tile.key);
      const { figure, note } = this.#tiles.get(tile.key) ?? this.#create(tile);
      const video = tile.player?.element ?? null;
      const shown = figure.querySelector("video");
      if (video !== shown) {
        shown?.remove();
        if (video) figure.prepend(video);
      }
      const has = Boolean(video) && !video.error && tile.player.isReady;
      figure.classList.toggle("has-video", has);
      figure.classList.toggle("muted", tile.kind === "face" && tile.muted);
      figure.classList.toggle("speaking", Boolean(tile.speaking));
      note.textContent = video?.error ? "cannot be played here" : "";
    }
    if (isOther) {
      this.#stage.classList.toggle("presenting", tiles.some(({ kind }) => kind === "screen"));
      this.#layout();
    }
  }

  #create({ key, kind, name, initialsOf }) {
    const avatar = make("span", { class: "avatar", textContent: initials(harmless(initialsOf)), "aria-hidden": "true" });
    const note = make("span", { class: "status" });
    const caption = make("figcaption", {}, icon("mic-off"), make("span", {}, own(name)));
    const figure = make("figure", { class: `tile ${kind}`, "aria-label": harmless(name) }, make("div", { class: "avatar-card" }, avatar), caption, note);
    figure.style.setProperty("--hue", hue(initialsOf));
    figure.addEventListener("dblclick", () => (document.fullscreenElement ? document.exitFullscreen() : figure.requestFullscreen?.().catch(() => {})));
    (kind === "screen" ? this.#screens : this.#faces).append(figure);
    const drawn = { figure, note };
    this.#tiles.set(key, drawn);
    return drawn;
  }

  #layout() {
    // Beside a screen everybody has to fit into one column.
    const count = this.#faces.childElementCount;
    const gap = parseFloat(getComputedStyle(this.#faces).rowGap) || 0;
    const tall = (this.#faces.clientHeight - gap * (count - 1)) / Math.max(1, count);
    this.#stage.style.setProperty("--strip", `${Math.max(84, Math.min(220, Math.floor((tall * 16) / 9), Math.floor(this.#stage.clientWidth / 4)))}px`);
    for (const area of [this.#screens, this.#faces]) {
      const { width, height } = fit(area.childElementCount, area.clientWidth, area.clientHeight, area === this.#faces);
      area.style.setProperty("--tile-width", `${width}px`);
      area.style.setProperty("--tile-height", `${height}px`);
    }
  }

  destroy() {
    clearInterval(this.#timer);
    this.#observer.disconnect();
    for (const player of this.players.values()) player.unload();
    for (const { figure } of this.#tiles.values()) figure.remove();
    this.#tiles.clear();
  }
}
