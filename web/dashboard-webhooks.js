// Webhooks and their deliveries: what arrived, what is on its way, what was given up; tests, secrets, redelivery.

import { ago, api, button, every, figure, form, make, replace, sentence, span, table, title, toast, when } from './dashboard-api.js';

/** Milliseconds between two looks at deliveries. */
const LOOK = 3000;
const FILTERS = [['', 'All'], ['pending,waiting', 'On their way'], ['delivered', 'Delivered'], ['dead', 'Dead letters']];
const SHOWN = { pending: 'on its way', waiting: 'waiting', delivered: 'delivered', dead: 'given up' };
/** The shorter names of some groups of events, for the form. */
const EVENTS = ['recording.started', 'recording.completed', 'recording.failed', 'recording.film_ready', 'recording.uploaded', 'recording.participant_joined', 'recording.participant_left', 'chat.message', 'file.received', 'worker.lost'];

export async function webhooksPage({ page, signal, query, may }) {
  const [figures, endpoints, secret, list, more] = [make('div', { class: 'figures' }), make('div', { class: 'stack' }), make('div'), make('div'), make('div', { class: 'actions' })];
  const [state, recording, webhook] = ['state', 'recording', 'webhook'].map((key) => query.get(key) ?? '');
  const link = (wanted) => {
    const next = new URLSearchParams([...query, ...Object.entries(wanted)].reduce((all, [key, value]) => all.set(key, value), new Map()));
    for (const [key, value] of [...next]) if (!value) next.delete(key);
    return `#/webhooks?${next}`;
  };
  const tabs = make('nav', { class: 'choice', 'aria-label': 'Deliveries by state' }, ...FILTERS.map(([value, text]) => make('a', { href: link({ state: value }), text, 'aria-current': value === state ? 'true' : undefined })));
  const narrowed = recording || webhook ? make('p', { class: 'quiet' }, recording ? 'Deliveries of one recording only. ' : 'Deliveries to one webhook only. ', make('a', { href: link({ recording: '', webhook: '' }), text: 'Show all' })) : undefined;
  page.replaceChildren(...[title('Webhooks'), may('admin') ? figures : undefined, endpoints, secret, addForm(secret, () => showEndpoints()),
    make('div', { class: 'title' }, make('h2', { text: 'Deliveries' }), tabs), narrowed, list, more].filter(Boolean));

  let known = new Map();
  const showEndpoints = async () => {
    const { webhooks } = await api('GET', '/v1/webhooks');
    known = new Map(webhooks.map((one) => [one.id, one]));
    const cards = webhooks.map((one) => endpoint(one, { secret, look: showEndpoints, link }));
    replace(endpoints, ...(cards.length ? cards : [make('div', { class: 'empty' }, make('p', { text: 'There is no webhook.' }), make('p', { class: 'quiet', text: 'Add one below, and the service sends what happens to recordings to your program, signed and in order.' }))]));
  };
  const showFigures = async () => {
    const { delivered, failed, dead, undone, lag_ms: lag } = await api('GET', '/v1/deliveries/figures');
    figures.replaceChildren(figure(String(delivered), 'delivered'), figure(String(undone), undone ? `on their way, the oldest for ${span(lag)}` : 'on their way'),
      figure(String(failed), 'attempts that failed'), figure(String(dead), 'given up so far', dead ? 'bad' : undefined));
  };
  let cursors = [undefined];
  let shown;
  const showDeliveries = async () => {
    const pages = await Promise.all(cursors.map((cursor) => {
      const wanted = new URLSearchParams(Object.entries({ state, recording, webhook, cursor }).filter(([, value]) => value));
      return api('GET', `/v1/deliveries?${wanted}`);
    }));
    const deliveries = pages.flatMap((one) => one.deliveries);
    const text = JSON.stringify(deliveries);
    if (text === shown || list.querySelector('details[open]')) return;
    shown = text;
    const none = state === 'dead' ? 'Nothing was given up.' : state === 'pending,waiting' ? 'Nothing is on its way.' : 'Nothing was sent yet.';
    replace(list, table(['Event', 'To', 'State', '#Tries', 'Last answer', 'When', ''], deliveries.map((one) => deliveryRow(one, known, showDeliveries)), none));
    const next = pages.at(-1).next_cursor;
    replace(more, next ? button('More', async () => { cursors = [...cursors, next]; await showDeliveries(); }) : undefined);
  };
  await Promise.all([showEndpoints(), may('admin') ? showFigures() : undefined]);
  await showDeliveries();
  every(LOOK, signal, () => Promise.all([showDeliveries(), may('admin') ? showFigures() : undefined]));
}

/** How a test went. */
function tested({ state, status, problem }) {
  if (state === 'delivered') return ['The test arrived.', false];
  if (state === 'dead') return [`The test did not arrive: ${sentence(problem ?? `the endpoint answered ${status}`)}`, true];
  return ['The endpoint has not answered yet: look below.', true];
}

