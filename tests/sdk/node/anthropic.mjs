// The `anthropic` SDK as the client of an OpenAI provider, and a few features towards Anthropic's own protocol.

import assert from 'node:assert/strict';

import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';

import { errors } from './anthropic_errors.mjs';
import {
  BASE, KEY, MOCK_SAID, PDF, PERSON, PLACE, PNG, corpus, dropped, events, feature, lastHeaders, main, received, recording,
  within,
} from './harness.mjs';
import { compile } from './types.mjs';

const client = new Anthropic({ baseURL: BASE, apiKey: KEY, maxRetries: 0, fetch: recording });

const WEATHER = { name: 'get_weather', description: 'Of a place', input_schema: PLACE };
const NOW = { name: 'now', input_schema: { type: 'object', properties: {} } };
const Person = z.object({ name: z.string(), age: z.number().int() });

// Asks whole or streamed, and gives the message either way.
function asks(form) {
  const streamed = form === 'streamed';
  const ask = async (model, messages = 'Hi', { provider = 'openai', ...params } = {}) => {
    if (typeof messages === 'string') messages = [{ role: 'user', content: messages }];
    const body = { model: `${provider}/${model}`, max_tokens: 4096, messages, ...params };
    ask.events = [];
    try {
      if (!streamed) return await client.messages.create(body);
      return await client.messages.stream(body).on('streamEvent', (event) => ask.events.push(event)).finalMessage();
    } finally {
      ask.headers = lastHeaders();
    }
  };
  return Object.assign(ask, { streamed });
}

const saidBy = (name) => corpus(`openai_chat/response/${name}.json`);
const messageBy = (name) => saidBy(name).choices[0].message;
const textOf = (message) => message.content.filter(({ type }) => type === 'text').map(({ text }) => text).join('');
const callsBy = (name) =>
  messageBy(name).tool_calls.map(({ id, function: { name: called, arguments: text } }) => ({ id, name: called, input: JSON.parse(text) }));
const callsIn = (message) =>
  message.content.filter(({ type }) => type === 'tool_use').map(({ id, name, input }) => ({ id, name, input }));
const user = (...blocks) => [{ role: 'user', content: blocks }];

