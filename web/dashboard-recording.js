// A recording's page: its player, what can be done with it, what it holds, why it ended.

import { ago, api, badge, button, every, form, icon, length, make, media, player, replace, sentence, sign, size, table, title, toast, when } from './dashboard-api.js';

export const ENDS = ['complete', 'partial', 'failed', 'cancelled', 'expired'];
const LIVE = ['joining', 'waiting', 'recording', 'paused'];
/** Milliseconds between two looks at a recording. */
const LOOK = 2000;

export async function recordingPage({ page, signal, may }, id) {
  let shown;
  const log = make('pre', { hidden: true, tabindex: '0', 'aria-label': 'Log' });
  const look = async () => {
    const [recording, { films }] = await Promise.all([api('GET', `/v1/recordings/${id}`), api('GET', `/v1/recordings/${id}/films`)]);
    const text = JSON.stringify([recording, films]);
    if (text !== shown) {
      // A form that somebody fills in stays as it is.
      const isTyping = page.querySelector('form')?.contains(document.activeElement);
      if (shown && isTyping) return;
      shown = text;
      replace(page, ...parts(recording, films, { mayWrite: may('recordings:write'), mayHook: may('webhooks'), look, log }));
    }
  };
  await look();
  every(LOOK, signal, look);
}

function parts(recording, films, { mayWrite, mayHook, look, log }) {
  const { id, state, outcome, storage } = recording;
  const ended = ENDS.includes(state);
  const showLog = button('Show the log', async () => {
    log.textContent = await api('GET', `/v1/recordings/${id}/logs`) || 'Its processes said nothing.';
    log.hidden = false;
    log.scrollTop = log.scrollHeight;
  });
  const lines = (name, texts) => texts?.length ? [make('h2', { text: name }), make('ul', { class: 'lines' }, ...texts.map((text) => make('li', { text })))] : [];
  return [
    title(recording.room, badge(state)),
    recording.reason ? make('p', { class: state === 'failed' ? 'problem' : 'quiet', text: sentence(recording.reason) + (recording.sub_code ? ` (${recording.sub_code})` : '') }) : undefined,
    make('div', { class: 'overview' }, watch(recording),
      make('div', { class: 'facts' }, facts(recording), mayWrite ? actions(recording, look) : undefined)),
    ...storageParts(storage, recording, mayWrite, look),
    ...lines('Lost', outcome?.losses), ...lines('Warnings', outcome?.warnings),
    ...filmParts(recording, films, mayWrite && ended && state !== 'expired', look),
    ...files(id, state === 'expired' ? [] : outcome?.media ?? []),
    make('h2', { text: 'What happened' }),
    make('ol', { class: 'steps' }, ...recording.states.map((change) => make('li', {},
      make('time', { datetime: change.at, text: when(change.at) }), badge(change.state), make('span', { class: 'quiet', text: change.reason ?? '' })))),
    make('div', { class: 'actions' }, showLog, mayHook ? make('a', { class: 'small', href: `#/webhooks?recording=${id}`, text: 'Its deliveries' }) : undefined), log,
  ];
}

/** What leads to the player. */
function watch({ id, room, state, outcome }) {
  const isThere = state !== 'expired' && (outcome ? outcome.media.some(({ kind }) => kind === 'track' || kind === 'film') : ['recording', 'paused', 'stopping'].includes(state));
  if (!isThere) {
    const why = state === 'expired' ? 'Its media was deleted when its retention was over.' : outcome ? 'Nothing was recorded.' : 'There is nothing to watch yet.';
    return make('div', { class: 'shot none' }, sign(room), make('span', { class: 'age', text: why }));
  }
  const poster = outcome?.media.find(({ path }) => path === 'stills/poster.jpg');
  const text = outcome ? length(outcome.duration_ms) : 'being recorded';
  return make('a', { class: 'shot', href: player(id), 'aria-label': `Watch ${room}` },
    poster ? make('img', { src: media(id, poster.path), alt: '', width: '640', height: '360' }) : sign(room), make('span', { class: 'go' }, icon('play')), make('span', { class: 'age', text }));
}

function facts(recording) {
  const { request, outcome, id } = recording;
  const list = [['Room', request.room_url], ['Project', recording.project], ['Id', id], ['Asked for', when(recording.created_at)]];
  if (request.start_at) list.push(['Begins', when(request.start_at)]);
  if (request.external_id) list.push(['External id', request.external_id]);
  for (const [key, value] of Object.entries(request.metadata ?? {})) list.push([key, value]);
  if (outcome) list.push(['Length', length(outcome.duration_ms)], ['Participants', String(outcome.participants)], ['Size', size(outcome.bytes)]);
  if (recording.parts > 1) list.push(['Parts', `${recording.parts}: its recorder was started again`]);
  if (recording.legal_hold) list.push(['Legal hold', 'its media is not deleted']);
  if (request.retention_days) list.push(['Kept for', `${request.retention_days} days after its end`]);
  return make('dl', {}, ...list.flatMap(([key, value]) => [make('dt', { text: key }), make('dd', { text: value })]));
}

