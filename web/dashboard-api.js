// Requests to the service's API, and the elements that pages are made of. What peers chose is text, never markup.

/** A refusal of the service, in its own words. */
export class Problem extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the service answered ${status}`);
    this.status = status;
    this.field = problem.field;
  }
}

/** Sends a request and returns the JSON of its answer, or its text. */
export async function api(method, path, body) {
  const headers = { 'x-requested-with': 'roombot' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, { detail: 'The service does not answer.' });
  }
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('json');
  const value = isJson && text ? JSON.parse(text) : text;
  if (!response.ok) throw new Problem(response.status, isJson ? value : {});
  return value;
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
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/** A button that cannot be pressed twice, and tells what went wrong. */
export function button(text, action, kind = '') {
  const pressed = async () => {
    element.disabled = true;
    try {
      await action();
    } catch (problem) {
      toast(problem.message);
    } finally {
      element.disabled = false;
    }
  };
  const element = make('button', { type: 'button', class: `small ${kind}`, text, onclick: pressed });
  return element;
}

/** The state of a recording as a badge. */
export function badge(state) {
  return make('span', { class: 'state', 'data-state': state, text: state });
}

let hide;
/** Shows a message for some seconds. */
export function toast(text) {
  const element = document.getElementById('toast');
  element.textContent = text;
  element.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => { element.hidden = true; }, 6000);
}

export const when = (time) => new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

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

/** The address of a recording's file. */
export const media = (id, path) => `/v1/recordings/${id}/media/${path.split('/').map(encodeURIComponent).join('/')}`;
