// The list of recordings with its filters.

import { api, badge, button, form, length, make, player, size, table, title, when } from './dashboard-api.js';

const STATES = ['scheduled', 'queued', 'joining', 'waiting', 'recording', 'paused', 'stopping', 'processing', 'uploading', 'complete', 'partial', 'failed', 'cancelled', 'expired'];
const COLUMNS = ['Room', 'State', 'Asked for', '#Length', '#Size', 'Why', ''];

export async function listPage({ page, query }) {
  const room = make('input', { type: 'search', placeholder: 'any', value: query.get('room') ?? '' });
  const external = make('input', { type: 'search', placeholder: 'any', value: query.get('external_id') ?? '' });
  const state = make('select', {}, make('option', { value: '', text: 'any' }), ...STATES.map((name) => make('option', { text: name, selected: name === query.get('state') })));
  const filters = form('Search', async () => {
    const wanted = new URLSearchParams();
    for (const [key, field] of [['room', room], ['external_id', external], ['state', state]]) {
      if (field.value.trim()) wanted.set(key, field.value.trim());
    }
    location.hash = `#/recordings?${wanted}`;
  }, make('label', { class: 'grow', text: 'Room' }, room), make('label', { text: 'External id' }, external), make('label', { text: 'State' }, state),
  make('button', { class: 'small main', text: 'Search' }));
  filters.setAttribute('role', 'search');
  const list = make('div');
  const more = make('div', { class: 'actions' });
  page.replaceChildren(title('Recordings'), filters, list, more);
  const load = async (cursor) => {
    const wanted = new URLSearchParams(query);
    if (cursor) wanted.set('cursor', cursor);
    const { recordings, next_cursor: next } = await api('GET', `/v1/recordings?${wanted}`);
    const rows = recordings.map(row);
    const none = [...query.keys()].length ? 'No recording matches. Rooms and external ids are found by their whole name.' : 'There is no recording yet. Begin one on the page Live.';
    if (cursor) list.querySelector('tbody').append(...rows);
    else list.replaceChildren(table(COLUMNS, rows, none));
    more.replaceChildren(...(next ? [button('More', () => load(next))] : []));
  };
  await load();
}

function row(recording) {
  const { outcome, id } = recording;
  const hasMedia = outcome?.media.some(({ kind }) => kind === 'track') && recording.state !== 'expired';
  return make('tr', {},
    make('td', {}, make('a', { href: `#/recordings/${id}`, text: recording.room })),
    make('td', {}, badge(recording.state)),
    make('td', { text: when(recording.created_at) }),
    make('td', { class: 'number', text: outcome ? length(outcome.duration_ms) : '' }),
    make('td', { class: 'number', text: outcome ? size(outcome.bytes) : '' }),
    make('td', { class: 'wide', text: recording.reason ?? '' }),
    make('td', {}, hasMedia ? make('a', { href: player(id), text: 'Watch' }) : undefined));
}
