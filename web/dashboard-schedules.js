// Schedules: rooms that are recorded at the times of a cron expression.

import { ago, api, button, every, form, make, replace, table, title, toast, when } from './dashboard-api.js';

/** Milliseconds between two looks. */
const LOOK = 4000;

export async function schedulesPage({ page, signal, may }) {
  const mayWrite = may('recordings:write');
  const [list, more] = [make('div'), make('div', { class: 'actions' })];
  let cursors = [undefined];
  let shown;
  const look = async () => {
    const pages = await Promise.all(cursors.map((cursor) => api('GET', `/v1/schedules?${new URLSearchParams(cursor ? { cursor } : {})}`)));
    const schedules = pages.flatMap((one) => one.schedules);
    // Times are told as `in 5 min`: they change by themselves.
    const text = JSON.stringify([schedules, Math.floor(Date.now() / 60000)]);
    if (text === shown || signal.aborted) return;
    shown = text;
    replace(list, table(['Schedule', 'State', 'When', 'Next', 'Last', ''], schedules.map((one) => row(one, mayWrite, look)), 'There is no schedule. One makes a recording at each of its times.'));
    const next = pages.at(-1).next_cursor;
    replace(more, next ? button('More', async () => { cursors = [...cursors, next]; await look(); }) : undefined);
  };
  page.replaceChildren(...[title('Schedules'), mayWrite ? addForm(look) : undefined, list, more].filter(Boolean));
  await look();
  every(LOOK, signal, look);
}

function row({ id, request, next_at: next, last, last_missed: missed }, mayWrite, look) {
  const { name, cron, time_zone: zone, duration_s: length, enabled, recording } = request;
  const change = button(enabled ? 'Disable' : 'Enable', async () => {
    await api('PATCH', `/v1/schedules/${id}`, { enabled: !enabled });
    await look();
  });
  const remove = button('Delete', async () => {
    if (!confirm(`Delete the schedule ${name}? Recordings that it made stay.`)) return;
    await api('DELETE', `/v1/schedules/${id}`);
    await look();
  }, 'danger');
  const minutes = length >= 90 ? `${Math.round(length / 60)} min` : `${length} s`;
  return make('tr', {}, make('td', {}, make('b', { text: name }), make('small', { class: 'code', text: recording.room_url })),
    make('td', {}, make('span', { class: 'state', 'data-state': enabled ? 'complete' : 'paused', text: enabled ? 'enabled' : 'disabled' })),
    make('td', {}, make('code', { text: cron }), make('small', { class: 'code', text: `${zone}, ${minutes} at most` })),
    make('td', { title: next ? when(next) : undefined, text: next ? ago(next) : enabled ? 'never again' : '' }),
    make('td', { class: 'wide' }, last ? make('a', { href: `#/recordings/${last.recording}`, title: when(last.at), text: ago(last.at) }) : undefined,
      missed ? make('small', { class: 'code', text: `${missed.count} missed, the last ${ago(missed.at)}: the service did not run` }) : undefined),
    make('td', {}, mayWrite ? make('div', { class: 'actions' }, change, remove) : undefined));
}

function addForm(look) {
  const name = make('input', { required: true, maxlength: '64', autocomplete: 'off', placeholder: 'Daily standup' });
  const url = make('input', { required: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'ws://127.0.0.1:8080/rooms/standup' });
  const cron = make('input', { required: true, autocomplete: 'off', spellcheck: 'false', placeholder: '30 9 * * MON-FRI', title: 'Minute, hour, day of the month, month, day of the week' });
  const zone = make('input', { required: true, autocomplete: 'off', spellcheck: 'false', value: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC' });
  const minutes = make('input', { type: 'number', required: true, min: '1', max: '10080', value: '60' });
  const layout = make('select', {}, ...['no film', 'auto', 'grid', 'speaker', 'presentation', 'single'].map((text) => make('option', { text })));
  const element = form('Add a schedule', async () => {
    const outputs = layout.value === 'no film' ? {} : { film: { layout: layout.value } };
    const made = await api('POST', '/v1/schedules', {
      name: name.value.trim(), cron: cron.value.trim(), time_zone: zone.value.trim(), duration_s: Number(minutes.value) * 60,
      recording: { room_url: url.value.trim(), outputs },
    });
    toast(made.next_at ? `It records ${ago(made.next_at)}.` : 'It has no time to come.');
    [name, cron].forEach((field) => { field.value = ''; });
    await look();
  }, make('label', { text: 'Name' }, name), make('label', { class: 'grow', text: 'Room' }, url), make('label', { text: 'Times (cron)' }, cron), make('label', { text: 'Time zone' }, zone),
  make('label', { text: 'Minutes at most' }, minutes), make('label', { text: 'Film' }, layout), make('button', { class: 'small main', text: 'Add a schedule' }));
  return element;
}