feature({
  async text(ask) {
    const answer = await ask('case-text', 'Grüß dich 🙂');
    assert.deepEqual(answer.content.map(({ type }) => type), ['text']);
    assert.equal(textOf(answer), messageBy('text').content);
    assert.deepEqual([answer.role, answer.stop_reason, answer.stop_sequence], ['assistant', 'end_turn', null]);
    assert.equal(answer.model, saidBy('text').model);
    assert.match(answer.id, /^msg_/);
    within([{ role: 'user', content: 'Grüß dich 🙂' }], (await received()).messages);
  },

  async system(ask) {
    const turns = [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Yes?' }, { role: 'user', content: 'So?' }];
    const answer = await ask('m', turns, { system: 'Be brief.' });
    assert(textOf(answer).includes(MOCK_SAID));
    within({ role: 'system', content: 'Be brief.' }, (await received()).messages[0]);
    const kind = { type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } };
    await ask('m', turns, { system: [{ type: 'text', text: 'Be brief.' }, kind] });
    const sent = (await received()).messages;
    assert.deepEqual(sent.map(({ role }) => role), ['system', 'user', 'assistant', 'user']);
    assert.match(JSON.stringify(sent[0]), /Be brief\..*Be kind\./);
  },

  async images(ask) {
    await ask('m', user(
      { type: 'text', text: 'Compare' },
      { type: 'image', source: { type: 'url', url: 'https://example.com/cat.png' } },
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } },
    ));
    within([
      { type: 'text', text: 'Compare' },
      { type: 'image_url', image_url: { url: 'https://example.com/cat.png' } },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } },
    ], (await received()).messages[0].content);
  },

  async documents(ask) {
    const source = { type: 'base64', media_type: 'application/pdf', data: PDF };
    await ask('m', user({ type: 'document', title: 'a.pdf', source }, { type: 'text', text: 'Sum up' }));
    const file = { filename: 'a.pdf', file_data: `data:application/pdf;base64,${PDF}` };
    within([{ type: 'file', file }, { type: 'text', text: 'Sum up' }], (await received()).messages[0].content);
    const plain = { type: 'text', media_type: 'text/plain', data: 'It is said.' };
    await ask('m', user({ type: 'document', source: plain }, { type: 'text', text: 'Sum up' }));
    assert.match(JSON.stringify((await received()).messages[0].content), /It is said\./);
  },

  // A call and its result, over two turns.
  async tools(ask) {
    const messages = [{ role: 'user', content: 'Weather?' }];
    const first = await ask('m', messages, { tools: [WEATHER] });
    assert.equal(first.stop_reason, 'tool_use');
    const [call] = callsIn(first);
    assert.deepEqual([call.name, Object.keys(call.input)], ['get_weather', ['place', 'unit']]);
    const sent = (await received()).tools[0];
    within({ type: 'function', function: { name: 'get_weather', parameters: PLACE } }, sent);
    assert.deepEqual(Object.keys(sent.function.parameters), Object.keys(PLACE), "the order of the schema's members");
    const result = { type: 'tool_result', tool_use_id: call.id, content: '21 °C' };
    messages.push({ role: 'assistant', content: first.content }, ...user(result));
    const second = await ask('m', messages, { tools: [WEATHER] });
    assert(textOf(second).includes(MOCK_SAID));
    const turns = (await received()).messages;
    assert.deepEqual(turns.map(({ role }) => role), ['user', 'assistant', 'tool']);
    assert.deepEqual(JSON.parse(turns[1].tool_calls[0].function.arguments), call.input);
    within({ role: 'tool', tool_call_id: call.id, content: '21 °C' }, turns[2]);
  },

  async tools_parallel(ask) {
    const answer = await ask('case-tools', 'Weather?', { tools: [WEATHER, NOW] });
    assert.deepEqual(callsIn(answer), callsBy('tools'));
    assert.deepEqual([textOf(answer), answer.stop_reason], ['', 'tool_use']);
    // Two calls whose arguments come in turns.
    const mixed = await ask('case-tools-interleaved', 'Weather?', { tools: [WEATHER, NOW] });
    assert.deepEqual(callsIn(mixed), callsBy('tools-interleaved'));
    const results = callsBy('tools').map(({ id, name }) => ({ type: 'tool_result', tool_use_id: id, content: name }));
    const turns = [{ role: 'user', content: 'Weather?' }, { role: 'assistant', content: answer.content }, ...user(...results)];
    await ask('m', turns, { tools: [WEATHER, NOW] });
    const sent = (await received()).messages;
    assert.deepEqual(sent.map(({ role }) => role), ['user', 'assistant', 'tool', 'tool']);
    assert.deepEqual(sent.slice(2).map((turn) => turn.tool_call_id), callsBy('tools').map(({ id }) => id));
  },

  // Arguments come in pieces and add up.
  async tools_streamed_arguments(ask) {
    const answer = await ask('m', 'Weather?', { tools: [WEATHER], tool_choice: { type: 'any' } });
    const [{ input }] = callsIn(answer);
    assert.deepEqual(Object.keys(input), ['place', 'unit']);
    if (ask.streamed) {
      const pieces = ask.events.filter(({ delta }) => delta?.type === 'input_json_delta').map(({ delta }) => delta.partial_json);
      assert(pieces.length > 3, `${pieces.length} pieces`);
      assert.deepEqual(JSON.parse(pieces.join('')), input);
    }
  },

  // Results with images, errors and nothing at all, and what the user adds to them.
  async tool_results(ask) {
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } };
    const calls = [0, 1, 2].map((i) => ({ type: 'tool_use', id: `toolu_${i}`, name: 'now', input: {} }));
    await ask('m', [
      { role: 'user', content: 'Look' },
      { role: 'assistant', content: [{ type: 'text', text: 'I look.' }, ...calls] },
      ...user(
        { type: 'tool_result', tool_use_id: 'toolu_0', content: [{ type: 'text', text: 'a picture' }, image] },
        { type: 'tool_result', tool_use_id: 'toolu_1', content: 'no such thing', is_error: true },
        { type: 'tool_result', tool_use_id: 'toolu_2' },
        { type: 'text', text: 'Go on.' },
      ),
    ], { tools: [NOW] });
    const sent = (await received()).messages;
    assert.deepEqual(sent.slice(0, 5).map(({ role }) => role), ['user', 'assistant', 'tool', 'tool', 'tool']);
    assert.deepEqual(sent.slice(2, 5).map((turn) => turn.tool_call_id), ['toolu_0', 'toolu_1', 'toolu_2']);
    assert.match(JSON.stringify(sent[2]), /a picture/);
    assert.match(JSON.stringify(sent[3]), /no such thing/);
    // A tool's message holds text only, so the picture follows in the user's.
    const after = JSON.stringify(sent.slice(5));
    assert(after.includes(`data:image/png;base64,${PNG}`) && after.includes('Go on.'), after);
    assert(sent.slice(5).every(({ role }) => role === 'user'));
  },

  async tool_choice(ask) {
    const named = { type: 'function', function: { name: 'now' } };
    for (const [choice, expected] of [
      [{ type: 'auto' }, 'auto'], [{ type: 'any' }, 'required'], [{ type: 'none' }, 'none'], [{ type: 'tool', name: 'now' }, named],
    ]) {
      const answer = await ask('m', 'Weather?', { tools: [WEATHER, NOW], tool_choice: choice });
      assert.deepEqual((await received()).tool_choice, expected);
      assert.equal(callsIn(answer).length > 0, expected !== 'none');
    }
  },

  async tools_parallel_off(ask) {
    await ask('m', 'Weather?', { tools: [WEATHER], tool_choice: { type: 'auto', disable_parallel_tool_use: true } });
    within({ tool_choice: 'auto', parallel_tool_calls: false }, await received());
  },

  async tools_strict(ask) {
    await ask('m', 'Weather?', { tools: [{ ...WEATHER, strict: true }] });
    within({ strict: true, parameters: PLACE }, (await received()).tools[0].function);
  },

  async json_schema(ask) {
    const format = { type: 'json_schema', schema: PERSON };
    const answer = await ask('case-structured', 'Ada, 36', { output_config: { format } });
    assert.deepEqual(JSON.parse(textOf(answer)), JSON.parse(messageBy('structured').content));
    const { type, json_schema } = (await received()).response_format;
    assert.equal(type, 'json_schema');
    within({ schema: PERSON, strict: true }, json_schema);
    assert(json_schema.name);
  },

  // The SDK's own way to structured output, its schema made from a class.
  async parse_helper(ask) {
    const body = {
      model: 'openai/case-structured',
      max_tokens: 99,
      messages: [{ role: 'user', content: 'Ada, 36' }],
      output_config: { format: zodOutputFormat(Person) },
    };
    const { messages } = client;
    const answer = ask.streamed ? await messages.stream(body).finalMessage() : await messages.parse(body);
    assert.deepEqual(answer.parsed_output, JSON.parse(messageBy('structured').content));
  },

  async stop(ask) {
    const answer = await ask('case-text', 'Count', { stop_sequences: ['three', 'four'] });
    assert.deepEqual([answer.stop_reason, answer.stop_sequence], ['end_turn', null]);
    assert.deepEqual((await received()).stop, ['three', 'four']);
  },

  async sampling(ask) {
    await ask('m', 'Hi', { max_tokens: 77, metadata: { user_id: 'u-1' }, temperature: 0.25, top_p: 0.5 });
    const sent = await received();
    within({ temperature: 0.25, top_p: 0.5, max_completion_tokens: 77 }, sent);
    assert([sent.user, sent.safety_identifier].includes('u-1'), JSON.stringify(sent));
  },

  // What OpenAI has no word for is left out and said in a header.
  async dropped_parameters(ask) {
    const code = { type: 'code_execution_20250825', name: 'code_execution' };
    await ask('m', 'Hi', { container: 'container_1', top_k: 5, tools: [NOW, code] });
    const names = [...dropped(ask.headers)];
    const sent = await received();
    assert(names.includes('top_k') && names.includes('container'), `${names}`);
    assert(names.some((name) => name.startsWith('tools[1]')), `${names}`);
    assert(!('top_k' in sent) && !('container' in sent) && sent.tools.length === 1, JSON.stringify(sent));
    await ask('m');
    assert.equal(dropped(ask.headers).size, 0);
  },

  async reasoning_effort(ask) {
    for (const [budget_tokens, efforts] of [[1024, ['minimal', 'low']], [16_000, ['high', 'xhigh']]]) {
      await ask('gpt-5.1', 'Hi', { max_tokens: 20_000, thinking: { type: 'enabled', budget_tokens } });
      const { reasoning_effort } = await received();
      assert(efforts.includes(reasoning_effort), reasoning_effort);
    }
    await ask('gpt-5.1', 'Hi', { thinking: { type: 'adaptive' }, output_config: { effort: 'low' } });
    assert.equal((await received()).reasoning_effort, 'low');
  },

  // What a compatible server reasons becomes a thinking block, and goes back to a server that takes it.
  async thinking(ask) {
    const said = messageBy('reasoning');
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    const answer = await ask('case-reasoning', 'Which?', { provider: 'deepseek', thinking });
    assert.deepEqual(answer.content.map(({ type }) => type), ['thinking', 'text']);
    assert.deepEqual([answer.content[0].thinking, textOf(answer)], [said.reasoning_content, said.content]);
    const turns = [
      { role: 'user', content: 'Which?' }, { role: 'assistant', content: answer.content }, { role: 'user', content: 'Sure?' },
    ];
    await ask('m', turns, { provider: 'deepseek' });
    within({ content: said.content, reasoning_content: said.reasoning_content }, (await received()).messages[1]);
    // OpenAI itself refuses the member.
    await ask('m', turns);
    assert.deepEqual(Object.keys((await received()).messages[1]).sort(), ['content', 'role']);
  },

  // OpenRouter tells signed and redacted thinking; both are blocks, and come back to it as they were.
  async thinking_signed(ask) {
    const kinds = { 'reasoning.text': 'thinking', 'reasoning.encrypted': 'redacted_thinking' };
    const details = messageBy('reasoning-details').reasoning_details.filter(({ type }) => type in kinds);
    const answer = await ask('case-reasoning-details', 'Prove it', { provider: 'openrouter' });
    const blocks = answer.content.slice(0, details.length);
    assert.deepEqual(blocks.map(({ type }) => type), details.map(({ type }) => kinds[type]));
    details.forEach(({ text, signature, data }, i) => {
      const block = blocks[i];
      if (block.type === 'thinking') assert.deepEqual([block.thinking, block.signature], [text, signature]);
      else assert.equal(block.data, data);
    });
    const results = callsIn(answer).map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: '21 °C' }));
    const turns = [
      { role: 'user', content: 'Prove it' }, { role: 'assistant', content: answer.content },
      ...user(...results, { type: 'text', text: 'Sure?' }),
    ];
    await ask('m', turns, { provider: 'openrouter' });
    const only = (list) => list.map(({ type, text, signature, data }) => ({ type, text, signature, data }));
    assert.deepEqual(only((await received()).messages[1].reasoning_details ?? []), only(details));
  },

  async cached_tokens(ask) {
    const { prompt_tokens, completion_tokens, prompt_tokens_details: { cached_tokens } } = saidBy('text').usage;
    const { usage } = await ask('case-text');
    assert(cached_tokens > 0, 'the case caches nothing');
    assert.deepEqual([usage.input_tokens, usage.cache_read_input_tokens], [prompt_tokens - cached_tokens, cached_tokens]);
    assert.equal(usage.output_tokens, completion_tokens);
  },

  async citations(ask) {
    const said = messageBy('citations');
    const answer = await ask('case-citations');
    assert.equal(textOf(answer), said.content);
    const cited = answer.content.flatMap(({ citations }) => (citations ?? []).map(({ url, title }) => ({ url, title })));
    assert.deepEqual(cited, said.annotations.map(({ url_citation: { url, title } }) => ({ url, title })));
  },

  async web_search(ask) {
    const place = { type: 'approximate', city: 'Bern', country: 'CH' };
    const tool = { type: 'web_search_20250305', name: 'web_search', user_location: place };
    const answer = await ask('gpt-4o-search-preview-case-citations', 'News?', { tools: [tool] });
    assert.deepEqual([textOf(answer), answer.stop_reason], [messageBy('citations').content, 'end_turn']);
    const sent = await received();
    within({ user_location: { type: 'approximate', approximate: { city: 'Bern', country: 'CH' } } }, sent.web_search_options ?? null);
    assert(!('tools' in sent), JSON.stringify(sent));
  },

  async refusal(ask) {
    const answer = await ask('case-refusal', 'Bad');
    assert.deepEqual([answer.stop_reason, textOf(answer)], ['refusal', messageBy('refusal').refusal]);
  },

  async stop_reasons(ask) {
    for (const [name, reason] of [
      ['text', 'end_turn'], ['length', 'max_tokens'], ['tools', 'tool_use'], ['content-filter', 'refusal'], ['refusal', 'refusal'],
    ]) {
      assert.equal((await ask(`case-${name}`)).stop_reason, reason, name);
    }
  },

  async request_id(ask) {
    const answer = await ask('case-text');
    assert.match(ask.headers.get('request-id') ?? '', /^req_/);
    if (!ask.streamed) assert.match(answer._request_id ?? '', /^req_/);
  },

  async gateway_headers(ask) {
    await ask('case-text');
    assert.equal(ask.headers.get('x-attache-provider'), 'openai');
    assert.equal(ask.headers.get('x-attache-model'), 'case-text');
  },

  // Thinking, citations, server tools and every block of Anthropic's own protocol come through as they are.
  async same_protocol(ask) {
    for (const name of ['text', 'thinking', 'citations', 'web-search']) {
      const said = corpus(`anthropic/response/${name}.json`);
      const answer = await ask(`case-${name}`, 'Hi', { provider: 'anthropic' });
      assert.deepEqual([answer.id, answer.stop_reason], [said.id, said.stop_reason]);
      within(said.content, answer.content);
    }
  },
});

