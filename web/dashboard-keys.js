// API keys: made, listed, revoked.

import { api, button, make, when } from './dashboard-api.js';

const SCOPES = ['recordings:read', 'recordings:write', 'admin'];

export async function keysPage({ page, me }) {
  const made = make('div');
  const body = make('tbody');
  const look = async () => {
    const { keys } = await api('GET', '/v1/keys');
    body.replaceChildren(...keys.map((key) => make('tr', {},
      make('td', { text: key.name }), make('td', { text: key.project }), make('td', { class: 'wide', text: key.scopes.join(', ') }),
      make('td', { text: when(key.created_at) }),
      make('td', {}, key.revoked_at ? make('span', { class: 'quiet', text: `revoked ${when(key.revoked_at)}` })
        : key.id === me.id ? make('span', { class: 'quiet', text: 'this session' })
          : button('Revoke', async () => {
            if (!confirm(`Revoke the key ${key.name}? What uses it is refused from now on.`)) return;
            await api('DELETE', `/v1/keys/${key.id}`);
            await look();
          }, 'danger')))));
  };
  page.replaceChildren(make('div', { class: 'title' }, make('h1', { text: 'Keys' })), form(made, look), made,
    make('div', { class: 'scroll' }, make('table', {},
      make('thead', {}, make('tr', {}, ...['Name', 'Project', 'May', 'Made', ''].map((text) => make('th', { text })))), body)));
  await look();
}

function form(made, look) {
  const name = make('input', { required: true, maxlength: '64', autocomplete: 'off' });
  const project = make('input', { required: true, maxlength: '64', value: 'default', pattern: '[A-Za-z0-9_\\-]+' });
  const scopes = SCOPES.map((scope) => make('input', { type: 'checkbox', value: scope, checked: scope !== 'admin' }));
  const problem = make('p', { class: 'problem', role: 'alert', hidden: true });
  const element = make('form', { class: 'form', 'aria-label': 'Make a key' },
    make('label', { class: 'grow', text: 'Name' }, name), make('label', { text: 'Project' }, project),
    ...scopes.map((box) => make('label', { class: 'check' }, box, make('span', { text: box.value }))),
    make('button', { class: 'small main', text: 'Make a key' }), problem);
  element.addEventListener('submit', async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      const chosen = scopes.filter((box) => box.checked).map((box) => box.value);
      const key = await api('POST', '/v1/keys', { name: name.value, project: project.value, scopes: chosen });
      made.replaceChildren(make('p', { class: 'secret' }, 'This key is shown once: ', make('code', { text: key.secret })));
      name.value = '';
      await look();
    } catch (refusal) {
      problem.textContent = refusal.message;
      problem.hidden = false;
    }
  });
  return element;
}
