// API keys: made, listed, revoked.

import { api, button, form, make, table, title, toast, when } from './dashboard-api.js';

const SCOPES = { 'recordings:read': 'see recordings', 'recordings:write': 'record, stop, delete', bots: 'bots', checks: 'checks', webhooks: 'webhooks and deliveries', admin: 'everything, in all projects' };

export async function keysPage({ page, me }) {
  const made = make('div');
  const list = make('div');
  const look = async () => {
    const { keys } = await api('GET', '/v1/keys');
    list.replaceChildren(table(['Name', 'Project', 'May', 'Made', ''], keys.map((key) => row(key, me, look)), 'There is no key.'));
  };
  page.replaceChildren(title('Keys'), keyForm(made, look), made, list);
  await look();
}

function row(key, me, look) {
  const revoke = button('Revoke', async () => {
    if (!confirm(`Revoke the key ${key.name}? What uses it is refused from now on.`)) return;
    await api('DELETE', `/v1/keys/${key.id}`);
    await look();
  }, 'danger');
  const end = key.revoked_at ? make('span', { class: 'quiet', text: `revoked ${when(key.revoked_at)}` }) : key.id === me.id ? make('span', { class: 'quiet', text: 'this session' }) : revoke;
  return make('tr', {}, make('td', { text: key.name }), make('td', { text: key.project }), make('td', { class: 'wide', text: key.scopes.join(', ') }),
    make('td', { text: when(key.created_at) }), make('td', {}, end));
}

function keyForm(made, look) {
  const name = make('input', { required: true, maxlength: '64', autocomplete: 'off', placeholder: 'who or what uses it' });
  const project = make('input', { required: true, maxlength: '64', value: 'default', pattern: '[A-Za-z0-9_\\-]+', title: 'Letters, digits, hyphens and underscores' });
  const scopes = Object.entries(SCOPES).map(([scope, words]) => make('input', { type: 'checkbox', value: scope, title: words, checked: scope.startsWith('recordings') }));
  return form('Make a key', async () => {
    const chosen = scopes.filter((box) => box.checked).map((box) => box.value);
    const key = await api('POST', '/v1/keys', { name: name.value, project: project.value, scopes: chosen });
    const copy = button('Copy', async () => {
      await navigator.clipboard.writeText(key.secret);
      toast('The key is copied.');
    });
    made.replaceChildren(make('p', { class: 'secret', role: 'status' }, 'This key is shown once: ', make('code', { text: key.secret }), ' ', copy));
    name.value = '';
    await look();
  }, make('label', { class: 'grow', text: 'Name' }, name), make('label', { text: 'Project' }, project),
  ...scopes.map((box) => make('label', { class: 'check', title: box.title }, box, make('span', { text: box.value }))), make('button', { class: 'small main', text: 'Make a key' }));
}
