"""The `openai` SDK as the client of an Anthropic provider, and a few features towards OpenAI's own protocol."""

import json

import openai
import pydantic
from openai.lib.streaming.chat import ChatCompletionStreamState

import recorder
import strict
from harness import (
    BASE, KEY, MOCK_SAID, PDF, PERSON, PLACE, PNG, check, corpus, dropped, eq, feature, main, received, within,
)

client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0, http_client=recorder.client())

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Of a place", "parameters": PLACE}}
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}


# Stands before a case's name where the test does not say another model: what it can do decides some translations.
CLAUDE = "claude-sonnet-4-5"


class Person(pydantic.BaseModel):
    name: str
    age: int


class Ask:
    """Asks whole or streamed, and gives the completion either way."""

    def __init__(self, form):
        self.streamed = form == "streamed"

    def __call__(self, model, messages="Hi", provider="anthropic", **params):
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if provider.startswith(("anthropic", "limited")) and not model.startswith("claude-"):
            model = f"{CLAUDE}-{model}"
        params = {"model": f"{provider}/{model}", "messages": messages, **params}
        completions = client.chat.completions
        if not self.streamed:
            raw = completions.with_raw_response.create(**params)
            self.headers = raw.headers
            return raw.parse()
        raw = completions.with_raw_response.create(stream=True, **params)
        self.headers = raw.headers
        state, self.chunks = ChatCompletionStreamState(), []
        for chunk in raw.parse():
            self.chunks.append(chunk)
            state.handle_chunk(chunk)
        return state.current_completion_snapshot


def message_of(answer):
    eq(len(answer.choices), 1)
    return answer.choices[0].message


def said_by(case):
    return corpus(f"anthropic/response/{case}.json")


def text_of(answer):
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def calls_of(answer):
    uses = [block for block in answer["content"] if block["type"] == "tool_use"]
    return [(use["id"], use["name"], use["input"]) for use in uses]


def calls_in(message):
    calls = message.tool_calls or []
    check(all(call.type == "function" for call in calls), calls)
    return [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


@feature()
def text(ask):
    answer = ask("case-text", "Grüß dich 🙂")
    eq(message_of(answer).content, text_of(said_by("text")))
    eq((message_of(answer).role, answer.choices[0].finish_reason), ("assistant", "stop"))
    eq(answer.model, said_by("text")["model"])
    check(answer.id.startswith("chatcmpl-"), answer.id)
    within({"model": f"{CLAUDE}-case-text", "messages": [{"role": "user", "content": "Grüß dich 🙂"}]}, received())


@feature()
def system(ask):
    answer = ask("m", [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "So?"},
    ])
    check(MOCK_SAID in message_of(answer).content, answer)
    sent = received()
    eq([turn["role"] for turn in sent["messages"]], ["user", "assistant", "user"])
    check("Be brief." in json.dumps(sent["system"]) and "Be kind." in json.dumps(sent["system"]), sent)


@feature()
def images(ask):
    ask("m", user(
        {"type": "text", "text": "Compare"},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ))
    within([
        {"type": "text", "text": "Compare"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ], received()["messages"][0]["content"])


@feature()
def documents(ask):
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    ask("m", user({"type": "file", "file": file}, {"type": "text", "text": "Sum up"}))
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    within([{"type": "document", "source": source, "title": "a.pdf"}, {"type": "text", "text": "Sum up"}],
           received()["messages"][0]["content"])


@feature()
def tools(ask):
    """A call and its result, over two turns."""
    messages = [{"role": "user", "content": "Weather?"}]
    first = ask("m", messages, tools=[WEATHER])
    eq(first.choices[0].finish_reason, "tool_calls")
    [(call, name, arguments)] = calls_in(message_of(first))
    eq((name, set(arguments)), ("get_weather", {"place", "unit"}))
    sent = received()["tools"][0]
    within({"name": "get_weather", "description": "Of a place", "input_schema": PLACE}, sent)
    eq(list(sent["input_schema"]), list(PLACE), "the order of the schema's members:")
    messages += [message_of(first).model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call, "content": "21 °C"}]
    second = ask("m", messages, tools=[WEATHER])
    check(MOCK_SAID in message_of(second).content, second)
    within([{"type": "tool_use", "id": call, "name": name, "input": arguments}], received()["messages"][1]["content"])
    within([{"type": "tool_result", "tool_use_id": call}], received()["messages"][2]["content"])


