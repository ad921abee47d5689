// Bots: filters, echoes and feeds that the service runs in rooms.

import { ago, api, button, every, form, make, replace, sentence, table, title, toast, when } from './dashboard-api.js';

/** Milliseconds between two looks. */
const LOOK = 2000;
/** The looks of states. */
const STATES = { running: 'complete', stopping: 'processing', failed: 'failed' };
/** What each kind is asked besides, and an example. */
const KINDS = { filter: ['Video filter', 'blur'], echo: undefined, feed: ['Video', 'pattern:ball'] };

export async function botsPage({ page, signal }) {
  const [list, more] = [make('div'), make('div', { class: 'actions' })];
  const log = make('pre', { hidden: true, tabindex: '0', 'aria-label': 'Log' });
  let cursors = [undefined];
  let shown;
  const look = async () => {
    const pages = await Promise.all(cursors.map((cursor) => api('GET', `/v1/bots?${new URLSearchParams(cursor ? { cursor } : {})}`)));
    const bots = pages.flatMap((one) => one.bots);
    const text = JSON.stringify([bots, Math.floor(Date.now() / 60000)]);
    if (text === shown || signal.aborted) return;
    shown = text;
    replace(list, table(['Bot', 'State', 'Room', 'What', 'Since', ''], bots.map((bot) => row(bot, log, look)), 'There is no bot. One joins a room to filter, echo or send media.'));
    const next = pages.at(-1).next_cursor;
    replace(more, next ? button('More', async () => { cursors = [...cursors, next]; await look(); }) : undefined);
  };
  page.replaceChildren(title('Bots'), startForm(look), list, more, log);
  await look();
  every(LOOK, signal, look);
}

/** What a bot was asked to do. */
function task({ kind, filter, feed }) {
  if (kind === 'filter') return [filter?.video?.name, filter?.audio?.name].filter(Boolean).join(', ') || 'nothing';
  if (kind === 'feed') return [feed?.media, feed?.video, feed?.audio, feed?.stamp && `stamp ${feed.stamp}`, ...(feed?.screen ?? [])].filter(Boolean).join(', ');
  return 'sends back what it gets';
}

function row(bot, log, look) {
  const { id, state, room, request, reason, reason_code: code, starts, joined_at: joined, ended_at: ended, created_at: made } = bot;
  const hasEnded = ['ended', 'failed'].includes(state);
  const stop = button('Stop', async () => {
    await api('POST', `/v1/bots/${id}/stop`);
    await look();
  });
  const forget = button('Forget', async () => {
    await api('DELETE', `/v1/bots/${id}`);
    await look();
  }, 'danger');
  const showLog = button('Log', async () => {
    log.textContent = await api('GET', `/v1/bots/${id}/logs`) || 'Its process said nothing.';
    log.hidden = false;
    log.scrollIntoView({ block: 'nearest' });
  });
  const since = ended ?? joined ?? made;
  const trouble = reason && state === 'failed' ? sentence(reason) : starts > 1 ? `Started ${starts} times.` : '';
  return make('tr', {}, make('td', {}, make('b', { text: request.name || request.kind }), make('small', { class: 'code', text: request.kind })),
    make('td', {}, make('span', { class: 'state', 'data-state': STATES[state], title: code, text: state })),
    make('td', { title: request.room_url, text: room }), make('td', { class: 'wide' }, task(request), trouble ? make('small', { class: 'code', text: trouble }) : undefined),
    make('td', { title: when(since), text: ago(since) }),
    make('td', {}, make('div', { class: 'actions' }, hasEnded ? forget : state === 'stopping' ? undefined : stop, showLog)));
}

function startForm(look) {
  const kind = make('select', { name: 'kind' }, ...Object.keys(KINDS).map((text) => make('option', { text })));
  const url = make('input', { required: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'ws://127.0.0.1:8080/rooms/standup' });
  const name = make('input', { maxlength: '64', autocomplete: 'off', placeholder: 'its name in the room' });
  const what = make('input', { autocomplete: 'off', spellcheck: 'false' });
  const words = make('span');
  const label = make('label', {}, words, what);
  const ask = () => {
    const wanted = KINDS[kind.value];
    label.hidden = !wanted;
    what.required = Boolean(wanted);
    what.value = '';
    [words.textContent, what.placeholder] = wanted ?? ['', ''];
  };
  kind.addEventListener('change', ask);
  ask();
  return form('Start a bot', async () => {
    const text = what.value.trim();
    const own = { filter: { filter: { video: { name: text } } }, echo: {}, feed: { feed: { video: text } } }[kind.value];
    await api('POST', '/v1/bots', { kind: kind.value, room_url: url.value.trim(), ...(name.value.trim() ? { name: name.value.trim() } : {}), ...own });
    toast('The bot is on its way.');
    await look();
  }, make('label', { text: 'Kind' }, kind), make('label', { class: 'grow', text: 'Room' }, url), label, make('label', { text: 'Name' }, name), make('button', { class: 'small main', text: 'Start a bot' }));
}
