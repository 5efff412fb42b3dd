"""Answers against the SDKs' own types, strictly.

The SDKs construct their models without validating, so that a new member of the vendor's breaks nobody. Here the bytes
are validated: required members, kinds and enumerations, and no member that the types do not know but for the listed.
"""

import json
from typing import Literal, Optional, Union

import anthropic.types as a
import anthropic.types.shared as shared
import pydantic
from openai import types as o
from openai.types import chat

from harness import check, eq, taken

# Known to documents, not to types: reasoning as compatible servers tell it, and annotations in a stream.
DOCUMENTED = {"reasoning_content", "reasoning_details", "annotations"}


class OpenAIError(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    message: str
    type: str
    # Both are always there, if only as null.
    param: Optional[str]
    code: Optional[str]


class OpenAIFault(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    error: OpenAIError


class TooLarge(pydantic.BaseModel):
    """Documented for 413, and not among the SDK's types."""

    model_config = pydantic.ConfigDict(extra="forbid")
    type: Literal["request_too_large"]
    message: str


class AnthropicTooLarge(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    type: Literal["error"]
    error: TooLarge
    request_id: Optional[str] = None


class OpenAIModels(pydantic.BaseModel):
    object: str
    data: list[o.Model]


class AnthropicModels(pydantic.BaseModel):
    data: list[a.ModelInfo]
    has_more: bool
    first_id: Optional[str]
    last_id: Optional[str]


def _validate(kind, text):
    value = pydantic.TypeAdapter(kind).validate_json(text, strict=True)
    unknown = sorted(set(_unknown(value, "")))
    check(not unknown, f"members the SDK's types do not know: {unknown} in {text[:400]!r}")
    return value


def _unknown(value, path):
    if isinstance(value, pydantic.BaseModel):
        for name in value.model_extra or {}:
            if name not in DOCUMENTED:
                yield f"{path}.{name}"
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(item, f"{path}[]")


def events(body):
    """Server-sent events as (name, data)."""
    text = bytes(body).decode()
    check(text.endswith("\n\n"), f"the last event is not finished: {text[-80:]!r}")
    for block in text.split("\n\n")[:-1]:
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
            else:
                check(line.startswith(":"), f"neither member nor comment: {line!r}")
        if data:
            yield name, "\n".join(data)


def openai():
    """Every answer since the last call is what OpenAI's types say."""
    answers = taken()
    check(answers, "nothing was asked")
    for answer in answers:
        if answer.status != 200:
            _validate(OpenAIFault, bytes(answer.body))
        elif answer.path.endswith("/models"):
            _validate(OpenAIModels, bytes(answer.body))
        elif answer.streamed:
            _openai_stream(answer.body)
        else:
            check(answer.headers["content-type"].startswith("application/json"), answer.headers)
            _validate(chat.ChatCompletion, bytes(answer.body))


def _openai_stream(body):
    all_of_it = list(events(body))
    eq([name for name, _ in all_of_it if name], [], "chunks have no names:")
    data = [data for _, data in all_of_it]
    if "error" in json.loads(data[-1] if data[-1] != "[DONE]" else "{}"):
        _validate(OpenAIFault, data.pop())
    else:
        eq(data.pop(), "[DONE]")
    chunks = [_validate(chat.ChatCompletionChunk, one) for one in data]
    eq(len({(c.id, c.created, c.model, c.object) for c in chunks}), 1, "one stream, one identity:")
    eq(chunks[0].choices[0].delta.role, "assistant", "the first chunk:")
    reasons = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        check(reasons.get(choice.index) is None, f"choice {choice.index} goes on after its end")
        reasons[choice.index] = choice.finish_reason


def anthropic():
    """Every answer since the last call is what Anthropic's types say."""
    answers = taken()
    check(answers, "nothing was asked")
    for answer in answers:
        if answer.status != 200:
            _anthropic_fault(bytes(answer.body))
        elif answer.path.endswith("/models"):
            _validate(AnthropicModels, bytes(answer.body))
        elif answer.path.endswith("/count_tokens"):
            _validate(a.MessageTokensCount, bytes(answer.body))
        elif answer.streamed:
            _anthropic_stream(answer.body)
        else:
            check(answer.headers["content-type"].startswith("application/json"), answer.headers)
            message = _validate(a.Message, bytes(answer.body))
            check(message.stop_reason, "a whole message has a stop reason")


def _anthropic_fault(text):
    _validate(Union[shared.ErrorResponse, AnthropicTooLarge], text)


def _anthropic_stream(body):
    opened, order = None, []
    for name, data in events(body):
        kind = json.loads(data)["type"]
        eq(name, kind, "an event's name is its data's type:")
        if kind == "ping":
            continue
        order.append(kind)
        if kind == "error":
            return _anthropic_fault(data)
        event = _validate(a.RawMessageStreamEvent, data)
        # One block at a time, numbered without a gap.
        if kind == "content_block_start":
            check(opened is None, "a block within a block")
            opened = event.index
            eq(event.index, order.count(kind) - 1)
        elif kind == "content_block_delta":
            eq(event.index, opened)
        elif kind == "content_block_stop":
            eq(event.index, opened)
            opened = None
    eq((order[0], order[-2:]), ("message_start", ["message_delta", "message_stop"]))