@feature()
def tools_parallel(ask):
    said = said_by("tools")
    answer = ask("case-tools", "Weather?", tools=[WEATHER, NOW])
    eq(calls_in(message_of(answer)), calls_of(said))
    eq((message_of(answer).content, answer.choices[0].finish_reason), (text_of(said), "tool_calls"))
    results = [{"role": "tool", "tool_call_id": call, "content": name} for call, name, _ in calls_of(said)]
    ask("m", [{"role": "user", "content": "Weather?"}, message_of(answer).model_dump(exclude_none=True), *results],
        tools=[WEATHER, NOW])
    turns = received()["messages"]
    eq([turn["role"] for turn in turns], ["user", "assistant", "user"])
    eq([block["tool_use_id"] for block in turns[2]["content"]], [call for call, _, _ in calls_of(said)])


@feature()
def tools_streamed_arguments(ask):
    """Arguments come in pieces and add up."""
    answer = ask("m", "Weather?", tools=[WEATHER], tool_choice="required")
    [(_, _, arguments)] = calls_in(message_of(answer))
    eq(set(arguments), {"place", "unit"})
    if ask.streamed:
        deltas = [chunk.choices[0].delta.tool_calls for chunk in ask.chunks if chunk.choices]
        pieces = [calls[0] for calls in deltas if calls]
        check(len(pieces) > 3, f"{len(pieces)} pieces")
        eq((pieces[0].function.name, [piece.id for piece in pieces[1:] if piece.id]), ("get_weather", []))


@feature()
def tool_choice(ask):
    named = {"type": "function", "function": {"name": "now"}}
    for choice, expected in [("auto", {"type": "auto"}), ("required", {"type": "any"}), ("none", {"type": "none"}),
                             (named, {"type": "tool", "name": "now"})]:
        answer = ask("m", "Weather?", tools=[WEATHER, NOW], tool_choice=choice)
        eq(received()["tool_choice"], expected)
        eq(bool(message_of(answer).tool_calls), choice != "none")


@feature()
def tools_parallel_off(ask):
    ask("m", "Weather?", tools=[WEATHER], parallel_tool_calls=False)
    within({"type": "auto", "disable_parallel_tool_use": True}, received()["tool_choice"])


@feature()
def tools_strict(ask):
    function = {**WEATHER["function"], "strict": True}
    ask("m", "Weather?", tools=[{"type": "function", "function": function}])
    within({"strict": True, "input_schema": PLACE}, received()["tools"][0])


def person_format():
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}


@feature()
def json_schema(ask):
    """A model that has structured output itself."""
    answer = ask("claude-opus-4-6-case-structured", "Ada, 36", response_format=person_format())
    eq(json.loads(message_of(answer).content), json.loads(text_of(said_by("structured"))))
    within({"type": "json_schema", "schema": PERSON}, received()["output_config"]["format"])


@feature()
def json_schema_by_tool(ask):
    """A model that has not: it is made to call a tool whose input is the schema, and the call becomes the text."""
    answer = ask("claude-3-5-haiku-20241022-case-structured-tool", "Ada, 36", response_format=person_format())
    [(_, name, value)] = calls_of(said_by("structured-tool"))
    eq(json.loads(message_of(answer).content), value)
    eq((answer.choices[0].finish_reason, message_of(answer).tool_calls), ("stop", None))
    sent = received()
    within({"name": name, "input_schema": PERSON}, sent["tools"][0])
    within({"type": "tool", "name": name}, sent["tool_choice"])


@feature()
def parse_helper(ask):
    """The SDK's own way to structured output, its schema made from a class."""
    params = {"model": "anthropic/claude-opus-4-6-case-structured", "response_format": Person,
              "messages": [{"role": "user", "content": "Ada, 36"}]}
    if ask.streamed:
        with client.chat.completions.stream(**params) as stream:
            answer = stream.get_final_completion()
    else:
        answer = client.chat.completions.parse(**params)
    eq(message_of(answer).parsed, Person(**json.loads(text_of(said_by("structured")))))


