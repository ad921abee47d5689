// What is recorded now: who is in which room, its last picture, what arrives; what waits and what is being finished.

import { ago, api, badge, button, every, figure, form, head, icon, length, make, player, sentence, sign, size, span, table, title } from './dashboard-api.js';

const OPEN = 'scheduled,queued,joining,waiting,recording,paused,stopping,processing,uploading';
const LIVE = ['joining', 'waiting', 'recording', 'paused', 'stopping'];
/** Milliseconds between two looks, and between two pictures of a recording. */
const LOOK = 1500;
const PICTURE = 5000;
/** The most people who are listed on a card. */
const MOST_PEOPLE = 8;

export async function livePage({ page, signal, may }) {
  const figures = make('div', { class: 'figures' });
  const cards = make('div', { class: 'cards' });
  const rest = make('div', { class: 'stack' });
  page.replaceChildren(title('Live'), figures, ...(may('recordings:write') ? [startForm()] : []), cards, rest);
  const shown = new Map();
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const card = shown.get(target.dataset.id);
      if (card) card.isSeen = isIntersecting;
    }
  });
  signal.addEventListener('abort', () => seen.disconnect());
  const look = async () => {
    const [{ recordings }, ready] = await Promise.all([
      api('GET', `/v1/recordings?limit=100&state=${OPEN}`),
      api('GET', '/readyz').catch((problem) => ({ problem: problem.message })),
    ]);
    showFigures(figures, recordings, ready);
    const live = recordings.filter((recording) => LIVE.includes(recording.state));
    for (const [id, card] of shown) {
      if (live.some((recording) => recording.id === id)) continue;
      seen.unobserve(card.element);
      card.element.remove();
      shown.delete(id);
    }
    for (const recording of live) {
      if (shown.has(recording.id)) continue;
      const card = new Card(recording, may('recordings:write'), look);
      shown.set(recording.id, card);
      cards.append(card.element);
      seen.observe(card.element);
    }
    await Promise.all(live.map((recording) => shown.get(recording.id).look(recording)));
    cards.hidden = live.length === 0;
    rest.replaceChildren(...(live.length ? [] : [nobody(may('recordings:write'))]), ...others(recordings));
  };
  await look();
  every(LOOK, signal, look);
}

function nobody(mayWrite) {
  return make('div', { class: 'empty' }, make('p', { text: 'Nothing is being recorded.' }),
    make('p', { class: 'quiet', text: mayWrite ? 'Type a room’s address above, or send POST /v1/recordings.' : 'Recordings appear here as soon as somebody begins one.' }));
}

function showFigures(figures, recordings, ready) {
  const count = (...states) => recordings.filter((recording) => states.includes(recording.state)).length;
  figures.replaceChildren(
    figure(count(...LIVE), 'recorders in rooms'),
    figure(count('queued', 'scheduled'), 'waiting or scheduled'),
    figure(count('processing', 'uploading'), 'films and uploads'),
    ready.problem ? figure('Full', ready.problem, 'warn') : figure(`${ready.load.toFixed(1)} / ${ready.capacity}`, 'cores in use, by cost'),
  );
}

/** A recording that goes on. Its elements stay, their contents change. */
class Card {
  isSeen = true;
  #id; #shot; #state; #about; #trouble; #people; #pause; #actions; #age;
  #tag = null;
  #capturedAt = null;
  #picturedAt = -Infinity;

