// One track file in the session: where it lies, and an element that plays it in time with a clock. Knows nothing of other tracks.

const LEAD = 4_000; // ms before its start at which a track is loaded
const LINGER = 8_000; // ms for which it stays loaded outside of its time
const SEEK_DRIFT = 0.3; // s of error at which it seeks; less is caught up
const FINE_DRIFT = 0.015; // s of error that is left alone
const STEER = 0.06; // the most by which its speed is changed
const PATIENCE = 5_000; // ms for which the others wait for it

/** Session time of a time in the file, by the placement's pieces. All in milliseconds. */
export function toSession(pieces, file) {
  const piece = pieces.findLast((one) => one.file_ms <= file) ?? pieces[0];
  return piece.session_ms + (file - piece.file_ms) * piece.stretch;
}

/** The time in the file of a session time. */
export function toFile(pieces, session) {
  const piece = pieces.findLast((one) => one.session_ms <= session) ?? pieces[0];
  return piece.file_ms + (session - piece.session_ms) / piece.stretch;
}

export class TrackPlayer {
  /** The manifest's entry. */
  track;
  element = null;
  /** Switched on by the user. */
  on = true;
  /** It has shown or played something: while it seeks, its last picture stays. */
  isReady = false;
  #pieces; #url; #growing;
  #loaded = null; // what #growing was when it was loaded
  #missing = null; // since when data is missing, by the page's clock
  #soughtAt = -Infinity;
  #seekTook = 0.05; // s that the last seek took
  #blocked;

  /** @param blocked called when the browser does not play before a click */
  constructor(track, pieces, growing, url, blocked) {
    this.#url = url;
    this.#blocked = blocked;
    this.update(track, pieces, growing);
  }

  /** A newer entry of the same track; `growing`: the file's bytes now, of one that is not finished. */
  update(track, pieces, growing) {
    this.track = track;
    this.#pieces = pieces;
    this.#growing = growing ?? null;
  }

  get start() { return this.track.start_ms; }
  get end() { return Math.max(this.track.end_ms, this.track.ended_ms ?? 0); }
  get isVideo() { return this.track.kind === "video"; }

  /** Whether it sends something at this time. */
  isLive(at) {
    return this.start <= at && at < this.end && !this.track.mutes.some((mute) => mute.start_ms <= at && at < (mute.end_ms ?? Infinity));
  }

  /** Whether it has to be loaded at this time. */
  isNear(at) {
    const linger = this.element ? LINGER : 0;
    return this.on && at >= this.start - LEAD - linger && at < this.end + linger;
  }

  /** The session time of what the element shows or plays now. */
  get session() { return toSession(this.#pieces, this.element.currentTime * 1000); }

  load() {
    if (this.element) return;
    const element = document.createElement(this.isVideo ? "video" : "audio");
    element.preload = "auto";
    element.playsInline = true;
    // Videos have no sound, and a muted one needs no click to play.
    element.muted = this.isVideo;
    element.addEventListener("loadeddata", () => { this.isReady = true; });
    element.addEventListener("seeked", () => { this.#seekTook = Math.min(1, (performance.now() - this.#soughtAt) / 1000); });
    this.element = element;
    this.#open();
  }

  #open() {
    this.#loaded = this.#growing;
    this.element.src = `${this.#url}?play${this.#loaded === null ? "" : `&length=${this.#loaded}`}`;
    this.#missing = null;
    this.#soughtAt = -Infinity;
  }

  unload() {
    if (!this.element) return;
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
    this.element.remove();
    this.element = null;
    this.isReady = false;
  }

  /** Brings the element to a session time, and keeps it there while it plays. `at` is the clock's time in ms; `mode`: playing, paused, waiting. */
  follow(at, mode, rate) {
    const element = this.element;
    if (!element || element.error || element.readyState < 1) return;
    const target = Math.max(0, toFile(this.#pieces, Math.max(at, this.start)) / 1000);
    const length = Number.isFinite(element.duration) ? element.duration : Infinity;
    if (target >= length - 0.01 || (element.ended && target >= element.currentTime)) {
      // Its last picture stays until the track ends; of a growing file there may be more by now.
      if (!element.paused) element.pause();
      if (this.#loaded !== this.#growing) this.#open();
      else if (!element.seeking && element.currentTime < length - 0.01 && Number.isFinite(length)) element.currentTime = length;
      return;
    }
    if (element.seeking) return;
    const drift = element.currentTime - target;
    const runs = mode === "playing" && at >= this.start && at < this.end;
    if (!runs) {
      if (!element.paused) element.pause();
      if (Math.abs(drift) > (mode === "waiting" ? SEEK_DRIFT : 0.005)) this.#seek(target);
      return;
    }
    if (Math.abs(drift) > SEEK_DRIFT && performance.now() - this.#soughtAt > 1000) {
      // The clock goes on while it seeks, unless it has to wait for data.
      return this.#seek(Math.min(length, target + (element.paused ? 0 : this.#seekTook * rate)));
    }
    const steer = Math.abs(drift) > FINE_DRIFT ? Math.max(-STEER, Math.min(STEER, drift)) : 0;
    const speed = rate * (1 - steer);
    if (Math.abs(element.playbackRate - speed) > 0.004) element.playbackRate = speed;
    if (element.paused) element.play().catch((error) => error.name === "NotAllowedError" && this.#blocked());
  }

  #seek(seconds) {
    this.#soughtAt = performance.now();
    this.element.currentTime = seconds;
  }

  /** Whether the clock has to wait for it: its data is not there yet, and not missing for long. */
  holdsUp(at, playing) {
    const { element } = this;
    const wanted = element && !element.error && at >= this.start && at < this.end;
    const atEnd = element && (element.ended || (Number.isFinite(element.duration) && element.currentTime >= element.duration - 0.05));
    const waits = wanted && !atEnd && (element.readyState < (playing ? 3 : 2) || (element.seeking && Math.abs(this.session - at) > 1000 * SEEK_DRIFT));
    if (!waits) {
      this.#missing = null;
      return false;
    }
    this.#missing ??= performance.now();
    return performance.now() - this.#missing < PATIENCE;
  }
}
