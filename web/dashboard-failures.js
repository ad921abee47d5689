// What went wrong: recordings, films and deliveries, each with its reason and what can be done about it.

import { ago, api, badge, button, make, replace, sentence, table, title, toast } from './dashboard-api.js';
import { filmWords, recordAgain } from './dashboard-recording.js';

export async function failuresPage({ page, may, signal }) {
  const look = async () => {
    const [{ recordings, next_cursor: next }, { films }, dead] = await Promise.all([
      api('GET', '/v1/recordings?state=failed,partial&limit=50'),
      api('GET', '/v1/films?state=failed&limit=50'),
      may('webhooks') ? api('GET', '/v1/deliveries?state=dead&limit=50') : { deliveries: [] },
    ]);
    if (signal.aborted) return;
    const mayWrite = may('recordings:write');
    const isEmpty = !recordings.length && !films.length && !dead.deliveries.length;
    replace(page, title('Failures'),
      isEmpty ? make('div', { class: 'empty' }, make('p', { text: 'Nothing has failed.' }), make('p', { class: 'quiet', text: 'Recordings that failed or lost something are listed here, with their reason and a way to try again.' })) : undefined,
      recordings.length ? [make('h2', { text: 'Recordings' }), table(['Room', 'State', 'When', 'Why', ''], recordings.map((recording) => recordingRow(recording, mayWrite, look)), '')] : undefined,
      next ? make('p', { class: 'quiet' }, 'These are the newest 50. ', make('a', { href: '#/recordings?state=failed,partial', text: 'Show all' })) : undefined,
      films.length ? [make('h2', { text: 'Films' }), table(['Film', 'Recording', 'When', 'Why', ''], films.map((film) => filmRow(film, mayWrite, look)), '')] : undefined,
      dead.deliveries.length ? [make('h2', { text: 'Webhooks' }), make('p', {}, `${dead.deliveries.length}${dead.next_cursor ? ' or more' : ''} ${dead.deliveries.length === 1 ? 'delivery was' : 'deliveries were'} given up. `,
        make('a', { href: '#/webhooks?state=dead', text: 'Look at them' }))] : undefined);
  };
  await look();
}

function recordingRow(recording, mayWrite, look) {
  const { id, room, state, sub_code: code, reason, outcome, request, states, storage } = recording;
  const losses = outcome?.losses ?? [];
  const retry = storage?.state === 'failed' ? button('Upload again', async () => {
    await api('POST', `/v1/recordings/${id}/upload`);
    toast('It is being uploaded.');
    await look();
  }) : code === 'film_failed' && request.outputs?.film ? button('Make the film again', async () => {
    await api('POST', `/v1/recordings/${id}/films`, request.outputs.film);
    toast('The film is being made.');
  }) : button('Record again', () => recordAgain(recording));
  const why = [reason, storage?.problem, ...losses.slice(0, 3)].filter(Boolean).map(sentence);
  if (losses.length > 3) why.push(`And ${losses.length - 3} more.`);
  return make('tr', {}, make('td', {}, make('a', { href: `#/recordings/${id}`, text: room })), make('td', {}, badge(state)),
    make('td', { text: ago(states.at(-1).at) }), make('td', { class: 'wide' }, make('span', { text: why.join(' ') || 'Something was lost.' }), code ? make('small', { class: 'code', text: code }) : undefined),
    make('td', {}, mayWrite ? retry : undefined));
}

function filmRow(film, mayWrite, look) {
  const again = button('Try again', async () => {
    await api('POST', `/v1/recordings/${film.recording}/films`, film.request);
    toast('The film is being made.');
    await look();
  });
  return make('tr', {}, make('td', { text: filmWords(film.request) }), make('td', {}, make('a', { href: `#/recordings/${film.recording}`, text: 'Recording' })),
    make('td', { text: ago(film.ended_at ?? film.created_at) }), make('td', { class: 'wide', text: sentence(film.reason ?? 'it could not be made') }), make('td', {}, mayWrite ? again : undefined));
}
