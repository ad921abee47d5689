// The dashboard: signs in by a key, and shows the page that the address names behind its `#`.

import { api, make, toast } from './dashboard-api.js';
import { livePage } from './dashboard-live.js';
import { listPage, recordingPage } from './dashboard-recordings.js';
import { keysPage } from './dashboard-keys.js';

const login = document.getElementById('login');
const shell = document.getElementById('shell');
const page = document.getElementById('page');
/** Ends what the page shown now does by the clock. */
let leave = new AbortController();
let me;

const PAGES = [
  { path: '/', name: 'Live', show: livePage },
  { path: '/recordings', name: 'Recordings', show: listPage },
  { path: '/keys', name: 'Keys', show: keysPage, scope: 'admin' },
];

/** What keys may do: an administrator everything. */
const may = (scope) => !scope || me.scopes.includes(scope) || me.scopes.includes('admin');

async function route() {
  leave.abort();
  leave = new AbortController();
  const [path, query = ''] = (location.hash.slice(1) || '/').split('?');
  const id = path.match(/^\/recordings\/(rec_[a-z0-9]+)$/)?.[1];
  const known = PAGES.find((candidate) => candidate.path === path && may(candidate.scope));
  document.querySelector('.top nav').replaceChildren(...PAGES.filter((entry) => may(entry.scope)).map((entry) => {
    const isHere = entry === known || (id && entry.path === '/recordings');
    return make('a', { href: `#${entry.path}`, text: entry.name, 'aria-current': isHere ? 'page' : undefined });
  }));
  const context = { page, signal: leave.signal, query: new URLSearchParams(query), may, me };
  try {
    if (id) await recordingPage(context, id);
    else if (known) await known.show(context);
    else page.replaceChildren(make('h1', { text: 'There is no such page' }));
  } catch (problem) {
    if (problem.status === 401) return signIn();
    page.replaceChildren(make('h1', { text: 'This page cannot be shown' }), make('p', { class: 'problem', role: 'alert', text: problem.message }));
  }
  page.focus({ preventScroll: true });
}

function signIn() {
  leave.abort();
  shell.hidden = true;
  login.hidden = false;
  document.getElementById('key').focus();
}

async function begin(account) {
  me = account;
  login.hidden = true;
  shell.hidden = false;
  await route();
}

login.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const key = document.getElementById('key');
  const problem = login.querySelector('.problem');
  problem.hidden = true;
  try {
    const account = await api('POST', '/v1/session', { key: key.value });
    key.value = '';
    await begin(account);
  } catch (refusal) {
    problem.textContent = refusal.message;
    problem.hidden = false;
  }
});

document.getElementById('sign-out').addEventListener('click', async () => {
  try {
    await api('DELETE', '/v1/session');
  } catch (problem) {
    toast(problem.message);
  }
  signIn();
});

addEventListener('hashchange', () => { if (!shell.hidden) route(); });
addEventListener('unhandledrejection', (event) => {
  if (event.reason?.status === 401) signIn();
});

try {
  await begin(await api('GET', '/v1/session'));
} catch {
  signIn();
}
