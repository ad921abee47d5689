// The dashboard: signs in by a key, and shows the page that the address names behind its `#`.

import { api, has, make, toast } from './dashboard-api.js';
import { botsPage } from './dashboard-bots.js';
import { failuresPage } from './dashboard-failures.js';
import { keysPage } from './dashboard-keys.js';
import { livePage } from './dashboard-live.js';
import { recordingPage } from './dashboard-recording.js';
import { listPage } from './dashboard-recordings.js';
import { schedulesPage } from './dashboard-schedules.js';
import { storagePage } from './dashboard-storage.js';
import { auditPage, workersPage } from './dashboard-system.js';
import { webhooksPage } from './dashboard-webhooks.js';

const login = document.getElementById('login');
const shell = document.getElementById('shell');
const page = document.getElementById('page');
/** Ends what the page shown now does by the clock. */
let leave = new AbortController();
let me;

/** Pages, with the scope that they need; `at`: an address that not every service has. */
const PAGES = [
  { path: '/', name: 'Live', show: livePage, scope: 'recordings:read' },
  { path: '/recordings', name: 'Recordings', show: listPage, scope: 'recordings:read' },
  { path: '/schedules', name: 'Schedules', show: schedulesPage, scope: 'recordings:read' },
  { path: '/bots', name: 'Bots', show: botsPage, scope: 'bots' },
  { path: '/failures', name: 'Failures', show: failuresPage, scope: 'recordings:read' },
  { path: '/webhooks', name: 'Webhooks', show: webhooksPage, scope: 'webhooks' },
  { path: '/storage', name: 'Storage', show: storagePage, scope: 'recordings:read' },
  { path: '/workers', name: 'Workers', show: workersPage, scope: 'admin', at: '/v1/workers' },
  { path: '/keys', name: 'Keys', show: keysPage, scope: 'admin' },
  { path: '/audit', name: 'Audit', show: auditPage, scope: 'admin' },
];
/** The pages that this key sees in this service. */
let pages = [];

/** What keys may do: an administrator everything. */
const may = (scope) => !scope || me.scopes.includes(scope) || me.scopes.includes('admin');

async function route() {
  leave.abort();
  leave = new AbortController();
  const [path, query = ''] = (location.hash.slice(1) || '/').split('?');
  const id = path.match(/^\/recordings\/(rec_[a-z0-9]+)$/)?.[1];
  const known = pages.find((candidate) => candidate.path === path) ?? (path === '/' ? pages[0] : undefined);
  document.querySelector('.top nav').replaceChildren(...pages.map((entry) => {
    const isHere = entry === known || (id && entry.path === '/recordings');
    return make('a', { href: `#${entry.path}`, text: entry.name, 'aria-current': isHere ? 'page' : undefined });
  }));
  document.querySelector('.top nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  document.title = `${known?.name ?? (id ? 'Recording' : 'Recorder')} · Roombot recorder`;
  const context = { page, signal: leave.signal, query: new URLSearchParams(query), may, me };
  try {
    if (id) await recordingPage(context, id);
    else if (known) await known.show(context);
    else page.replaceChildren(make('h1', { text: 'There is no such page' }), make('p', { class: 'quiet' }, make('a', { href: '#/', text: 'Go to the first page' })));
  } catch (problem) {
    // Somebody went on while it was loaded.
    if (context.signal.aborted) return;
    if (problem.status === 401) return signIn();
    const text = problem.status === 404 && id ? 'It may have been deleted, or belong to a project that this key does not see.' : problem.message;
    page.replaceChildren(make('h1', { text: problem.status === 404 && id ? 'There is no such recording' : 'This page cannot be shown' }), make('p', { class: 'problem', role: 'alert', text }),
      make('div', { class: 'actions' }, make('button', { class: 'small', type: 'button', text: 'Try again', onclick: route })));
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
  const isThere = await Promise.all(PAGES.map(async ({ scope, at }) => may(scope) && (!at || has(at))));
  pages = PAGES.filter((_, index) => isThere[index]);
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
    toast(problem.message, true);
  }
  signIn();
});

document.getElementById('skip').addEventListener('click', () => page.focus());
addEventListener('hashchange', () => {
  if (shell.hidden) return;
  scrollTo(0, 0);
  route();
});
addEventListener('unhandledrejection', (event) => {
  if (event.reason?.status === 401) signIn();
});

/** The session that this browser has, or the one that a code in the address begins. The code is good once: it does not stay there. */
async function session() {
  const [path, query = ''] = location.hash.slice(1).split('?');
  const wanted = new URLSearchParams(query);
  const code = wanted.get('code');
  if (code === null) return api('GET', '/v1/session');
  wanted.delete('code');
  history.replaceState(null, '', `#${path}${wanted.size ? `?${wanted}` : ''}`);
  // A page that is opened again may have its session still.
  return api('POST', '/v1/session', { code }).catch((refusal) => api('GET', '/v1/session').catch(() => { throw refusal; }));
}

try {
  await begin(await session());
} catch (problem) {
  signIn();
  if (problem.status !== 401 || problem.code === 'code_wrong') {
    login.querySelector('.problem').textContent = problem.message;
    login.querySelector('.problem').hidden = false;
  }
}
