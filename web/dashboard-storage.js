// How much media there is, and where: the service's disk, its stores, by project.

import { api, figure, make, replace, size, table, title } from './dashboard-api.js';

const NAMES = { store: 'Store', backup_store: 'Backup store' };

export async function storagePage({ page }) {
  const { disk, stores, usage } = await api('GET', '/v1/storage');
  const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);
  const of = (...keep) => usage.filter((row) => keep.every((test) => test(row)));
  const is = (state) => (row) => row.state === state;
  const [local, evicted] = [of((row) => row.local), of(is('stored'), (row) => !row.local)];
  const count = (rows) => `${sum(rows, 'recordings')} ${sum(rows, 'recordings') === 1 ? 'recording' : 'recordings'}`;
  const hasStores = stores.length > 0 || usage.some(({ state }) => state);
  const [uploading, failed] = [of(is('uploading')), of(is('failed'))];
  replace(page, title('Storage'),
    make('div', { class: 'figures' },
      figure(size(sum(local, 'bytes')), `on the service’s disk, ${count(local)}`),
      ...(!hasStores ? [] : [figure(size(sum(of(is('stored')), 'stored_bytes')), `in the stores, ${count(of(is('stored')))}`),
      figure(size(sum(evicted, 'stored_bytes')), `of that in the stores only, ${count(evicted)}`),
      figure(size(sum(uploading, 'bytes')), `being uploaded, ${count(uploading)}`),
      figure(size(sum(failed, 'bytes')), `could not be stored, ${count(failed)}`, failed.length ? 'bad' : undefined)])),
    failed.length ? make('p', { class: 'problem' }, 'The stores did not take everything. What is missing there is on the service’s disk, and nothing is deleted. ', make('a', { href: '#/failures', text: 'See why, and upload again' })) : undefined,
    disk ? diskPart(disk, sum(local, 'bytes')) : undefined,
    make('h2', { text: 'Stores' }), storesPart(stores, usage, sum),
    make('h2', { text: 'Projects' }), projectsPart(usage, sum));
}

function diskPart({ free_bytes: free, total_bytes: total }, media) {
  const used = Math.max(0, total - free);
  const share = total ? used / total : 0;
  const bar = make('meter', { min: '0', max: '1', high: '0.9', optimum: '0', value: String(share), 'aria-label': 'Disk in use' });
  const nearly = share >= 0.9 ? make('p', { class: 'problem', text: 'The disk is nearly full. When it is full, recordings end: free some of it, or let media stay there for a shorter time (keep_local).' }) : undefined;
  return make('div', { class: 'disk' }, make('h2', { text: 'Disk' }), bar, make('p', { class: 'quiet', text: `${size(used)} of ${size(total)} in use, ${size(media)} of it by recordings; ${size(free)} free.` }), nearly);
}

function storesPart(stores, usage, sum) {
  if (!stores.length) {
    return make('div', { class: 'empty' }, make('p', { text: 'No store is configured: recordings stay on the service’s disk.' }),
      make('p', { class: 'quiet' }, 'Put a ', make('code', { text: '[store]' }), ' with a ', make('code', { text: 'url' }), ' into the service’s configuration to keep them in S3, Google Cloud, Azure or another folder.'));
  }
  const rows = stores.map(({ name, address }) => {
    const [stored, uploading, failed] = ['stored', 'uploading', 'failed'].map((state) => usage.filter((row) => row.store === name && row.state === state));
    return make('tr', {}, make('td', { text: NAMES[name] ?? name }), make('td', { class: 'wide', text: address }), make('td', { class: 'number', text: String(sum(stored, 'recordings')) }),
      make('td', { class: 'number', text: size(sum(stored, 'stored_bytes')) }), make('td', { class: 'number', text: String(sum(uploading, 'recordings')) }), make('td', { class: 'number', text: String(sum(failed, 'recordings')) }));
  });
  return table(['Store', 'Address', '#Recordings', '#Size', '#Uploading', '#Failed'], rows, '');
}

function projectsPart(usage, sum) {
  const projects = [...new Set(usage.map(({ project }) => project))];
  const rows = projects.map((project) => {
    const all = usage.filter((row) => row.project === project);
    const [local, stored] = [all.filter((row) => row.local), all.filter(({ state }) => state === 'stored')];
    return { bytes: sum(all, 'bytes'), row: make('tr', {}, make('td', { text: project }), make('td', { class: 'number', text: String(sum(all, 'recordings')) }),
      make('td', { class: 'number', text: size(sum(local, 'bytes')) }), make('td', { class: 'number', text: size(sum(stored, 'stored_bytes')) })) };
  });
  rows.sort((one, other) => other.bytes - one.bytes);
  return table(['Project', '#Recordings', '#On the disk', '#In stores'], rows.map(({ row }) => row), 'No recording has ended yet.');
}
