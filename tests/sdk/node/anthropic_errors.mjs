// Failures as the `anthropic` SDK throws them: an OpenAI provider's, and Attaché's own.

import assert from 'node:assert/strict';

import Anthropic from '@anthropic-ai/sdk';

import { BASE, corpus, fails, records, recording, withoutKeys } from './harness.mjs';

// case of the corpus, class, status, type
const PROVIDER = {
  error_400: ['400-param', Anthropic.BadRequestError, 400, 'invalid_request_error'],
  error_401: ['401-key', Anthropic.AuthenticationError, 401, 'authentication_error'],
  error_403: ['403-permission', Anthropic.PermissionDeniedError, 403, 'permission_error'],
  error_404: ['404-model', Anthropic.NotFoundError, 404, 'not_found_error'],
  error_413: ['413-large', Anthropic.ContentTooLargeError, 413, 'request_too_large'],
  error_422: ['422-unprocessable', Anthropic.UnprocessableEntityError, 422, 'invalid_request_error'],
  error_429_rate_limit: ['429-rate-limit@7', Anthropic.RateLimitError, 429, 'rate_limit_error'],
  // OpenAI's 429 with a code of its own is Anthropic's 402.
  error_quota: ['429-quota', Anthropic.PaymentRequiredError, 402, 'billing_error'],
  error_500: ['500-server', Anthropic.InternalServerError, 500, 'api_error'],
  // Overload is 503 there and 529 here.
  error_529: ['503-overloaded', Anthropic.OverloadedError, 529, 'overloaded_error'],
};

async function providerFails(ask, [name, kind, status, type]) {
  assert(kind, 'the SDK has no such class');
  const seconds = name.split('@')[1];
  // A key of its own each time: one that was told to wait rests.
  const provider = seconds ? `limited-openai-${ask.streamed ? 'streamed' : 'whole'}` : 'openai';
  const error = await fails(ask(`fault-${name}`, 'Hi', { provider }), kind);
  assert.equal(error.constructor, kind);
  assert.deepEqual([error.status, error.type], [status, type]);
  const said = withoutKeys(corpus(`openai_chat/fault/${name.split('@')[0]}.json`).error.message);
  assert.equal(error.error.error.message, said);
  assert.match(error.requestID ?? '', /^req_/);
  assert.equal(error.headers.get('retry-after') ?? undefined, seconds);
}

// Registers the features.
export function errors(feature, client) {
  for (const [name, row] of Object.entries(PROVIDER)) feature({ [name]: (ask) => providerFails(ask, row) });

  feature({
    async error_in_stream(ask) {
      const error = await fails(ask('case-error'), Anthropic.APIError);
      assert.equal(error.type, 'api_error');
      assert.match(`${error}`, /had an error/);
    },

    // A stream that ends without its end is an error, not a short answer.
    async stream_cut_short(ask) {
      await fails(ask('case-truncated'), Anthropic.APIError);
    },
  }, ['streamed']);

  feature({
    async own_bad_key(ask) {
      const nobody = client.withOptions({ apiKey: 'nobody', fetch: recording, baseURL: BASE });
      const messages = [{ role: 'user', content: 'Hi' }];
      const call = nobody.messages.create({ model: 'openai/m', max_tokens: 9, messages, stream: ask.streamed });
      const error = await fails(call, Anthropic.AuthenticationError);
      assert.deepEqual([error.status, error.type], [401, 'authentication_error']);
      assert.deepEqual(await records(), []);
    },

    async own_unknown_model(ask) {
      const error = await fails(ask('m', 'Hi', { provider: 'nobody' }), Anthropic.NotFoundError);
      assert.deepEqual([error.status, error.type], [404, 'not_found_error']);
      assert.deepEqual(await records(), []);
    },

    async own_malformed(ask) {
      const error = await fails(ask('m', [{ role: 'user', content: 7 }]), Anthropic.BadRequestError);
      assert.deepEqual([error.status, error.type], [400, 'invalid_request_error']);
      assert.match(error.error.error.message, /messages[.[]0\]?\.content/);
      assert.deepEqual(await records(), []);
    },

    async own_too_large(ask) {
      const error = await fails(ask('m', 'x'.repeat(1_100_000)), Anthropic.APIError);
      assert.deepEqual([error.status, error.type], [413, 'request_too_large']);
      assert.deepEqual(await records(), []);
    },
  });
}
