// The reference of the API: reads its description (OpenAPI 3.1) and shows each operation, what it takes and answers, and a request for a shell.

import { make, table, title, toast } from './dashboard-api.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
/** Objects within objects that are shown. */
const DEEPEST = 4;
const page = document.getElementById('page');
let description;

/** What a reference stands for. */
function resolve(node) {
  let found = node;
  for (let hops = 0; found?.$ref && hops < 10; hops += 1) {
    found = found.$ref.slice(2).split('/').reduce((at, name) => at?.[name.replaceAll('~1', '/').replaceAll('~0', '~')], description);
  }
  return found ?? {};
}

/** The one schema that is meant: `null` beside it says that it may be absent, and one of `allOf` stands for itself. */
function schemaOf(node) {
  const schema = resolve(node);
  const choices = (schema.oneOf ?? schema.anyOf ?? schema.allOf ?? []).filter((choice) => choice.type !== 'null');
  return choices.length === 1 ? { ...schemaOf(choices[0]), description: schema.description ?? resolve(choices[0]).description } : schema;
}

const types = (schema) => [schema.type ?? []].flat().filter((type) => type !== 'null');

/** A schema in a word or two. */
function typeName(node) {
  const schema = schemaOf(node);
  const values = schema.enum ?? (schema.const !== undefined ? [schema.const] : undefined);
  if (values) return values.map((value) => JSON.stringify(value)).join(', ');
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return [...new Set(choices.filter((choice) => choice.type !== 'null').map(typeName))].join(' or ');
  if (types(schema).includes('array')) return `list of ${typeName(schema.items ?? {})}`;
  return [types(schema).join(' or ') || 'anything', schema.format && `(${schema.format})`].filter(Boolean).join(' ');
}

function range(schema) {
  const { minimum, maximum, minLength, maxLength, minItems, maxItems } = schema;
  const between = (least, most, unit) => {
    if (most !== undefined) return `${least ?? 0} to ${most}${unit}.`;
    return least ? `${least}${unit} or more.` : undefined;
  };
  const parts = [between(minimum, maximum, ''), between(minLength, maxLength, ' characters'), between(minItems, maxItems, ' entries')];
  if (schema.default !== undefined && schema.default !== null) parts.push(`Default ${JSON.stringify(schema.default)}.`);
  return parts.filter(Boolean).join(' ');
}

/** Words of which those between backticks are code. */
const text = (words) => (words ?? '').split('`').map((part, index) => (index % 2 ? make('code', { text: part }) : part));

/** The fields of an object, each a row, with those of the objects in them. */
function rows(node, isSent, depth = 0) {
  const schema = schemaOf(node);
  const object = types(schema).includes('array') ? schemaOf(schema.items ?? {}) : schema;
  const parts = [object, ...(object.allOf ?? []).map(resolve)];
  const required = new Set(parts.flatMap((part) => part.required ?? []));
  return parts.flatMap((part) => Object.entries(part.properties ?? {})).flatMap(([name, property]) => {
    const known = schemaOf(property);
    const words = [known.description, range(known)].filter(Boolean).join(' ');
    const cell = make('td', {}, make('code', { text: name }), isSent && required.has(name) ? make('span', { class: 'quiet', text: ' required' }) : undefined);
    cell.style.setProperty('--depth', depth);
    const row = make('tr', {}, cell, make('td', { text: typeName(property) }), make('td', { class: 'wide' }, text(words)));
    return [row, ...(depth < DEEPEST ? rows(property, isSent, depth + 1) : [])];
  });
}

/** A value as it could be sent: what is required, and the first fields otherwise. */
function example(node, depth = 0) {
  const schema = schemaOf(node);
  const given = schema.example ?? schema.examples?.[0] ?? schema.const ?? schema.enum?.[0];
  if (given !== undefined) return given;
  const choice = (schema.oneOf ?? schema.anyOf ?? [])[0];
  if (choice) return example(choice, depth);
  const parts = [schema, ...(schema.allOf ?? []).map(resolve)];
  const names = parts.flatMap((part) => part.required ?? []);
  const properties = Object.assign({}, ...parts.map((part) => part.properties ?? {}));
  if (Object.keys(properties).length && depth < DEEPEST) {
    const wanted = names.length ? names : Object.keys(properties).slice(0, 1);
    return Object.fromEntries(wanted.map((name) => [name, example(properties[name] ?? {}, depth + 1)]));
  }
  const [type] = types(schema);
  if (type === 'string') return schema.format === 'date-time' ? '2026-12-01T09:00:00Z' : '…';
  return { integer: schema.minimum ?? 1, number: 1, boolean: true, array: [], object: {} }[type] ?? null;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The operation as a line for a shell. */
function curl(method, path, body) {
  const address = location.origin + path;
  const parts = ['curl', ...(method === 'get' ? [] : ['-X', method.toUpperCase()]), '-H "authorization: Bearer $ROOMBOT_KEY"'];
  if (body) parts.push("-H 'content-type: application/json'", '-d', quoted(JSON.stringify(example(body))));
  return [...parts, quoted(address)].join(' ');
}

/** Text with a button that copies it. */
function copied(text) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast('Copied.');
    } catch {
      toast('The browser does not let the page copy; select the text instead.', true);
    }
  };
  return make('div', { class: 'copied' }, make('pre', { text, tabindex: '0' }), make('button', { type: 'button', class: 'small', text: 'Copy', onclick: copy }));
}

