"""Failures as the `anthropic` SDK raises them: an OpenAI provider's, and Attaché's own."""

import anthropic

import recorder
from harness import BASE, check, corpus, eq, feature, records, without_keys


def fails(ask, *arguments, **params):
    """The exception of a request that must fail, raised by the status alone."""
    try:
        ask(*arguments, **params)
    except anthropic.APIError as error:
        return error
    raise AssertionError("it did not fail")


def provider_fails(ask, case, kind, status, type, provider="openai"):
    error = fails(ask, f"fault-{case}", provider=provider)
    eq(error.__class__, kind)
    eq((error.status_code, error.type), (status, type))
    said = without_keys(corpus(f"openai_chat/fault/{case.split('@')[0]}.json")["error"]["message"])
    eq(error.api_message, said)
    check((error.request_id or "").startswith("req_"), f"request id {error.request_id!r}")
    return error


@feature()
def error_400(ask):
    provider_fails(ask, "400-param", anthropic.BadRequestError, 400, "invalid_request_error")


@feature()
def error_401(ask):
    provider_fails(ask, "401-key", anthropic.AuthenticationError, 401, "authentication_error")


@feature()
def error_403(ask):
    provider_fails(ask, "403-permission", anthropic.PermissionDeniedError, 403, "permission_error")


@feature()
def error_404(ask):
    provider_fails(ask, "404-model", anthropic.NotFoundError, 404, "not_found_error")


@feature()
def error_413(ask):
    provider_fails(ask, "413-large", anthropic.ContentTooLargeError, 413, "request_too_large")


@feature()
def error_422(ask):
    provider_fails(ask, "422-unprocessable", anthropic.UnprocessableEntityError, 422, "invalid_request_error")


@feature()
def error_429_rate_limit(ask):
    # A key of its own each time: one that was told to wait rests.
    provider = "limited-openai-streamed" if ask.streamed else "limited-openai-whole"
    error = provider_fails(ask, "429-rate-limit@7", anthropic.RateLimitError, 429, "rate_limit_error", provider)
    eq(error.response.headers["retry-after"], "7")


@feature()
def error_quota(ask):
    """OpenAI's 429 with a code of its own is Anthropic's 402."""
    error = provider_fails(ask, "429-quota", anthropic.PaymentRequiredError, 402, "billing_error")
    check("retry-after" not in error.response.headers, error.response.headers)


@feature()
def error_500(ask):
    provider_fails(ask, "500-server", anthropic.InternalServerError, 500, "api_error")


@feature()
def error_529(ask):
    """Overload is 503 there and 529 here."""
    provider_fails(ask, "503-overloaded", anthropic.OverloadedError, 529, "overloaded_error")


@feature("streamed")
def error_in_stream(ask):
    error = fails(ask, "case-error")
    eq((isinstance(error, anthropic.APIStatusError), error.type), (True, "api_error"))
    check("had an error" in str(error), error)


@feature("streamed")
def stream_cut_short(ask):
    """A stream that ends without its end is an error, not a short answer."""
    check(isinstance(fails(ask, "case-truncated"), anthropic.APIStatusError), "")


@feature()
def own_bad_key(ask):
    client = anthropic.Anthropic(base_url=BASE, api_key="nobody", max_retries=0, http_client=recorder.client())
    messages = [{"role": "user", "content": "Hi"}]
    try:
        client.messages.create(model="openai/m", max_tokens=9, messages=messages, stream=ask.streamed)
    except anthropic.AuthenticationError as error:
        eq((error.status_code, error.type), (401, "authentication_error"))
        eq(records(), [])
        return
    raise AssertionError("it did not fail")


@feature()
def own_unknown_model(ask):
    error = fails(ask, "m", provider="nobody")
    eq((error.__class__, error.status_code, error.type), (anthropic.NotFoundError, 404, "not_found_error"))
    eq(records(), [])


@feature()
def own_malformed(ask):
    error = fails(ask, "m", [{"role": "user", "content": 7}])
    eq((error.__class__, error.status_code, error.type), (anthropic.BadRequestError, 400, "invalid_request_error"))
    check("messages[0].content" in error.api_message or "messages.0.content" in error.api_message, error)
    eq(records(), [])


@feature()
def own_too_large(ask):
    error = fails(ask, "m", "x" * 1_100_000)
    eq((error.__class__, error.status_code, error.type), (anthropic.ContentTooLargeError, 413, "request_too_large"))
    eq(records(), [])
