// The `openai` SDK as the client of an Anthropic provider, and a few features towards OpenAI's own protocol.

import assert from 'node:assert/strict';

import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import {
  BASE, KEY, MOCK_SAID, PDF, PERSON, PLACE, PNG, corpus, dropped, events, feature, lastHeaders, main, received, recording, within,
} from './harness.mjs';
import { errors } from './openai_errors.mjs';
import { compile } from './types.mjs';

const client = new OpenAI({ baseURL: `${BASE}/v1`, apiKey: KEY, maxRetries: 0, fetch: recording });

// Stands before a case's name where the test does not say another model: what it can do decides some translations.
const CLAUDE = 'claude-sonnet-4-5';
const WEATHER = { type: 'function', function: { name: 'get_weather', description: 'Of a place', parameters: PLACE } };
const NOW = { type: 'function', function: { name: 'now', parameters: { type: 'object', properties: {} } } };
const Person = z.object({ name: z.string(), age: z.number().int() });

// Asks whole or streamed, and gives the completion either way.
function asks(form) {
  const streamed = form === 'streamed';
  const ask = async (model, messages = 'Hi', { provider = 'anthropic', ...params } = {}) => {
    if (typeof messages === 'string') messages = [{ role: 'user', content: messages }];
    const ours = /^(anthropic|limited)/.test(provider) && !model.startsWith('claude-') ? `${CLAUDE}-${model}` : model;
    const body = { model: `${provider}/${ours}`, messages, ...params };
    const { completions } = client.chat;
    ask.chunks = [];
    try {
      if (!streamed) return await completions.create(body);
      return await completions.stream(body).on('chunk', (chunk) => ask.chunks.push(chunk)).finalChatCompletion();
    } finally {
      ask.headers = lastHeaders();
    }
  };
  return Object.assign(ask, { streamed });
}

const saidBy = (name) => corpus(`anthropic/response/${name}.json`);
const textOf = (said) => said.content.filter((block) => block.type === 'text').map((block) => block.text).join('');
const callsOf = (said) =>
  said.content.filter((block) => block.type === 'tool_use').map(({ id, name, input }) => ({ id, name, input }));
const callsIn = (message) =>
  (message.tool_calls ?? []).map(({ id, type, function: { name, arguments: text } }) => {
    assert.equal(type, 'function');
    return { id, name, input: JSON.parse(text) };
  });
const messageOf = (answer) => {
  assert.equal(answer.choices.length, 1);
  return answer.choices[0].message;
};
const user = (...parts) => [{ role: 'user', content: parts }];
const personFormat = { type: 'json_schema', json_schema: { name: 'person', schema: PERSON, strict: true } };

