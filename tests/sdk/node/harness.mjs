// What every script of this folder stands on: features and how they are run, the mock's journal, the corpus, and a
// `fetch` that keeps what passed.
//
// Does not: know a protocol. A script gives one function a feature; `main` runs each in every form it has, has all that
// was sent and answered compiled against the SDK's types, and prints `ok NAME` or `not ok NAME` with the reason. The Rust
// side knows which names must come.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const { ATTACHE_BASE, ATTACHE_KEY, MOCK_CONTROL, CORPUS, SCRATCH } = process.env;
export const BASE = ATTACHE_BASE;
export const KEY = ATTACHE_KEY;
export { SCRATCH };

export const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
export const PDF = 'JVBERi0xLjQKJSVFT0YK';
// The mock answers so to whatever is no case.
export const MOCK_SAID = 'naïve café ✓ 日本語 🙂 "quoted" and\na second line';
export const PLACE = {
  type: 'object',
  properties: { place: { type: 'string' }, unit: { type: 'string', enum: ['celsius', 'kelvin'] } },
  required: ['place', 'unit'],
  additionalProperties: false,
};
export const PERSON = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};

const both = ['whole', 'streamed'];
const features = [];

// Registers features: functions by name, each called with what asks; `forms` says how, by default both ways.
export function feature(functions, forms = both) {
  for (const [name, run] of Object.entries(functions)) features.push({ name, run, forms });
}

// Runs all of them. `asks(form)` makes what a feature asks with; `inspect(answers, records)` checks what passed and
// gives what is to be compiled as [{ type, value }]; `compile(list)` gives the complaints by place in the list.
export async function main({ asks, inspect, compile }) {
  const results = [];
  const typed = [];
  for (const { name, run, forms } of features) {
    for (const form of forms) {
      const result = { name: `${name} ${form}`, problems: [] };
      results.push(result);
      taken.length = 0;
      await control('DELETE', '/records');
      try {
        await run(asks(form));
        assert(taken.length > 0, 'nothing was asked');
        for (const one of inspect(answers(), await records())) typed.push({ ...one, result });
      } catch (error) {
        const here = (error.stack ?? '').split('\n').filter((line) => line.includes('/sdk/node/') && !line.includes('node_modules'));
        result.problems.push(`${error.message ?? error}\n${here.slice(0, 3).join('\n')}`);
      }
    }
  }
  for (const { at, problem } of await compile(typed)) typed[at].result.problems.push(problem);
  for (const { name, problems } of results) {
    if (problems.length === 0) console.log(`ok ${name}`);
    else console.log(`not ok ${name}\n    ${problems.join('\n').replaceAll('\n', '\n    ')}`);
  }
}

const taken = [];

// The `fetch` of the SDKs: their answers are checked from the bytes, since they parse leniently.
export async function recording(url, init) {
  const response = await fetch(url, init);
  const pieces = [];
  const { status, headers } = response;
  taken.push({ path: new URL(url).pathname, status, headers, text: () => Buffer.concat(pieces).toString() });
  const keep = new TransformStream({
    transform(piece, out) {
      pieces.push(piece);
      out.enqueue(piece);
    },
  });
  return new Response(response.body.pipeThrough(keep), { status, headers });
}

// Those of the last answer.
export const lastHeaders = () => taken.at(-1)?.headers;

const answers = () => taken.map((one) => ({ ...one, text: one.text() }));

// Server-sent events as { name, data }.
export function events(text) {
  assert(text.endsWith('\n\n'), `the last event is not finished: ${JSON.stringify(text.slice(-80))}`);
  return text.split('\n\n').slice(0, -1).flatMap((block) => {
    const of = (mark) => block.split('\n').filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length));
    const data = of('data: ');
    return data.length ? [{ name: of('event: ')[0], data: data.join('\n') }] : [];
  });
}

// Every member of `part` stands in `whole`, at any depth; lists are compared whole.
export function within(part, whole, about = '') {
  if (Array.isArray(part)) {
    assert(Array.isArray(whole) && part.length === whole.length, `${about}: ${JSON.stringify(whole)}`);
    part.forEach((one, i) => within(one, whole[i], `${about}[${i}]`));
  } else if (part !== null && typeof part === 'object') {
    assert(whole !== null && typeof whole === 'object', `${about}: ${JSON.stringify(whole)}`);
    for (const [name, value] of Object.entries(part)) {
      assert(name in whole, `${about}.${name} is missing in ${JSON.stringify(whole)}`);
      within(value, whole[name], `${about}.${name}`);
    }
  } else {
    assert.deepEqual(whole, part, about);
  }
}

// A file of the corpus, e.g. `anthropic/response/text.json`.
export const corpus = (path) => JSON.parse(readFileSync(join(CORPUS, path), 'utf8'));

// A provider's message as clients are told it: what looks like a key is masked.
export const withoutKeys = (text) => text.replace(/sk-\S+/g, '[redacted]');

async function control(method, path) {
  const answer = await fetch(`${MOCK_CONTROL}${path}`, { method });
  return answer.json();
}

// What providers received since the feature began, in order.
export const records = () => control('GET', '/records');

// The body of the last request a provider received, which it did not refuse.
export async function received() {
  const last = (await records()).at(-1);
  assert(!last.outcome.startsWith('refused'), last.outcome);
  return JSON.parse(last.body);
}

// Names in `x-attache-dropped`.
export const dropped = (headers) =>
  new Set((headers.get('x-attache-dropped') ?? '').split(',').map((name) => name.trim()).filter(Boolean));

// The error of a promise that must fail.
export async function fails(promise, kind) {
  try {
    await promise;
  } catch (error) {
    assert(error instanceof kind, `${error?.constructor?.name}: ${error}`);
    return error;
  }
  throw new Error('it did not fail');
}