function actions(recording, look) {
  const { id, state, request } = recording;
  const ended = ENDS.includes(state);
  const ask = (verb) => async () => { await api('POST', `/v1/recordings/${id}/${verb}`); await look(); };
  const hold = (on) => async () => { await api('PATCH', `/v1/recordings/${id}`, { legal_hold: on }); await look(); };
  const remove = async () => {
    if (!confirm(`Delete the recording of ${recording.room} with all its media, here and in the store? This cannot be undone.`)) return;
    await api('DELETE', `/v1/recordings/${id}`);
    location.hash = '#/recordings';
  };
  return make('div', { class: 'actions' },
    state === 'recording' ? button('Pause', ask('pause')) : state === 'paused' ? button('Resume', ask('resume')) : undefined,
    LIVE.includes(state) ? button('Stop', ask('stop')) : undefined,
    ended ? button('Record again', () => recordAgain(recording)) : button('Cancel', ask('cancel'), 'danger'),
    state === 'expired' ? undefined : recording.legal_hold ? button('End the legal hold', hold(false)) : button('Legal hold', hold(true)),
    ended && !recording.legal_hold ? button('Delete', remove, 'danger') : undefined);
}

/** Records the same room in the same way once more. Tokens are not given out: one that was wrong is asked for. */
export async function recordAgain({ sub_code: code, request: { start_at: _, ...same } }) {
  if (code === 'token_wrong') {
    const token = prompt('The room’s join token:');
    if (token === null) return;
    if (token) same.token = token;
  }
  location.hash = `#/recordings/${(await api('POST', '/v1/recordings', same)).id}`;
}

const STORES = { store: 'the store', backup_store: 'the backup store' };

function storageParts(storage, { id }, mayWrite, look) {
  if (!storage) return [];
  const where = storage.url ?? STORES[storage.store];
  const texts = {
    uploading: `It is being sent to ${where}.`, stored: `It is in ${where} since ${when(storage.stored_at)}: ${storage.files} files, ${size(storage.bytes)}. ${storage.local ? 'It is on the service’s disk too.' : 'The service’s own disk has it no more.'}`,
    failed: `It could not be stored: ${storage.problem ?? 'the store did not take it'}. All of it is on the service’s disk.`, deleted: 'It was deleted in the store.',
  };
  const again = button('Upload again', async () => {
    await api('POST', `/v1/recordings/${id}/upload`);
    toast('It is being uploaded.');
    await look();
  }, 'main');
  return [make('h2', { text: 'Storage' }), make('p', { class: storage.state === 'failed' ? 'problem' : undefined, text: texts[storage.state] ?? storage.state }),
    storage.state === 'failed' && mayWrite ? make('div', { class: 'actions' }, again) : undefined];
}

const WORDS = { open: 'processing', done: 'complete', failed: 'failed', cancelled: 'cancelled', deleted: 'expired' };

/** What a film was asked to be. */
export const filmWords = ({ layout, size: pixels, fps, codec }) => [layout, pixels, `${fps} fps`, codec].filter(Boolean).join(', ');

function filmParts(recording, films, mayMake, look) {
  const { id, outcome, sub_code: code, request } = recording;
  mayMake &&= outcome?.media.some(({ kind }) => kind === 'track') && (recording.storage?.local !== false || recording.storage.state === 'stored');
  const make_ = async (wanted) => {
    await api('POST', `/v1/recordings/${id}/films`, wanted);
    toast('The film is being made.');
    await look();
  };
  const rows = films.map((film) => make('tr', {},
    make('td', {}, film.path ? make('a', { href: media(id, film.path), download: film.path, text: filmWords(film.request) }) : make('span', { text: filmWords(film.request) })),
    make('td', {}, make('span', { class: 'state', 'data-state': WORDS[film.state], text: film.state })),
    make('td', { class: 'wide', text: film.state === 'open' ? `asked for ${ago(film.created_at)}` : film.reason ?? when(film.ended_at) }),
    make('td', {}, film.state === 'open' && mayMake ? button('Cancel', async () => { await api('DELETE', `/v1/films/${film.id}`); await look(); }, 'danger')
      : film.state === 'failed' && mayMake ? button('Try again', () => make_(film.request)) : undefined)));
  if (!rows.length && !mayMake) return [];
  const layout = make('select', {}, ...['auto', 'grid', 'speaker', 'presentation', 'single'].map((text) => make('option', { text })));
  const pixels = make('select', {}, ...['1280x720', '1920x1080', '640x360'].map((text) => make('option', { text })));
  const ask = form('Make a film', () => make_({ layout: layout.value, size: pixels.value }),
    make('label', { text: 'Layout' }, layout), make('label', { text: 'Size' }, pixels), make('button', { class: 'small main', text: 'Make a film' }));
  return [make('h2', { text: 'Films' }),
    code === 'film_failed' ? make('div', { class: 'problem' }, 'The film that was asked for could not be made; the log says why. ',
      mayMake && request.outputs?.film ? button('Make it again', () => make_(request.outputs.film)) : undefined) : undefined,
    rows.length ? table(['Film', 'State', '', ''], rows, '') : undefined, mayMake ? ask : undefined];
}

function files(id, list) {
  if (!list.length) return [];
  const order = ['film', 'audio', 'participant', 'file', 'track'];
  const rank = ({ kind }) => (order.indexOf(kind) + 1 || order.length + 1);
  const rows = [...list].sort((one, other) => rank(one) - rank(other)).map((file) => make('tr', {},
    make('td', { class: 'wide' }, make('a', { href: media(id, file.path), download: file.path.split('/').pop(), text: file.path })),
    make('td', { text: file.kind }),
    make('td', { class: 'number', text: size(file.bytes) })));
  return [make('h2', { text: 'Files' }), table(['File', 'Kind', '#Size'], rows, '')];
}