feature({
  async text(ask) {
    const answer = await ask('case-text', 'Grüß dich 🙂');
    assert.equal(messageOf(answer).content, textOf(saidBy('text')));
    assert.deepEqual([messageOf(answer).role, answer.choices[0].finish_reason], ['assistant', 'stop']);
    assert.equal(answer.model, saidBy('text').model);
    assert.match(answer.id, /^chatcmpl-/);
    within([{ role: 'user', content: 'Grüß dich 🙂' }], (await received()).messages);
  },

  async system(ask) {
    const answer = await ask('m', [
      { role: 'system', content: 'Be brief.' },
      { role: 'developer', content: [{ type: 'text', text: 'Be kind.' }] },
      { role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Yes?' }, { role: 'user', content: 'So?' },
    ]);
    assert(messageOf(answer).content.includes(MOCK_SAID));
    const sent = await received();
    assert.deepEqual(sent.messages.map((turn) => turn.role), ['user', 'assistant', 'user']);
    assert.match(JSON.stringify(sent.system), /Be brief\..*Be kind\./);
  },

  async images(ask) {
    await ask('m', user(
      { type: 'text', text: 'Compare' },
      { type: 'image_url', image_url: { url: 'https://example.com/cat.png' } },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } },
    ));
    within([
      { type: 'text', text: 'Compare' },
      { type: 'image', source: { type: 'url', url: 'https://example.com/cat.png' } },
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } },
    ], (await received()).messages[0].content);
  },

  async documents(ask) {
    const file = { filename: 'a.pdf', file_data: `data:application/pdf;base64,${PDF}` };
    await ask('m', user({ type: 'file', file }, { type: 'text', text: 'Sum up' }));
    const source = { type: 'base64', media_type: 'application/pdf', data: PDF };
    within([{ type: 'document', source, title: 'a.pdf' }, { type: 'text', text: 'Sum up' }],
      (await received()).messages[0].content);
  },

  // A call and its result, over two turns.
  async tools(ask) {
    const messages = [{ role: 'user', content: 'Weather?' }];
    const first = await ask('m', messages, { tools: [WEATHER] });
    assert.equal(first.choices[0].finish_reason, 'tool_calls');
    const [call] = callsIn(messageOf(first));
    assert.deepEqual([call.name, Object.keys(call.input)], ['get_weather', ['place', 'unit']]);
    const sent = (await received()).tools[0];
    within({ name: 'get_weather', description: 'Of a place', input_schema: PLACE }, sent);
    assert.deepEqual(Object.keys(sent.input_schema), Object.keys(PLACE), "the order of the schema's members");
    messages.push(messageOf(first), { role: 'tool', tool_call_id: call.id, content: '21 °C' });
    const second = await ask('m', messages, { tools: [WEATHER] });
    assert(messageOf(second).content.includes(MOCK_SAID));
    const turns = (await received()).messages;
    within([{ type: 'tool_use', ...call }], turns[1].content);
    within([{ type: 'tool_result', tool_use_id: call.id }], turns[2].content);
  },

  async tools_parallel(ask) {
    const said = saidBy('tools');
    const answer = await ask('case-tools', 'Weather?', { tools: [WEATHER, NOW] });
    assert.deepEqual(callsIn(messageOf(answer)), callsOf(said));
    assert.deepEqual([messageOf(answer).content, answer.choices[0].finish_reason], [textOf(said), 'tool_calls']);
    const results = callsOf(said).map(({ id, name }) => ({ role: 'tool', tool_call_id: id, content: name }));
    await ask('m', [{ role: 'user', content: 'Weather?' }, messageOf(answer), ...results], { tools: [WEATHER, NOW] });
    const turns = (await received()).messages;
    assert.deepEqual(turns.map((turn) => turn.role), ['user', 'assistant', 'user']);
    assert.deepEqual(turns[2].content.map((block) => block.tool_use_id), callsOf(said).map(({ id }) => id));
  },

  // Arguments come in pieces and add up.
  async tools_streamed_arguments(ask) {
    const answer = await ask('m', 'Weather?', { tools: [WEATHER], tool_choice: 'required' });
    assert.deepEqual(Object.keys(callsIn(messageOf(answer))[0].input), ['place', 'unit']);
    if (ask.streamed) {
      const pieces = ask.chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
      assert(pieces.length > 3, `${pieces.length} pieces`);
      assert.deepEqual([pieces[0].function.name, pieces.slice(1).filter((piece) => piece.id)], ['get_weather', []]);
    }
  },

  async tool_choice(ask) {
    const named = { type: 'function', function: { name: 'now' } };
    for (const [choice, expected] of [
      ['auto', { type: 'auto' }], ['required', { type: 'any' }], ['none', { type: 'none' }], [named, { type: 'tool', name: 'now' }],
    ]) {
      const answer = await ask('m', 'Weather?', { tools: [WEATHER, NOW], tool_choice: choice });
      assert.deepEqual((await received()).tool_choice, expected);
      assert.equal(callsIn(messageOf(answer)).length > 0, choice !== 'none');
    }
  },

  async tools_parallel_off(ask) {
    await ask('m', 'Weather?', { tools: [WEATHER], parallel_tool_calls: false });
    within({ type: 'auto', disable_parallel_tool_use: true }, (await received()).tool_choice);
  },

  async tools_strict(ask) {
    await ask('m', 'Weather?', { tools: [{ type: 'function', function: { ...WEATHER.function, strict: true } }] });
    within({ strict: true, input_schema: PLACE }, (await received()).tools[0]);
  },

  // A model that has structured output itself.
  async json_schema(ask) {
    const answer = await ask('claude-opus-4-6-case-structured', 'Ada, 36', { response_format: personFormat });
    assert.deepEqual(JSON.parse(messageOf(answer).content), JSON.parse(textOf(saidBy('structured'))));
    within({ type: 'json_schema', schema: PERSON }, (await received()).output_config?.format);
  },

  // A model that has not: it is made to call a tool whose input is the schema, and the call becomes the text.
  async json_schema_by_tool(ask) {
    const model = 'claude-3-5-haiku-20241022-case-structured-tool';
    const answer = await ask(model, 'Ada, 36', { response_format: personFormat });
    const [{ name, input }] = callsOf(saidBy('structured-tool'));
    assert.deepEqual(JSON.parse(messageOf(answer).content), input);
    assert.deepEqual([answer.choices[0].finish_reason, callsIn(messageOf(answer))], ['stop', []]);
    const sent = await received();
    within({ name, input_schema: PERSON }, sent.tools[0]);
    within({ type: 'tool', name }, sent.tool_choice);
  },

  // The SDK's own way to structured output, its schema made from a class.
  async parse_helper(ask) {
    const body = {
      model: 'anthropic/claude-opus-4-6-case-structured',
      messages: [{ role: 'user', content: 'Ada, 36' }],
      response_format: zodResponseFormat(Person, 'person'),
    };
    const { completions } = client.chat;
    const answer = ask.streamed ? await completions.stream(body).finalChatCompletion() : await completions.parse(body);
    assert.deepEqual(messageOf(answer).parsed, JSON.parse(textOf(saidBy('structured'))));
  },

  async stop(ask) {
    const answer = await ask('case-stop-sequence', 'Count', { stop: ['three', 'four'] });
    assert.deepEqual([messageOf(answer).content, answer.choices[0].finish_reason], [textOf(saidBy('stop-sequence')), 'stop']);
    assert.deepEqual((await received()).stop_sequences, ['three', 'four']);
    await ask('m', 'Count', { stop: 'three' });
    assert.deepEqual((await received()).stop_sequences, ['three']);
  },

  async sampling(ask) {
    await ask('m', 'Hi', { max_completion_tokens: 77, temperature: 0.25, user: 'u-1' });
    within({ max_tokens: 77, temperature: 0.25, metadata: { user_id: 'u-1' } }, await received());
    await ask('m', 'Hi', { max_tokens: 78, top_p: 0.5 });
    within({ max_tokens: 78, top_p: 0.5 }, await received());
  },

  // What Anthropic has no word for is left out and said in a header.
  async dropped_parameters(ask) {
    const parameters = {
      n: 2, seed: 7, logprobs: true, top_logprobs: 2, frequency_penalty: 0.5, presence_penalty: 0.5,
      logit_bias: { 50256: -100 },
    };
    await ask('m', 'Hi', parameters);
    const names = dropped(ask.headers);
    const sent = await received();
    for (const name of Object.keys(parameters)) assert(names.has(name) && !(name in sent), `${name}: ${[...names]}`);
    await ask('m');
    assert.equal(dropped(ask.headers).size, 0);
  },

  async reasoning_effort(ask) {
    await ask('m', 'Hi', { reasoning_effort: 'high', max_completion_tokens: 20_000 });
    const { thinking, output_config, max_tokens } = await received();
    const budget = thinking?.type === 'enabled' && thinking.budget_tokens >= 1024 && thinking.budget_tokens < max_tokens;
    assert(budget || (thinking?.type === 'adaptive' && output_config?.effort === 'high'), JSON.stringify(thinking));
    await ask('m', 'Hi', { reasoning_effort: 'none' });
    assert([undefined, 'disabled'].includes((await received()).thinking?.type));
  },

  // Signed and redacted thinking reaches the client, and with its next turn the provider again, whole.
  async thinking(ask) {
    const said = saidBy('thinking');
    const answer = await ask('case-thinking', 'Prove it', { reasoning_effort: 'high' });
    const message = ask.streamed ? withReasoning(messageOf(answer), ask.chunks) : messageOf(answer);
    assert.equal(message.content, textOf(said));
    const thoughts = said.content.filter((block) => block.type === 'thinking').map((block) => block.thinking);
    assert.equal(message.reasoning_content, thoughts.join(''));
    const turns = [{ role: 'user', content: 'Prove it' }, message, { role: 'user', content: 'Sure?' }];
    await ask('m', turns, { reasoning_effort: 'high' });
    const sent = (await received()).messages;
    assert.deepEqual(sent.map((turn) => turn.role), ['user', 'assistant', 'user']);
    within(said.content, sent[1].content);
  },

  // Within a tool round the signed thinking has to stand before the call.
  async thinking_and_tools(ask) {
    const said = saidBy('thinking-tools');
    const answer = await ask('case-thinking-tools', 'Weather?', { tools: [WEATHER], reasoning_effort: 'high' });
    const message = ask.streamed ? withReasoning(messageOf(answer), ask.chunks) : messageOf(answer);
    assert.deepEqual(callsIn(message), callsOf(said));
    const results = callsOf(said).map(({ id }) => ({ role: 'tool', tool_call_id: id, content: '21 °C' }));
    const turns = [{ role: 'user', content: 'Weather?' }, message, ...results];
    await ask('m', turns, { tools: [WEATHER], reasoning_effort: 'high' });
    within(said.content, (await received()).messages[1].content);
  },

  async cached_tokens(ask) {
    const { input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens } = saidBy('text').usage;
    const asked = ask.streamed ? { stream_options: { include_usage: true } } : {};
    const { usage } = await ask('case-text', 'Hi', asked);
    assert.equal(usage.prompt_tokens, input_tokens + cache_read_input_tokens + cache_creation_input_tokens);
    assert.equal(usage.completion_tokens, output_tokens);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    assert(cache_read_input_tokens > 0, 'the case caches nothing');
    assert.equal(usage.prompt_tokens_details.cached_tokens, cache_read_input_tokens);
  },

  // The mark that Anthropic knows goes along from a client that puts it where compatible servers take it.
  async cache_control(ask) {
    const marked = (text) => [{ type: 'text', text, cache_control: { type: 'ephemeral' } }];
    await ask('m', [{ role: 'system', content: marked('Long.') }, { role: 'user', content: marked('Hi') }]);
    const sent = await received();
    within(marked('Long.'), sent.system);
    within(marked('Hi'), sent.messages[0].content);
  },

  async citations(ask) {
    const said = saidBy('web-search');
    const answer = await ask('case-web-search');
    const { content } = messageOf(answer);
    assert.equal(content, textOf(said));
    const annotations = ask.streamed
      ? ask.chunks.flatMap((chunk) => chunk.choices[0]?.delta.annotations ?? [])
      : messageOf(answer).annotations ?? [];
    const cited = said.content.flatMap((block) => (block.citations ?? []).map((one) => [one.url, block.text]));
    // The span is in characters, which JavaScript has no index for.
    const characters = [...content];
    const found = annotations.map(({ type, url_citation: { url, start_index, end_index } }) => {
      assert.equal(type, 'url_citation');
      return [url, characters.slice(start_index, end_index).join('')];
    });
    assert.deepEqual(found, cited);
  },

  async web_search(ask) {
    const place = { type: 'approximate', approximate: { city: 'Bern', country: 'CH' } };
    const answer = await ask('case-web-search', 'News?', { web_search_options: { user_location: place } });
    assert.equal(messageOf(answer).content, textOf(saidBy('web-search')));
    assert.deepEqual([callsIn(messageOf(answer)), answer.choices[0].finish_reason], [[], 'stop']);
    const [tool] = (await received()).tools ?? [];
    assert.match(tool?.type ?? '', /^web_search_/);
    within({ name: 'web_search', user_location: { type: 'approximate', city: 'Bern', country: 'CH' } }, tool);
  },

  async refusal(ask) {
    const answer = await ask('case-refusal', 'Bad');
    assert.equal(answer.choices[0].finish_reason, 'content_filter');
    assert.equal(messageOf(answer).content ?? '', textOf(saidBy('refusal')));
  },

  async finish_reasons(ask) {
    for (const [name, reason] of [
      ['text', 'stop'], ['stop-sequence', 'stop'], ['max-tokens', 'length'], ['pause', 'stop'], ['tools', 'tool_calls'],
      ['refusal', 'content_filter'], ['context-window', 'length'],
    ]) {
      assert.equal((await ask(`case-${name}`)).choices[0].finish_reason, reason, name);
    }
  },

  async request_id(ask) {
    await ask('case-text');
    assert.match(ask.headers.get('x-request-id') ?? '', /^req_/);
    if (!ask.streamed) {
      const messages = [{ role: 'user', content: 'Hi' }];
      const answer = await client.chat.completions.create({ model: 'anthropic/case-text', messages });
      assert.match(answer._request_id ?? '', /^req_/);
    }
  },

  async gateway_headers(ask) {
    await ask('case-text');
    assert.equal(ask.headers.get('x-attache-provider'), 'anthropic');
    assert.equal(ask.headers.get('x-attache-model'), `${CLAUDE}-case-text`);
  },

  // Text, tools and several choices of OpenAI's own protocol come through as they are.
  async same_protocol(ask) {
    const said = corpus('openai_chat/response/text.json');
    const answer = await ask('case-text', 'Hi', { provider: 'openai' });
    assert.deepEqual([messageOf(answer).content, answer.id], [said.choices[0].message.content, said.id]);
    const called = await ask('case-tools', 'Hi', { provider: 'openai', tools: [WEATHER, NOW] });
    const calls = corpus('openai_chat/response/tools.json').choices[0].message.tool_calls;
    assert.deepEqual(messageOf(called).tool_calls.map(({ id }) => id), calls.map(({ id }) => id));
    assert.equal((await ask('m', 'Hi', { provider: 'openai', n: 2, seed: 7 })).choices.length, 2);
    within({ n: 2, seed: 7 }, await received());
  },

  async logprobs(ask) {
    const said = corpus('openai_chat/response/logprobs.json').choices[0].logprobs.content;
    const answer = await ask('case-logprobs', 'Hi', { provider: 'openai', logprobs: true, top_logprobs: 2 });
    assert.deepEqual(answer.choices[0].logprobs.content.map(({ token }) => token), said.map(({ token }) => token));
  },
});

