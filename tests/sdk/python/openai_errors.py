"""Failures as the `openai` SDK raises them: an Anthropic provider's, and Attaché's own."""

import json

import openai

import recorder
from harness import BASE, check, corpus, eq, feature, records, without_keys


def fails(ask, *arguments, **params):
    """The exception of a request that must fail, raised by the status alone."""
    try:
        ask(*arguments, **params)
    except openai.APIError as error:
        return error
    raise AssertionError("it did not fail")


def provider_fails(ask, case, kind, status, type, code=None, provider="anthropic"):
    error = fails(ask, f"fault-{case}", provider=provider)
    eq(error.__class__, kind)
    eq((error.status_code, error.type, error.code), (status, type, code))
    said = without_keys(corpus(f"anthropic/fault/{case.split('@')[0]}.json")["error"]["message"])
    eq(error.body["message"], said)
    check(said in str(error), error)
    check((error.request_id or "").startswith("req_"), f"request id {error.request_id!r}")
    return error


@feature()
def error_400(ask):
    provider_fails(ask, "400-invalid", openai.BadRequestError, 400, "invalid_request_error")


@feature()
def error_401(ask):
    provider_fails(ask, "401-key", openai.AuthenticationError, 401, "invalid_request_error", "invalid_api_key")


@feature()
def error_403(ask):
    provider_fails(ask, "403-permission", openai.PermissionDeniedError, 403, "invalid_request_error")


@feature()
def error_404(ask):
    provider_fails(ask, "404-model", openai.NotFoundError, 404, "invalid_request_error", "model_not_found")


@feature()
def error_413(ask):
    provider_fails(ask, "413-large", openai.APIStatusError, 413, "invalid_request_error")


@feature()
def error_422(ask):
    provider_fails(ask, "422-unprocessable", openai.UnprocessableEntityError, 422, "invalid_request_error")


@feature()
def error_429_rate_limit(ask):
    # A key of its own each time: one that was told to wait rests.
    provider = "limited-streamed" if ask.streamed else "limited-whole"
    error = provider_fails(ask, "429-rate-limit@7", openai.RateLimitError, 429, "rate_limit_error",
                           "rate_limit_exceeded", provider)
    eq(error.response.headers["retry-after"], "7")


@feature()
def error_quota(ask):
    """Anthropic's 402 is OpenAI's 429 with a code of its own."""
    error = provider_fails(ask, "402-billing", openai.RateLimitError, 429, "insufficient_quota", "insufficient_quota")
    check("retry-after" not in error.response.headers, error.response.headers)


@feature()
def error_500(ask):
    provider_fails(ask, "500-api", openai.InternalServerError, 500, "server_error")


@feature()
def error_503(ask):
    """Overload is 529 there and 503 here."""
    provider_fails(ask, "529-overloaded", openai.InternalServerError, 503, "service_unavailable_error",
                   "server_is_overloaded")


@feature()
def error_504(ask):
    provider_fails(ask, "504-timeout", openai.InternalServerError, 504, "server_error", "timeout")


@feature("streamed")
def error_in_stream(ask):
    error = fails(ask, "case-error")
    eq(error.__class__, openai.APIError)
    check("Overloaded" in str(error), error)


@feature("streamed")
def stream_cut_short(ask):
    """A stream that ends without its end is an error, not a short answer."""
    error = fails(ask, "case-truncated")
    eq(error.__class__, openai.APIError)


@feature()
def own_bad_key(ask):
    client = openai.OpenAI(base_url=f"{BASE}/v1", api_key="nobody", max_retries=0, http_client=recorder.client())
    try:
        client.chat.completions.create(
            model="anthropic/m", messages=[{"role": "user", "content": "Hi"}], stream=ask.streamed)
    except openai.AuthenticationError as error:
        eq((error.status_code, error.code), (401, "invalid_api_key"))
        eq(records(), [])
        return
    raise AssertionError("it did not fail")


@feature()
def own_unknown_model(ask):
    error = fails(ask, "m", provider="nobody")
    eq((error.__class__, error.status_code, error.code), (openai.NotFoundError, 404, "model_not_found"))
    eq(records(), [])


@feature()
def own_malformed(ask):
    error = fails(ask, "m", [{"role": "user", "content": 7}])
    eq((error.__class__, error.status_code, error.type), (openai.BadRequestError, 400, "invalid_request_error"))
    check("messages[0].content" in (error.param or ""), error.param)
    eq(records(), [])


@feature()
def own_too_large(ask):
    error = fails(ask, "m", "x" * 1_100_000)
    eq((error.__class__, error.status_code), (openai.APIStatusError, 413))
    eq(json.loads(error.response.text)["error"]["type"], "invalid_request_error")
    eq(records(), [])
