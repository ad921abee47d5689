// Our camera, microphone and screen: opens and closes devices. Knows no connection and no page.

export class Media {
  #wish; #changed;

  /**
   * @param wish {width, height, fps, raw}: what to ask the camera for; `raw` leaves the sound unprocessed
   * @param changed called with (source) whenever a track came, went, or was muted
   */
  constructor(wish, changed) {
    this.#wish = wish;
    this.#changed = changed;
    this.face = new MediaStream(); // camera and microphone; its id is in their labels, so it never changes
    this.screen = null; // another stream for each share
    this.tracks = new Map(); // source -> live track
    this.muted = { mic: true, camera: true };
    this.ever = new Set(); // sources that were on once: they stay in the labels, muted
  }

  /** Opens devices, together if possible. Returns the problems as texts; devices that fail stay off. */
  async open({ mic, camera }) {
    const wanted = [mic && "mic", camera && "camera"].filter(Boolean);
    if (!wanted.length) return [];
    try {
      const stream = await this.#getUserMedia({ audio: mic ? this.#audio() : false, video: camera ? this.#video() : false });
      for (const track of stream.getTracks()) this.#take(track.kind === "audio" ? "mic" : "camera", track);
      return [];
    } catch (error) {
      if (wanted.length === 1) return [explain(error, mic ? "microphone" : "camera")];
      // One of the two may be available: request each alone.
      const problems = [...await this.open({ mic: true }), ...await this.open({ camera: true })];
      return problems.length === 2 && refused(error) ? [explain(error, "camera and microphone")] : problems;
    }
  }

  /** The microphone stays open while muted, so that unmuting is immediate. Returns a problem, or null. */
  async setMic(on) {
    const track = this.tracks.get("mic");
    if (!track) return on ? (await this.open({ mic: true }))[0] ?? null : null;
    track.enabled = on;
    this.muted.mic = !on;
    this.#changed("mic");
    return null;
  }

  /** The camera is closed while off, so that its light goes out. Returns a problem, or null. */
  async setCamera(on) {
    if (on) return this.tracks.has("camera") ? null : (await this.open({ camera: true }))[0] ?? null;
    this.#drop("camera");
    return null;
  }

  /** Shares a screen. Returns a problem, or null; cancelling the browser's dialog is none. */
  async share() {
    if (this.screen) return null;
    if (!navigator.mediaDevices?.getDisplayMedia) return "This browser cannot share a screen.";
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: true });
      this.screen = new MediaStream(stream.getTracks());
    } catch (error) {
      return error.name === "NotAllowedError" ? null : explain(error, "screen");
    }
    for (const track of this.screen.getTracks()) {
      const source = track.kind === "video" ? "screen" : "screen-audio";
      if (source === "screen") track.contentHint = "detail";
      this.tracks.set(source, track);
      track.onended = () => this.unshare();
      this.#changed(source);
    }
    return null;
  }

  unshare() {
    const { screen } = this;
    if (!screen) return;
    this.screen = null;
    for (const track of screen.getTracks()) track.stop();
    // Remove both before reporting: labels must not contain half a share.
    const gone = ["screen", "screen-audio"].filter((source) => this.tracks.delete(source));
    gone.forEach((source) => this.#changed(source));
  }

  /** Closes every device. */
  close() {
    this.unshare();
    for (const source of ["camera", "mic"]) this.#drop(source);
  }

  streamOf(source) {
    return source.startsWith("screen") ? this.screen : this.face;
  }

  /** Our track labels, in the form of the protocol. */
  labels() {
    const kinds = { mic: "audio", camera: "video", screen: "video", "screen-audio": "audio" };
    return Object.entries(kinds)
      .filter(([source]) => this.tracks.has(source) || this.ever.has(source))
      .map(([source, kind]) => ({ stream: this.streamOf(source).id, kind, source, muted: this.muted[source] ?? false }));
  }

  #take(source, track) {
    const old = this.tracks.get(source);
    if (old) {
      old.onended = null;
      old.stop();
      this.face.removeTrack(old);
    }
    this.face.addTrack(track);
    this.tracks.set(source, track);
    this.ever.add(source);
    this.muted[source] = false;
    track.onended = () => this.#drop(source); // unplugged, or permission revoked
    this.#changed(source);
  }

  #drop(source) {
    const track = this.tracks.get(source);
    if (!track) return;
    track.onended = null;
    track.stop();
    this.face.removeTrack(track);
    this.tracks.delete(source);
    this.muted[source] = true;
    this.#changed(source);
  }

  #audio() {
    const processed = !this.#wish.raw;
    return { echoCancellation: processed, noiseSuppression: processed, autoGainControl: processed };
  }

  #video() {
    const { width, height, fps } = this.#wish;
    return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: fps } };
  }

  async #getUserMedia(constraints) {
    if (!navigator.mediaDevices) throw new DOMException("not a secure context", "SecurityError");
    return navigator.mediaDevices.getUserMedia(constraints);
  }
}

function refused(error) {
  return error.name === "NotAllowedError" || error.name === "SecurityError";
}

function explain(error, what) {
  switch (error.name) {
    case "NotAllowedError": return `The browser blocks the ${what}. Allow it in the address bar, then switch it on again.`;
    case "SecurityError": return `Browsers allow the ${what} only on https: pages and localhost.`;
    case "NotFoundError": case "OverconstrainedError": return `There is no ${what} on this device.`;
    case "NotReadableError": return `The ${what} is used by another program.`;
    default: return `The ${what} could not be opened: ${error.message || error.name}`;
  }
}

/** Returns a function that gives the current level (0 to 1) of one of our tracks; `null` if audio cannot be analysed. */
export function loudness(track) {
  try {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const level = () => {
      if (context.state === "suspended") context.resume().catch(() => {});
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
    };
    level.close = () => context.close();
    return level;
  } catch {
    return null;
  }
}