feature({
  async include_usage(ask) {
    await ask('m', 'Hi', { stream_options: { include_usage: true } });
    const last = ask.chunks.pop();
    assert.deepEqual(last.choices, []);
    assert(last.usage.total_tokens > 0 && ask.chunks.every((chunk) => chunk.usage === null));
    for (const off of [{}, { stream_options: { include_usage: false } }]) {
      await ask('m', 'Hi', off);
      assert(ask.chunks.every((chunk) => !chunk.usage && chunk.choices.length === 1), JSON.stringify(ask.chunks.at(-1)));
    }
  },
}, ['streamed']);

feature({
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert(ids.includes('chat'), `${ids}`);
  },
}, ['whole']);

errors(feature, client);

// Reasoning as a client adds it up that wants to send it back: text by text, details by their index.
function withReasoning(message, chunks) {
  const details = [];
  let text = '';
  for (const { choices: [choice] } of chunks) {
    text += choice?.delta.reasoning_content ?? '';
    for (const one of choice?.delta.reasoning_details ?? []) {
      const known = details[one.index];
      details[one.index] = known ? { ...known, ...one, text: (known.text ?? '') + (one.text ?? '') } : one;
    }
  }
  return { ...message, reasoning_content: text, reasoning_details: details };
}

// What passed, with the types it must have.
function inspect(answers, records) {
  const asked = records.filter(({ host }) => host === 'api.anthropic.com');
  const typed = asked.map(({ body }) => ({ type: 'AnthropicRequest', text: body }));
  for (const { path, status, headers, text } of answers) {
    if (status !== 200) typed.push({ type: 'OpenAIFault', text });
    else if (path.endsWith('/models')) typed.push({ type: 'OpenAIModels', text });
    else if (headers.get('content-type').startsWith('text/event-stream')) typed.push(...chunks(text));
    else typed.push({ type: 'ChatCompletion', text });
  }
  return typed;
}

function chunks(text) {
  const list = events(text);
  assert(list.every(({ name }) => name === undefined), 'chunks have no names');
  const last = list.pop().data;
  const rest = list.map(({ data }) => ({ type: 'ChatCompletionChunk', text: data }));
  if (last !== '[DONE]') rest.push({ type: 'OpenAIFault', text: last });
  return rest;
}

await main({ asks, inspect, compile });