const section = (name, ...nodes) => [make('h3', { text: name }), ...nodes];

function body(method, path, operation) {
  const sent = resolve(operation.requestBody).content?.['application/json']?.schema;
  const parameters = (operation.parameters ?? []).map(resolve);
  const nodes = [];
  if (operation.description) nodes.push(make('p', {}, text(operation.description)));
  nodes.push(...section('From a shell', copied(curl(method, path, sent))));
  if (parameters.length) {
    const lines = parameters.map((one) => make('tr', {},
      make('td', {}, make('code', { text: one.name }), make('span', { class: 'quiet', text: ` ${one.in}${one.required && one.in !== 'path' ? ', required' : ''}` })),
      make('td', { text: typeName(one.schema ?? {}) }), make('td', { class: 'wide' }, text([one.description, range(schemaOf(one.schema ?? {}))].filter(Boolean).join(' ')))));
    nodes.push(...section('Parameters', table(['Name', 'Type', ''], lines, '')));
  }
  if (sent) nodes.push(...section('Body (JSON)', table(['Field', 'Type', ''], rows(sent, true), 'Any JSON.')));
  for (const [status, answer] of Object.entries(operation.responses ?? {}).filter(([status]) => status.startsWith('2'))) {
    const schema = resolve(answer).content?.['application/json']?.schema;
    nodes.push(...section([`Answer ${status}`, resolve(answer).description].filter(Boolean).join(': ')));
    if (schema) nodes.push(table(['Field', 'Type', ''], rows(schema, false), typeName(schema)));
  }
  const refusals = Object.entries(operation.responses ?? {}).filter(([status]) => !status.startsWith('2'));
  const lines = refusals.map(([status, answer]) => make('tr', {}, make('td', { text: status }), make('td', { class: 'wide' }, text(resolve(answer).description))));
  if (lines.length) nodes.push(...section('Other answers', table(['Status', ''], lines, '')));
  return make('div', {}, ...nodes);
}

function operationNode(method, path, operation) {
  const id = `${method}-${path.replaceAll(/[^a-z0-9]+/gi, '-')}`;
  const words = operation.summary ?? (operation.description ?? '').split('\n')[0];
  const node = make('details', { class: 'operation', id },
    make('summary', {}, make('span', { class: 'method', 'data-method': method, text: method.toUpperCase() }), make('code', { text: path }), make('span', { class: 'quiet', text: words })));
  node.dataset.words = `${method} ${path} ${words} ${operation.tags ?? ''}`.toLowerCase();
  node.addEventListener('toggle', () => {
    if (node.open && node.children.length === 1) node.append(body(method, path, operation));
    if (node.open) history.replaceState(null, '', `#${id}`);
  });
  return node;
}

function show() {
  const groups = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const operation = { ...item[method], parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])] };
      const name = operation.tags?.[0] ?? 'other';
      groups.set(name, [...(groups.get(name) ?? []), operationNode(method, path, operation)]);
    }
  }
  const first = ['recordings', 'films', 'schedules', 'bots', 'checks'];
  const place = (name) => (first.includes(name) ? first.indexOf(name) : first.length);
  const ordered = [...groups].sort(([a], [b]) => place(a) - place(b));
  const sections = ordered.map(([name, nodes]) => make('section', { class: 'stack' }, make('h2', { text: name[0].toUpperCase() + name.slice(1) }), ...nodes));
  const none = make('p', { class: 'empty', text: 'No operation has all of these words.', hidden: true });
  const filter = make('input', { class: 'filter', type: 'search', placeholder: 'Filter, as “post recordings”', 'aria-label': 'Filter the operations' });
  filter.addEventListener('input', () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const group of sections) {
      const nodes = [...group.querySelectorAll('.operation')];
      for (const node of nodes) node.hidden = !words.every((word) => node.dataset.words.includes(word));
      group.hidden = nodes.every((node) => node.hidden);
    }
    none.hidden = !sections.every((group) => group.hidden);
  });
  const words = `Version ${description.info.version}. Requests carry a key: “authorization: Bearer rb_…”. Errors are problem details (RFC 9457).`;
  page.replaceChildren(title('API', filter), make('p', { class: 'quiet', text: words }), ...sections, none);
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named) {
    named.open = true;
    named.scrollIntoView();
  }
}

try {
  const answer = await fetch('/openapi.json');
  if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
  description = await answer.json();
  show();
} catch (problem) {
  page.replaceChildren(title('API'), make('p', { class: 'problem', role: 'alert', text: `The description cannot be shown: ${problem.message}. Look whether “roombot serve” runs, then load the page again.` }));
}