@feature()
def stop(ask):
    answer = ask("case-stop-sequence", "Count", stop=["three", "four"])
    eq((message_of(answer).content, answer.choices[0].finish_reason), (text_of(said_by("stop-sequence")), "stop"))
    eq(received()["stop_sequences"], ["three", "four"])
    ask("m", "Count", stop="three")
    eq(received()["stop_sequences"], ["three"])


@feature()
def sampling(ask):
    ask("m", max_completion_tokens=77, temperature=0.25, user="u-1")
    within({"max_tokens": 77, "temperature": 0.25, "metadata": {"user_id": "u-1"}}, received())
    ask("m", max_tokens=78, top_p=0.5)
    within({"max_tokens": 78, "top_p": 0.5}, received())


@feature()
def dropped_parameters(ask):
    """What Anthropic has no word for is left out and said in a header."""
    ask("m", n=2, seed=7, logprobs=True, top_logprobs=2, frequency_penalty=0.5, presence_penalty=0.5,
        logit_bias={"50256": -100})
    names = {"n", "seed", "logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "logit_bias"}
    check(names <= dropped(ask.headers), ask.headers.get("x-attache-dropped"))
    eq(names & set(received()), set())
    ask("m")
    eq(dropped(ask.headers), set())


@feature()
def reasoning_effort(ask):
    ask("m", reasoning_effort="high", max_completion_tokens=20_000)
    sent = received()
    thinking, effort = sent.get("thinking", {}), sent.get("output_config", {}).get("effort")
    check(thinking.get("type") == "enabled" and 1024 <= thinking["budget_tokens"] < sent["max_tokens"]
          or thinking.get("type") == "adaptive" and effort == "high", sent)
    ask("m", reasoning_effort="none")
    check(received().get("thinking", {}).get("type") in (None, "disabled"), received())


@feature()
def thinking(ask):
    """Signed and redacted thinking reaches the client, and with its next turn the provider again, whole."""
    said = said_by("thinking")
    answer = ask("case-thinking", "Prove it", reasoning_effort="high")
    message = message_of(answer)
    eq(message.content, text_of(said))
    thoughts = [block for block in said["content"] if block["type"] == "thinking"]
    eq(message.reasoning_content, "".join(block["thinking"] for block in thoughts))
    for detail in message.reasoning_details:
        check(detail["type"] in ("reasoning.text", "reasoning.encrypted"), detail)
    turns = [{"role": "user", "content": "Prove it"}, message.model_dump(exclude_none=True),
             {"role": "user", "content": "Sure?"}]
    ask("m", turns, reasoning_effort="high")
    sent = received()["messages"]
    eq([turn["role"] for turn in sent], ["user", "assistant", "user"])
    within(said["content"], sent[1]["content"])


@feature()
def thinking_and_tools(ask):
    """Within a tool round the signed thinking has to stand before the call."""
    said = said_by("thinking-tools")
    answer = ask("case-thinking-tools", "Weather?", tools=[WEATHER], reasoning_effort="high")
    message = message_of(answer)
    eq(calls_in(message), calls_of(said))
    results = [{"role": "tool", "tool_call_id": call, "content": "21 °C"} for call, _, _ in calls_of(said)]
    turns = [{"role": "user", "content": "Weather?"}, message.model_dump(exclude_none=True), *results]
    ask("m", turns, tools=[WEATHER], reasoning_effort="high")
    within(said["content"], received()["messages"][1]["content"])


@feature()
def cached_tokens(ask):
    usage = said_by("text")["usage"]
    found = ask("case-text", **({"stream_options": {"include_usage": True}} if ask.streamed else {})).usage
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    eq(found.prompt_tokens, usage["input_tokens"] + read + written)
    eq(found.completion_tokens, usage["output_tokens"])
    eq(found.total_tokens, found.prompt_tokens + found.completion_tokens)
    check(read > 0, "the case caches nothing")
    eq(found.prompt_tokens_details.cached_tokens, read)


@feature()
def cache_control(ask):
    """The mark that Anthropic knows goes along from a client that puts it where compatible servers take it."""
    mark = {"type": "ephemeral"}
    ask("m", [{"role": "system", "content": [{"type": "text", "text": "Long.", "cache_control": mark}]},
              *user({"type": "text", "text": "Hi", "cache_control": mark})])
    sent = received()
    within([{"type": "text", "text": "Long.", "cache_control": mark}], sent["system"])
    within([{"type": "text", "text": "Hi", "cache_control": mark}], sent["messages"][0]["content"])


@feature("streamed")
def include_usage(ask):
    ask("m", stream_options={"include_usage": True})
    *others, last = ask.chunks
    eq((last.choices, all(chunk.usage is None for chunk in others)), ([], True))
    check(last.usage.total_tokens > 0, last)
    for off in ({}, {"stream_options": {"include_usage": False}}):
        ask("m", **off)
        check(all(chunk.usage is None and chunk.choices for chunk in ask.chunks), ask.chunks[-1])


@feature()
def citations(ask):
    said = said_by("web-search")
    answer = ask("case-web-search")
    content = message_of(answer).content
    eq(content, text_of(said))
    cited = [(c, block) for block in said["content"] for c in block.get("citations") or [] if c.get("url")]
    found = message_of(answer).annotations
    # In a stream the SDK has no type for them.
    plain = [one if isinstance(one, dict) else one.model_dump() for one in found]
    eq([(one["type"], one["url_citation"]["url"]) for one in plain], [("url_citation", c["url"]) for c, _ in cited])
    for one, (_, block) in zip(plain, cited):
        start, end = one["url_citation"]["start_index"], one["url_citation"]["end_index"]
        eq(content[start:end], block["text"], "the span in characters:")


@feature()
def web_search(ask):
    place = {"type": "approximate", "approximate": {"city": "Bern", "country": "CH"}}
    answer = ask("case-web-search", "News?", web_search_options={"user_location": place})
    eq(message_of(answer).content, text_of(said_by("web-search")))
    eq((message_of(answer).tool_calls, answer.choices[0].finish_reason), (None, "stop"))
    [tool] = received()["tools"]
    check(tool["type"].startswith("web_search_") and tool["name"] == "web_search", tool)
    within({"type": "approximate", "city": "Bern", "country": "CH"}, tool["user_location"])


@feature()
def refusal(ask):
    answer = ask("case-refusal", "Bad")
    eq(answer.choices[0].finish_reason, "content_filter")
    eq(message_of(answer).content or "", text_of(said_by("refusal")))


@feature()
def finish_reasons(ask):
    for case, reason in [("text", "stop"), ("stop-sequence", "stop"), ("max-tokens", "length"), ("pause", "stop"),
                         ("tools", "tool_calls"), ("refusal", "content_filter"), ("context-window", "length")]:
        eq(ask(f"case-{case}").choices[0].finish_reason, reason, case)


@feature()
def request_id(ask):
    ask("case-text")
    check(ask.headers["x-request-id"].startswith("req_"), ask.headers)
    if not ask.streamed:
        answer = client.chat.completions.create(model="anthropic/case-text", messages=user({"type": "text", "text": "Hi"}))
        check(answer._request_id.startswith("req_"), answer._request_id)


@feature()
def gateway_headers(ask):
    ask("case-text")
    eq((ask.headers["x-attache-provider"], ask.headers["x-attache-model"]), ("anthropic", f"{CLAUDE}-case-text"))


@feature("whole")
def models(_):
    ids = [model.id for model in client.models.list()]
    check("chat" in ids, ids)


@feature()
def same_protocol(ask):
    """Text, tools, several choices and log probabilities of OpenAI's own protocol come through as they are."""
    said = corpus("openai_chat/response/text.json")
    answer = ask("case-text", provider="openai")
    eq((message_of(answer).content, answer.id), (said["choices"][0]["message"]["content"], said["id"]))
    answer = ask("case-tools", provider="openai", tools=[WEATHER, NOW])
    calls = corpus("openai_chat/response/tools.json")["choices"][0]["message"]["tool_calls"]
    eq([call.id for call in message_of(answer).tool_calls], [call["id"] for call in calls])
    eq(len(ask("m", provider="openai", n=2, seed=7).choices), 2)
    within({"n": 2, "seed": 7}, received())


@feature()
def logprobs(ask):
    said = corpus("openai_chat/response/logprobs.json")["choices"][0]["logprobs"]["content"]
    answer = ask("case-logprobs", provider="openai", logprobs=True, top_logprobs=2)
    eq([token.token for token in answer.choices[0].logprobs.content], [token["token"] for token in said])


import openai_errors  # noqa: E402,F401  (registers its features)

main(Ask, strict.openai)