  constructor({ id, room }, mayWrite, look) {
    this.#id = id;
    const ask = (verb) => async () => { await api('POST', `/v1/recordings/${id}/${verb}`); await look(); };
    this.#age = make('span', { class: 'age', hidden: true });
    this.#state = badge('joining');
    this.#shot = make('a', { class: 'shot', href: player(id), 'aria-label': `Watch ${room}`, title: 'Watch' }, sign(room), make('span', { class: 'go' }, icon('play')), this.#age);
    this.#about = make('p', { class: 'quiet about' });
    this.#trouble = make('p', { class: 'problem', hidden: true });
    this.#people = make('ul');
    this.#pause = button('Pause', () => ask(this.#pause.textContent.toLowerCase())());
    this.#actions = make('div', { class: 'actions', hidden: !mayWrite }, this.#pause, button('Stop', ask('stop')), button('Cancel', ask('cancel'), 'danger'));
    this.element = make('article', { class: 'live', 'aria-label': room, 'data-id': id }, this.#shot,
      make('div', { class: 'live-words' }, make('header', {}, make('a', { href: `#/recordings/${id}`, text: room }), this.#state),
        this.#about, this.#trouble, this.#people, this.#actions));
  }

  async look({ id, state }) {
    this.#state.dataset.state = this.#state.textContent = state;
    if (this.#actions.isConnected) {
      this.#pause.hidden = !['recording', 'paused'].includes(state);
      if (!this.#pause.disabled) this.#pause.textContent = state === 'paused' ? 'Resume' : 'Pause';
      for (const action of this.#actions.children) if (action !== this.#pause) action.hidden = state === 'stopping';
    }
    if (!this.isSeen) return;
    const status = await api('GET', `/v1/recordings/${id}/live`).catch(() => undefined);
    const facts = status ? [length(status.session_ms), size(status.bytes), status.warnings ? `${status.warnings} ${status.warnings === 1 ? 'warning' : 'warnings'}` : ''] : [];
    const isThere = status && state !== 'joining';
    this.#about.textContent = isThere ? facts.filter(Boolean).join(' · ') : state === 'stopping' ? 'The recorder finishes its files.' : 'The recorder connects to the room.';
    this.#trouble.hidden = !status?.trouble;
    this.#trouble.textContent = status?.trouble ? sentence(status.trouble) : '';
    const people = status?.participants ?? [];
    const rows = people.slice(0, MOST_PEOPLE).map((person) => make('li', {}, make('span', { text: person.name }),
      make('span', { text: `${person.kbit_s} kbit/s` }), make('span', { class: person.loss >= 0.02 ? 'bad' : undefined, text: `${(person.loss * 100).toFixed(1)} % lost` })));
    if (people.length > MOST_PEOPLE) rows.push(make('li', {}, make('span', { class: 'quiet', text: `and ${people.length - MOST_PEOPLE} more` })));
    if (isThere && !people.length) rows.push(make('li', {}, make('span', { class: 'quiet', text: 'Nobody is there.' })));
    this.#people.replaceChildren(...rows);
    if (performance.now() - this.#picturedAt >= PICTURE) {
      this.#picturedAt = performance.now();
      await this.#picture();
    }
    this.#age.hidden = !this.#capturedAt;
    if (this.#capturedAt) this.#age.textContent = ago(this.#capturedAt.at).replace(/^[01] s ago$/, 'now') + (this.#capturedAt.of ? ` · ${this.#capturedAt.of}` : '');
  }

  /** A newer picture takes the place of the one before when it can be shown. */
  async #picture() {
    const found = await head(`/v1/recordings/${this.#id}/picture`);
    if (!found) return;
    const tag = found.get('etag');
    this.#capturedAt = { at: found.get('x-captured-at'), of: decodeURIComponent(found.get('x-participant') ?? '') };
    if (tag === this.#tag) return;
    this.#tag = tag;
    const picture = make('video', { src: `/v1/recordings/${this.#id}/picture?${encodeURIComponent(tag)}`, preload: 'auto', playsinline: true, 'aria-hidden': 'true', tabindex: '-1' });
    picture.muted = true;
    picture.addEventListener('loadeddata', () => {
      this.#shot.querySelector('video')?.remove();
      this.#shot.prepend(picture);
    });
    picture.load();
  }
}

/** What has not begun, and what is being finished. */
function others(recordings) {
  const row = (recording, text) => make('tr', {}, make('td', {}, make('a', { href: `#/recordings/${recording.id}`, text: recording.room })),
    make('td', {}, badge(recording.state)), make('td', { class: 'wide', text }));
  const parts = [];
  const before = recordings.filter(({ state }) => ['scheduled', 'queued'].includes(state));
  if (before.length) {
    parts.push(make('h2', { text: 'To begin' }), table(['Room', 'State', 'When'], before.map((recording) => row(recording,
      recording.state === 'queued' ? `waits for room on this machine since ${span(Date.now() - new Date(recording.states.at(-1).at))}` : `begins ${ago(recording.request.start_at)}`))));
  }
  const after = recordings.filter(({ state }) => ['processing', 'uploading'].includes(state));
  if (after.length) {
    parts.push(make('h2', { text: 'Being finished' }), table(['Room', 'State', 'How far'], after.map((recording) => row(recording, lag(recording)))));
  }
  return parts;
}

/** How far a film or an upload is behind the meeting's end. */
function lag({ state, states, outcome, storage }) {
  const since = (name) => states.findLast((change) => change.state === name)?.at;
  const ended = since('stopping') ?? since(state);
  const behind = span(Date.now() - new Date(ended));
  const meeting = outcome ? ` of a meeting of ${length(outcome.duration_ms)}` : '';
  if (state === 'processing') return `the film${meeting} is ${behind} behind its end`;
  return `the upload${outcome ? ` of ${size(outcome.bytes)}` : ''} began ${ago(since('uploading'))}${storage?.problem ? `: ${storage.problem}` : ''}`;
}

function startForm() {
  const url = make('input', { name: 'room_url', required: true, placeholder: 'ws://127.0.0.1:8080/rooms/standup', autocomplete: 'off', spellcheck: 'false' });
  const layout = make('select', { name: 'layout' }, ...['no film', 'auto', 'grid', 'speaker', 'presentation', 'single'].map((name) => make('option', { text: name })));
  return form('Record a room', async () => {
    const outputs = layout.value === 'no film' ? {} : { film: { layout: layout.value } };
    const made = await api('POST', '/v1/recordings', { room_url: url.value.trim(), outputs });
    location.hash = `#/recordings/${made.id}`;
  }, make('label', { class: 'grow', text: 'Room' }, url), make('label', { text: 'Film' }, layout), make('button', { class: 'small main', text: 'Record' }));
}