function endpoint(webhook, { secret, look, link }) {
  const { id, url, project, description, events, disabled, disabled_reason: reason, rotating_until: until } = webhook;
  const result = make('p', { role: 'status', hidden: true });
  const test = button('Send a test', async () => {
    const [text, isBad] = tested(await api('POST', `/v1/webhooks/${id}/ping`));
    result.className = isBad ? 'problem' : 'fine';
    result.textContent = text;
    result.hidden = false;
  });
  const rotate = button('New secret', async () => {
    if (!confirm(`Make a new secret for ${url}? Deliveries are signed with the old one as well for a day.`)) return;
    showSecret(secret, url, await api('POST', `/v1/webhooks/${id}/rotate`, {}));
    await look();
  });
  const change = button(disabled ? 'Enable' : 'Disable', async () => { await api('PATCH', `/v1/webhooks/${id}`, { disabled: !disabled }); await look(); });
  const again = button('Send dead letters again', async () => {
    const { redelivered } = await api('POST', `/v1/webhooks/${id}/redeliver`);
    toast(redelivered ? `${redelivered} ${redelivered === 1 ? 'delivery is' : 'deliveries are'} on the way again.` : 'Nothing was given up.');
  });
  const remove = button('Delete', async () => {
    if (!confirm(`Delete the webhook ${url}? What is on its way to it is given up.`)) return;
    await api('DELETE', `/v1/webhooks/${id}`);
    await look();
  }, 'danger');
  return make('article', { class: 'endpoint', 'aria-label': url },
    make('header', {}, make('b', { text: url }), make('span', { class: 'state', 'data-state': disabled ? 'paused' : 'complete', text: disabled ? 'disabled' : 'enabled' })),
    description ? make('p', { text: description }) : undefined,
    make('p', { class: 'quiet', text: [`Project ${project}`, events.length ? events.join(', ') : 'all events', until ? `two secrets until ${when(until)}` : ''].filter(Boolean).join(' · ') }),
    reason ? make('p', { class: 'problem', text: `It was disabled: ${reason.replace(/\.$/, '')}. Mend the endpoint, send a test, then enable it.` }) : undefined,
    result, make('div', { class: 'actions' }, test, disabled ? undefined : again, rotate, change, make('a', { class: 'small', href: link({ webhook: id }), text: 'Its deliveries' }), remove));
}

function showSecret(place, url, { secret }) {
  const copy = button('Copy', async () => {
    await navigator.clipboard.writeText(secret);
    toast('The secret is copied.');
  });
  place.replaceChildren(make('p', { class: 'secret', role: 'status' }, `The secret of ${url} is shown once. Your program checks signatures with it: `, make('code', { text: secret }), ' ', copy));
}

function addForm(secret, look) {
  const url = make('input', { type: 'url', required: true, placeholder: 'https://example.org/hooks/roombot', autocomplete: 'off', spellcheck: 'false' });
  const description = make('input', { maxlength: '500', placeholder: 'what it is for', autocomplete: 'off' });
  const boxes = EVENTS.map((name) => make('input', { type: 'checkbox', value: name }));
  const chosen = make('details', { class: 'events' }, make('summary', { text: 'Only some events' }), make('div', { class: 'checks' }, ...boxes.map((box) => make('label', { class: 'check' }, box, make('span', { text: box.value })))));
  const element = form('Add a webhook', async () => {
    const made = await api('POST', '/v1/webhooks', { url: url.value.trim(), description: description.value.trim(), events: boxes.filter((box) => box.checked).map((box) => box.value) });
    showSecret(secret, made.url, made);
    element.reset();
    await look();
  }, make('label', { class: 'grow', text: 'Address' }, url), make('label', { class: 'grow', text: 'Description' }, description), make('button', { class: 'small main', text: 'Add a webhook' }), chosen);
  return element;
}

function deliveryRow(delivery, known, look) {
  const { id, type, recording, url, webhook, state, attempts, status, problem, created_at: made, next_attempt_at: next } = delivery;
  const host = (() => { try { return new URL(url).host; } catch { return url; } })();
  const to = known.get(webhook)?.description || host;
  const again = ['delivered', 'dead'].includes(state) ? button('Send again', async () => {
    await api('POST', `/v1/deliveries/${id}/redeliver`);
    toast('It is on its way again.');
    await look();
  }) : undefined;
  const body = make('pre', { tabindex: '0', text: 'Loading…' });
  const details = make('details', {}, make('summary', { text: type }), body);
  details.addEventListener('toggle', async () => {
    if (!details.open) return;
    try {
      body.textContent = JSON.stringify((await api('GET', `/v1/deliveries/${id}`)).body, null, 2);
    } catch (refusal) {
      body.textContent = refusal.message;
    }
  });
  const answer = [status ? `HTTP ${status}` : '', problem && !(status && problem.includes(status)) ? sentence(problem) : '', state === 'pending' && attempts && next ? `Next try ${ago(next)}.` : ''];
  return make('tr', { 'data-state': state }, make('td', { class: 'detail' }, details, recording ? make('a', { href: `#/recordings/${recording}`, class: 'under', text: 'Recording' }) : undefined),
    make('td', { title: url, text: to }), make('td', {}, make('span', { class: 'state', 'data-state': { delivered: 'complete', dead: 'failed', pending: 'processing' }[state], text: SHOWN[state] ?? state })),
    make('td', { class: 'number', text: String(attempts) }), make('td', { class: 'wide', text: answer.filter(Boolean).join(' · ') }), make('td', { title: when(made), text: ago(made) }), make('td', {}, again));
}
