// Failures as the `openai` SDK throws them: an Anthropic provider's, and Attaché's own.

import assert from 'node:assert/strict';

import OpenAI from 'openai';

import { BASE, corpus, fails, records, recording, withoutKeys } from './harness.mjs';

// case of the corpus, class, status, type, code
const PROVIDER = {
  error_400: ['400-invalid', OpenAI.BadRequestError, 400, 'invalid_request_error', null],
  error_401: ['401-key', OpenAI.AuthenticationError, 401, 'invalid_request_error', 'invalid_api_key'],
  error_403: ['403-permission', OpenAI.PermissionDeniedError, 403, 'invalid_request_error', null],
  error_404: ['404-model', OpenAI.NotFoundError, 404, 'invalid_request_error', 'model_not_found'],
  error_413: ['413-large', OpenAI.APIError, 413, 'invalid_request_error', null],
  error_422: ['422-unprocessable', OpenAI.UnprocessableEntityError, 422, 'invalid_request_error', null],
  error_429_rate_limit: ['429-rate-limit@7', OpenAI.RateLimitError, 429, 'rate_limit_error', 'rate_limit_exceeded'],
  // Anthropic's 402 is OpenAI's 429 with a code of its own.
  error_quota: ['402-billing', OpenAI.RateLimitError, 429, 'insufficient_quota', 'insufficient_quota'],
  error_500: ['500-api', OpenAI.InternalServerError, 500, 'server_error', null],
  // Overload is 529 there and 503 here.
  error_503: ['529-overloaded', OpenAI.InternalServerError, 503, 'service_unavailable_error', 'server_is_overloaded'],
  error_504: ['504-timeout', OpenAI.InternalServerError, 504, 'server_error', 'timeout'],
};

async function providerFails(ask, [name, kind, status, type, code]) {
  const seconds = name.split('@')[1];
  // A key of its own each time: one that was told to wait rests.
  const provider = seconds ? `limited-${ask.streamed ? 'streamed' : 'whole'}` : 'anthropic';
  const error = await fails(ask(`fault-${name}`, 'Hi', { provider }), kind);
  assert.equal(error.constructor, kind);
  assert.deepEqual([error.status, error.type, error.code], [status, type, code]);
  const said = withoutKeys(corpus(`anthropic/fault/${name.split('@')[0]}.json`).error.message);
  assert.equal(error.error.message, said);
  assert.match(error.requestID ?? '', /^req_/);
  assert.equal(error.headers.get('retry-after') ?? undefined, seconds);
}

// Registers the features.
export function errors(feature, client) {
  for (const [name, row] of Object.entries(PROVIDER)) feature({ [name]: (ask) => providerFails(ask, row) });

  feature({
    async error_in_stream(ask) {
      const error = await fails(ask('case-error'), OpenAI.APIError);
      assert.match(`${error}`, /Overloaded/);
    },

    // A stream that ends without its end is an error, not a short answer.
    async stream_cut_short(ask) {
      await fails(ask('case-truncated'), OpenAI.APIError);
    },
  }, ['streamed']);

  feature({
    async own_bad_key(ask) {
      const nobody = client.withOptions({ apiKey: 'nobody', fetch: recording, baseURL: `${BASE}/v1` });
      const messages = [{ role: 'user', content: 'Hi' }];
      const call = nobody.chat.completions.create({ model: 'anthropic/m', messages, stream: ask.streamed });
      const error = await fails(call, OpenAI.AuthenticationError);
      assert.deepEqual([error.status, error.code], [401, 'invalid_api_key']);
      assert.deepEqual(await records(), []);
    },

    async own_unknown_model(ask) {
      const error = await fails(ask('m', 'Hi', { provider: 'nobody' }), OpenAI.NotFoundError);
      assert.deepEqual([error.status, error.code], [404, 'model_not_found']);
      assert.deepEqual(await records(), []);
    },

    async own_malformed(ask) {
      const error = await fails(ask('m', [{ role: 'user', content: 7 }]), OpenAI.BadRequestError);
      assert.deepEqual([error.status, error.type], [400, 'invalid_request_error']);
      assert.match(error.param ?? '', /messages\[0\]\.content/);
      assert.deepEqual(await records(), []);
    },

    async own_too_large(ask) {
      const error = await fails(ask('m', 'x'.repeat(1_100_000)), OpenAI.APIError);
      assert.deepEqual([error.status, error.type], [413, 'invalid_request_error']);
      assert.deepEqual(await records(), []);
    },
  });
}
