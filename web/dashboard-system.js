// The machines that record, and who did what.

import { api, button, every, make, replace, span, table, title, toast, when } from './dashboard-api.js';

/** Milliseconds between two looks at the workers. */
const LOOK = 3000;

const STATES = { active: 'complete', draining: 'paused', lost: 'failed' };

export async function workersPage({ page, signal }) {
  const look = async () => {
    const { workers } = await api('GET', '/v1/workers');
    const rows = workers.map((worker) => workerRow(worker, look));
    replace(page, title('Workers'), table(['Worker', 'State', '#Cores in use', '#Recordings', 'Labels', 'Version', 'Heard of', ''], rows,
      'No worker is known. A service on one machine records by itself; others need “roombot serve --role worker” on at least one machine.'));
  };
  await look();
  every(LOOK, signal, look);
}

function workerRow({ id, state, labels, load, capacity, recordings, version, seen_ms: seen }, look) {
  const drain = button('Drain', async () => {
    if (!confirm(`Drain ${id}? It takes no new recording. Those that it has go on to their end; then it can be stopped.`)) return;
    await api('POST', `/v1/workers/${encodeURIComponent(id)}/drain`);
    toast(`${id} takes nothing new.`);
    await look();
  });
  const words = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return make('tr', {}, make('td', { text: id }), make('td', {}, make('span', { class: 'state', 'data-state': STATES[state], text: state })),
    make('td', { class: 'number', text: `${load.toFixed(1)} / ${capacity}` }), make('td', { class: 'number', text: String(recordings) }),
    make('td', { class: 'wide', text: words.join(', ') }), make('td', { text: version }), make('td', { text: `${span(seen)} ago` }), make('td', {}, state === 'active' ? drain : undefined));
}

export async function auditPage({ page }) {
  const list = make('div');
  const more = make('div', { class: 'actions' });
  page.replaceChildren(title('Audit'), make('p', { class: 'quiet', text: 'Who created, changed, stopped or deleted what, the newest first.' }), list, more);
  const load = async (cursor) => {
    const answer = await api('GET', `/v1/audit?${new URLSearchParams(cursor ? { cursor } : {})}`);
    const rows = answer.entries.map(auditRow);
    if (cursor) list.querySelector('tbody').append(...rows);
    else list.replaceChildren(table(['When', 'What', 'Of', 'By', 'Project'], rows, 'Nothing was done yet.'));
    more.replaceChildren(...(answer.next_cursor ? [button('More', () => load(answer.next_cursor))] : []));
  };
  await load();
}

function auditRow({ at, action, object, project, detail, key, key_name: name }) {
  const isRecording = /^rec_[a-z0-9]+$/.test(object);
  return make('tr', {}, make('td', { text: when(at) }), make('td', { text: action }),
    make('td', { class: 'wide' }, isRecording ? make('a', { href: `#/recordings/${object}`, text: object }) : make('span', { text: object }), detail ? make('small', { class: 'code', text: detail }) : undefined),
    make('td', { title: key, text: name ?? key ?? 'the service' }), make('td', { text: project }));
}