feature({
  // Anthropic counts itself.
  async count_tokens() {
    const body = { messages: [{ role: 'user', content: 'Hi there' }], tools: [WEATHER], system: 'Be brief.' };
    const count = await client.messages.countTokens({ model: 'anthropic/claude-sonnet-4-5', ...body });
    assert(count.input_tokens > 0);
    within({ model: 'claude-sonnet-4-5', ...body }, await received());
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert(ids.includes('chat'), `${ids}`);
  },
}, ['whole']);

errors(feature, client);

// What passed, with the types it must have.
function inspect(answers, records) {
  const typed = [];
  for (const { host, path, body } of records) {
    if (host === 'api.openai.com') typed.push({ type: 'OpenAIRequest', text: body });
    if (path.endsWith('/count_tokens')) typed.push({ type: 'MessageCountTokensParams', text: body });
  }
  for (const { path, status, headers, text } of answers) {
    if (status !== 200) typed.push({ type: 'AnthropicFault', text });
    else if (path.endsWith('/models')) typed.push({ type: 'AnthropicModels', text });
    else if (path.endsWith('/count_tokens')) typed.push({ type: 'MessageTokensCount', text });
    else if (headers.get('content-type').startsWith('text/event-stream')) typed.push(...stream(text));
    else typed.push({ type: 'AnthropicMessage', text });
  }
  return typed;
}

function stream(text) {
  return events(text).filter(({ name }) => name !== 'ping').map(({ name, data }) => {
    assert.equal(JSON.parse(data).type, name, "an event's name is its data's type");
    return { type: name === 'error' ? 'AnthropicFault' : 'AnthropicEvent', text: data };
  });
}

await main({ asks, inspect, compile });
