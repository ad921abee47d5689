// Requests to the service's API, and the elements that pages are made of. What peers chose is text, never markup.

/** What to do about a refusal, by its status. */
const ADVICE = {
  0: 'Look whether “roombot serve” runs and whether this machine reaches it; this page goes on by itself.',
  403: 'Sign in with a key that may do it.',
  429: 'Wait a moment, then try again.',
  503: 'Try again in a moment.',
};

/** A text of the service as a sentence. */
export function sentence(text) {
  const whole = text.trim();
  const first = whole.charAt(0).toUpperCase() + whole.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/** A refusal of the service, in its own words, and what to do about it. */
export class Problem extends Error {
  constructor(status, problem) {
    const said = sentence(problem.detail ?? `the service answered ${status}`);
    super([problem.field ? `${problem.field}: ${said}` : said, ADVICE[status]].filter(Boolean).join(' '));
    this.status = status;
    this.field = problem.field;
    this.code = problem.code;
  }
}

async function send(method, path, body) {
  const headers = { 'x-requested-with': 'roombot' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  try {
    return await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, { detail: 'the service does not answer' });
  }
}

/** Sends a request and returns the JSON of its answer, or its text. */
export async function api(method, path, body) {
  const response = await send(method, path, body);
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  const value = isJson && text ? JSON.parse(text) : text;
  if (!response.ok) throw new Problem(response.status, isJson ? value : {});
  return value;
}

/** Whether the service has something at this address. */
export async function has(path) {
  const response = await send('HEAD', path).catch(() => undefined);
  return response !== undefined && response.status < 500 && ![403, 404, 405].includes(response.status);
}

/** The head of an answer; undefined where there is none. */
export async function head(path) {
  const response = await send('HEAD', path).catch(() => undefined);
  return response?.ok ? response.headers : undefined;
}

/** An element: `make('a', { href, text, class }, ...children)`; `on…` keys are listeners. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'text') element.textContent = value;
    else if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

/** A button that cannot be pressed twice, and tells what went wrong. */
export function button(text, action, kind = '') {
  const pressed = async () => {
    element.disabled = true;
    try {
      await action();
    } catch (problem) {
      toast(problem.message, true);
    } finally {
      element.disabled = false;
    }
  };
  const element = make('button', { type: 'button', class: `small ${kind}`, text, onclick: pressed });
  return element;
}

/** A form whose refusals are told in it; `submit` sends it. */
export function form(name, submit, ...fields) {
  const problem = make('p', { class: 'problem', role: 'alert', hidden: true });
  const element = make('form', { class: 'form', 'aria-label': name }, ...fields, problem);
  element.addEventListener('submit', async (event) => {
    event.preventDefault();
    const sending = element.querySelector('button');
    sending.disabled = true;
    problem.hidden = true;
    try {
      await submit();
    } catch (refusal) {
      problem.textContent = refusal.message;
      problem.hidden = false;
    } finally {
      sending.disabled = false;
    }
  });
  return element;
}

/** The head of a page: its name, and what can be done on it. */
export const title = (text, ...more) => make('div', { class: 'title' }, make('h1', { text }), ...more);

/** A table: `columns` are names, of numbers with a `#` before; `rows` are `tr`s. Where there are none it says so. */
export function table(columns, rows, none) {
  if (!rows.length) return make('p', { class: 'empty', text: none });
  const heads = columns.map((name) => make('th', { scope: 'col', class: name.startsWith('#') ? 'number' : undefined, text: name.replace('#', '') }));
  return make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': columns[0].replace('#', '') || 'Table' },
    make('table', {}, make('thead', {}, make('tr', {}, ...heads)), make('tbody', {}, ...rows)));
}

/** A number with its name. */
export const figure = (value, text, kind) => make('div', { class: 'figure', 'data-kind': kind }, make('b', { text: value }), make('span', { text }));

/** Puts other elements into a page. Who was on a button or a link there stays on it. */
export function replace(page, ...nodes) {
  const key = (element) => element && `${element.tagName} ${element.getAttribute('href') ?? element.textContent}`;
  const before = page.contains(document.activeElement) && document.activeElement !== page ? key(document.activeElement) : null;
  page.replaceChildren(...nodes.flat().filter(Boolean));
  if (before) [...page.querySelectorAll('a, button')].find((element) => key(element) === before)?.focus({ preventScroll: true });
}

/** Does `look` again and again until the page is left. Failures are tried again. */
export function every(ms, signal, look) {
  let timer;
  const again = async () => {
    await look().catch(() => {});
    if (!signal.aborted) timer = setTimeout(again, ms);
  };
  timer = setTimeout(again, ms);
  signal.addEventListener('abort', () => clearTimeout(timer));
}

/** The state of a recording as a badge. */
export function badge(state) {
  return make('span', { class: 'state', 'data-state': state, text: state });
}

let hide;
/** Shows a message for some seconds. */
export function toast(text, isProblem = false) {
  const element = document.getElementById('toast');
  element.textContent = text;
  element.classList.toggle('bad', isProblem);
  element.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => { element.hidden = true; }, isProblem ? 9000 : 5000);
}

export const when = (time) => new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** A time span in words: `12 s`, `3 min`, `5 h`, `2 days`. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** A time as `3 min ago`, or `in 5 h`. */
export function ago(time) {
  const passed = Date.now() - new Date(time);
  return passed >= 0 ? `${span(passed)} ago` : `in ${span(-passed)}`;
}

/** Milliseconds as `1:02:03`. */
export function length(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${String(m).padStart(2, '0')}:${String(s).padStart(2, '0')}` : `${m}:${String(s).padStart(2, '0')}`;
}

/** A number of bytes as `1.5 MB`. */
export function size(bytes) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) [bytes, unit] = [bytes / 1000, unit + 1];
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** The address of a recording's file, and of its player. */
export const media = (id, path) => `/v1/recordings/${id}/media/${path.split('/').map(encodeURIComponent).join('/')}`;
export const player = (id) => `/v1/recordings/${id}/player`;

/** The two letters that stand for a room where it has no picture, and its colour. */
export function sign(name) {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.length > 1 ? [...words[0]][0] + [...words.at(-1)][0] : [...(words[0] ?? '?')].slice(0, 2).join('');
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  const element = make('span', { class: 'sign', 'aria-hidden': 'true', text: letters.toUpperCase() });
  element.style.setProperty('--hue', hue);
  return element;
}

/** A drawing of `dashboard.html`. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(document.createElementNS('http://www.w3.org/2000/svg', 'use'));
  svg.firstChild.setAttribute('href', `#i-${name}`);
  return svg;
}
