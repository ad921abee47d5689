// What is recorded now: who is in which room, what arrives, and how the machine stands.

import { api, badge, button, length, make, size } from './dashboard-api.js';

const OPEN = 'scheduled,queued,joining,waiting,recording,paused,stopping,processing,uploading';
/** Milliseconds between two looks. */
const LOOK = 1500;

export async function livePage({ page, signal, may }) {
  const figures = make('div', { class: 'figures' });
  const cards = make('div', { class: 'cards' });
  const rest = make('div');
  const parts = [make('div', { class: 'title' }, make('h1', { text: 'Live' })), figures];
  if (may('recordings:write')) parts.push(startForm());
  page.replaceChildren(...parts, cards, rest);
  const shown = new Map();
  const look = async () => {
    const { recordings } = await api('GET', `/v1/recordings?limit=100&state=${OPEN}`);
    await showFigures(figures, recordings);
    const live = recordings.filter((recording) => ['joining', 'waiting', 'recording', 'paused', 'stopping'].includes(recording.state));
    const others = recordings.filter((recording) => !live.includes(recording));
    for (const [id, card] of shown) {
      if (!live.some((recording) => recording.id === id)) {
        card.remove();
        shown.delete(id);
      }
    }
    await Promise.all(live.map(async (recording) => {
      const status = await api('GET', `/v1/recordings/${recording.id}/live`).catch(() => undefined);
      const card = makeCard(recording, status, may('recordings:write'), look);
      const before = shown.get(recording.id);
      if (before) {
        // A button that is being pressed stays.
        if (!before.contains(document.activeElement) && !before.querySelector(':disabled')) {
          before.replaceWith(card);
          shown.set(recording.id, card);
        }
      } else {
        cards.append(card);
        shown.set(recording.id, card);
      }
    }));
    cards.hidden = live.length === 0;
    rest.replaceChildren(...(live.length ? [] : [make('p', { class: 'empty', text: 'Nothing is being recorded.' })]), ...waiting(others));
  };
  await look();
  const timer = setInterval(() => look().catch(() => {}), LOOK);
  signal.addEventListener('abort', () => clearInterval(timer));
}

async function showFigures(figures, recordings) {
  const ready = await api('GET', '/readyz').catch((problem) => ({ problem: problem.message }));
  const count = (...states) => recordings.filter((recording) => states.includes(recording.state)).length;
  const figure = (value, text) => make('div', { class: 'figure' }, make('b', { text: value }), make('span', { text }));
  figures.replaceChildren(
    figure(count('recording', 'paused', 'waiting', 'joining', 'stopping'), 'recorders in rooms'),
    figure(count('queued', 'scheduled'), 'waiting or scheduled'),
    figure(count('processing', 'uploading'), 'films and uploads'),
    ready.problem ? figure('!', ready.problem) : figure(`${ready.load.toFixed(1)} / ${ready.capacity}`, 'cores in use, by cost'),
  );
}

function makeCard(recording, status, mayWrite, look) {
  const { id, state, room } = recording;
  const people = (status?.participants ?? []).map((person) => make('li', {},
    make('span', { text: person.name }),
    make('span', { text: `${person.kbit_s} kbit/s` }),
    make('span', { text: `${(person.loss * 100).toFixed(1)} % lost` })));
  const about = status ? `${length(status.session_ms)} · ${size(status.bytes)}${status.warnings ? ` · ${status.warnings} warnings` : ''}` : 'the recorder connects';
  const ask = (verb) => async () => { await api('POST', `/v1/recordings/${id}/${verb}`); await look(); };
  const actions = mayWrite && state !== 'stopping' ? make('div', { class: 'actions' },
    state === 'paused' ? button('Resume', ask('resume')) : state === 'recording' ? button('Pause', ask('pause')) : undefined,
    button('Stop', ask('stop')),
    button('Cancel', ask('cancel'), 'danger')) : undefined;
  return make('article', { class: 'live', 'aria-label': room },
    make('header', {}, make('a', { href: `#/recordings/${id}`, text: room }), badge(state)),
    make('p', { class: 'quiet', text: about }),
    status?.trouble ? make('p', { class: 'problem', text: status.trouble }) : undefined,
    people.length ? make('ul', {}, ...people) : make('p', { class: 'quiet', text: 'Nobody is there.' }),
    actions);
}

function waiting(recordings) {
  if (!recordings.length) return [];
  const rows = recordings.map((recording) => make('tr', {},
    make('td', {}, make('a', { href: `#/recordings/${recording.id}`, text: recording.room })),
    make('td', {}, badge(recording.state)),
    make('td', { class: 'wide', text: recording.request.start_at ? `begins ${new Date(recording.request.start_at).toLocaleString()}` : recording.reason ?? '' })));
  return [make('h2', { text: 'Before and after' }), make('div', { class: 'scroll' }, make('table', {}, make('tbody', {}, ...rows)))];
}

function startForm() {
  const url = make('input', { name: 'room_url', required: true, placeholder: 'ws://127.0.0.1:8080/rooms/standup', autocomplete: 'off', spellcheck: 'false' });
  const layout = make('select', { name: 'layout' }, ...['no film', 'auto', 'grid', 'speaker', 'presentation', 'single'].map((name) => make('option', { text: name })));
  const problem = make('p', { class: 'problem', role: 'alert', hidden: true });
  const submit = make('button', { class: 'small main', text: 'Record' });
  const form = make('form', { class: 'form', 'aria-label': 'Record a room' },
    make('label', { class: 'grow', text: 'Room' }, url), make('label', { text: 'Film' }, layout), submit, problem);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.hidden = true;
    try {
      const outputs = layout.value === 'no film' ? {} : { film: { layout: layout.value } };
      const made = await api('POST', '/v1/recordings', { room_url: url.value.trim(), outputs });
      location.hash = `#/recordings/${made.id}`;
    } catch (refusal) {
      problem.textContent = refusal.message;
      problem.hidden = false;
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}
