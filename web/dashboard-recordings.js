// Recordings: the list with its filters, and a page for each with what it holds and why it ended.

import { api, badge, button, length, make, media, size, when } from './dashboard-api.js';

const STATES = ['scheduled', 'queued', 'joining', 'waiting', 'recording', 'paused', 'stopping', 'processing', 'uploading', 'complete', 'partial', 'failed', 'cancelled', 'expired'];
const ENDS = ['complete', 'partial', 'failed', 'cancelled', 'expired'];
const LIVE = ['joining', 'waiting', 'recording', 'paused'];
/** Milliseconds between two looks at a recording that has not ended. */
const LOOK = 2000;

export async function listPage({ page, query }) {
  const room = make('input', { type: 'search', placeholder: 'any', value: query.get('room') ?? '' });
  const external = make('input', { type: 'search', placeholder: 'any', value: query.get('external_id') ?? '' });
  const state = make('select', {}, make('option', { value: '', text: 'any' }), ...STATES.map((name) => make('option', { text: name, selected: name === query.get('state') })));
  const filters = make('form', { class: 'filters', role: 'search' },
    make('label', { text: 'Room' }, room), make('label', { text: 'External id' }, external), make('label', { text: 'State' }, state),
    make('button', { class: 'small', text: 'Search' }));
  const body = make('tbody');
  const more = make('div', { class: 'actions' });
  const table = make('div', { class: 'scroll' }, make('table', {},
    make('thead', {}, make('tr', {}, ...['Room', 'State', 'Asked for', 'Length', 'Size', 'Why'].map((text) => make('th', { text, class: ['Length', 'Size'].includes(text) ? 'number' : undefined })))), body));
  page.replaceChildren(make('div', { class: 'title' }, make('h1', { text: 'Recordings' })), filters, table, more);
  filters.addEventListener('submit', (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams();
    for (const [key, field] of [['room', room], ['external_id', external], ['state', state]]) {
      if (field.value.trim()) wanted.set(key, field.value.trim());
    }
    location.hash = `#/recordings?${wanted}`;
  });
  const load = async (cursor) => {
    const wanted = new URLSearchParams(query);
    if (cursor) wanted.set('cursor', cursor);
    const { recordings, next_cursor: next } = await api('GET', `/v1/recordings?${wanted}`);
    body.append(...recordings.map(row));
    if (!body.childElementCount) table.replaceChildren(make('p', { class: 'empty', text: 'No recording matches.' }));
    more.replaceChildren(...(next ? [button('More', () => load(next))] : []));
  };
  await load();
}

function row(recording) {
  const { outcome } = recording;
  return make('tr', {},
    make('td', {}, make('a', { href: `#/recordings/${recording.id}`, text: recording.room })),
    make('td', {}, badge(recording.state)),
    make('td', { text: when(recording.created_at) }),
    make('td', { class: 'number', text: outcome ? length(outcome.duration_ms) : '' }),
    make('td', { class: 'number', text: outcome ? size(outcome.bytes) : '' }),
    make('td', { class: 'wide', text: recording.reason ?? '' }));
}

export async function recordingPage({ page, signal, may }, id) {
  let shown;
  const look = async () => {
    const recording = await api('GET', `/v1/recordings/${id}`);
    const text = JSON.stringify(recording);
    // A film that plays is not begun anew because nothing changed.
    if (text !== shown) {
      shown = text;
      page.replaceChildren(...await parts(recording, may('recordings:write'), look));
    }
    return ENDS.includes(recording.state);
  };
  if (await look()) return;
  const timer = setInterval(async () => {
    if (await look().catch(() => false)) clearInterval(timer);
  }, LOOK);
  signal.addEventListener('abort', () => clearInterval(timer));
}

async function parts(recording, mayWrite, look) {
  const { id, state, request, outcome } = recording;
  const ended = ENDS.includes(state);
  const ask = (verb) => async () => { await api('POST', `/v1/recordings/${id}/${verb}`); await look(); };
  const remove = async () => {
    if (!confirm('Delete this recording with all its media?')) return;
    await api('DELETE', `/v1/recordings/${id}`);
    location.hash = '#/recordings';
  };
  const again = async () => {
    const { start_at: _, ...same } = request;
    location.hash = `#/recordings/${(await api('POST', '/v1/recordings', same)).id}`;
  };
  const actions = mayWrite ? make('div', { class: 'actions' },
    state === 'recording' ? button('Pause', ask('pause')) : state === 'paused' ? button('Resume', ask('resume')) : undefined,
    LIVE.includes(state) ? button('Stop', ask('stop')) : undefined,
    ended ? button('Record again', again) : button('Cancel', ask('cancel'), 'danger'),
    ended ? button('Delete', remove, 'danger') : undefined) : undefined;
  const film = outcome?.media.find((file) => file.kind === 'film');
  const facts = [['Room', request.room_url], ['Project', recording.project], ['Id', id]];
  if (request.external_id) facts.push(['External id', request.external_id]);
  for (const [key, value] of Object.entries(request.metadata ?? {})) facts.push([key, value]);
  if (outcome) facts.push(['Length', length(outcome.duration_ms)], ['Participants', String(outcome.participants)], ['Size', size(outcome.bytes)]);
  if (recording.parts > 1) facts.push(['Parts', `${recording.parts}: its recorder was started again`]);
  const lines = (title, texts) => texts?.length ? [make('h2', { text: title }), make('ul', {}, ...texts.map((text) => make('li', { text })))] : [];
  const log = make('pre', { text: '', hidden: true });
  const showLog = button('Show the log', async () => {
    log.textContent = await api('GET', `/v1/recordings/${id}/logs`) || 'Its processes said nothing.';
    log.hidden = false;
  });
  return [
    make('div', { class: 'title' }, make('h1', { text: recording.room }), badge(state), actions),
    recording.reason ? make('p', { class: state === 'failed' ? 'problem' : 'quiet', text: `${recording.reason}${recording.sub_code ? ` (${recording.sub_code})` : ''}` }) : undefined,
    film && ended ? make('video', { src: media(id, film.path), controls: true, preload: 'metadata' }) : undefined,
    make('dl', {}, ...facts.flatMap(([key, value]) => [make('dt', { text: key }), make('dd', { text: value })])),
    ...lines('Lost', outcome?.losses), ...lines('Warnings', outcome?.warnings),
    ...files(id, outcome?.media ?? []),
    make('h2', { text: 'What happened' }),
    make('ol', { class: 'steps' }, ...recording.states.map((change) => make('li', {},
      make('time', { datetime: change.at, text: when(change.at) }), badge(change.state), make('span', { class: 'quiet', text: change.reason ?? '' })))),
    make('div', { class: 'actions' }, showLog), log,
  ].filter(Boolean);
}

function files(id, list) {
  if (!list.length) return [];
  const rows = list.map((file) => make('tr', {},
    make('td', { class: 'wide' }, make('a', { href: media(id, file.path), download: file.path.split('/').pop(), text: file.path })),
    make('td', { text: file.kind }),
    make('td', { class: 'number', text: size(file.bytes) })));
  return [make('h2', { text: 'Files' }), make('div', { class: 'scroll' }, make('table', {}, make('tbody', {}, ...rows)))];
}
