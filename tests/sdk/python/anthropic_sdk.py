"""The `anthropic` SDK as the client of an OpenAI provider, and a few features towards Anthropic's own protocol."""

import json

import anthropic
import pydantic

import recorder
import strict
from harness import (
    BASE, KEY, MOCK_SAID, PDF, PERSON, PLACE, PNG, check, corpus, dropped, eq, feature, main, received, within,
)

client = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0, http_client=recorder.client())

WEATHER = {"name": "get_weather", "description": "Of a place", "input_schema": PLACE}
NOW = {"name": "now", "input_schema": {"type": "object", "properties": {}}}


class Person(pydantic.BaseModel):
    name: str
    age: int


class Ask:
    """Asks whole or streamed, and gives the message either way."""

    def __init__(self, form):
        self.streamed = form == "streamed"

    def __call__(self, model, messages="Hi", provider="openai", **params):
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        params = {"model": f"{provider}/{model}", "max_tokens": 4096, "messages": messages, **params}
        if not self.streamed:
            raw = client.messages.with_raw_response.create(**params)
            self.headers = raw.headers
            return raw.parse()
        with client.messages.stream(**params) as stream:
            self.headers = stream.response.headers
            self.events = list(stream)
            return stream.get_final_message()


def said_by(case):
    return corpus(f"openai_chat/response/{case}.json")


def message_by(case):
    return said_by(case)["choices"][0]["message"]


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(case):
    return [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message_by(case)["tool_calls"]]


def calls_in(message):
    return [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]


def user(*blocks):
    return [{"role": "user", "content": list(blocks)}]


@feature()
def text(ask):
    answer = ask("case-text", "Grüß dich 🙂")
    eq([block.type for block in answer.content], ["text"])
    eq(text_of(answer), message_by("text")["content"])
    eq((answer.role, answer.stop_reason, answer.stop_sequence), ("assistant", "end_turn", None))
    eq(answer.model, said_by("text")["model"])
    check(answer.id.startswith("msg_"), answer.id)
    within([{"role": "user", "content": "Grüß dich 🙂"}], received()["messages"])


@feature()
def system(ask):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "So?"}]
    answer = ask("m", turns, system="Be brief.")
    check(MOCK_SAID in text_of(answer), answer)
    within({"role": "system", "content": "Be brief."}, received()["messages"][0])
    ask("m", turns, system=[{"type": "text", "text": "Be brief."},
                            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}])
    roles = [turn["role"] for turn in received()["messages"]]
    eq(roles, ["system", "user", "assistant", "user"])
    said = json.dumps(received()["messages"][0])
    check("Be brief." in said and "Be kind." in said, said)


@feature()
def images(ask):
    ask("m", user(
        {"type": "text", "text": "Compare"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ))
    within([
        {"type": "text", "text": "Compare"},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ], received()["messages"][0]["content"])


@feature()
def documents(ask):
    pdf = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    ask("m", user({"type": "document", "title": "a.pdf", "source": pdf}, {"type": "text", "text": "Sum up"}))
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    within([{"type": "file", "file": file}, {"type": "text", "text": "Sum up"}], received()["messages"][0]["content"])
    plain = {"type": "text", "media_type": "text/plain", "data": "It is said."}
    ask("m", user({"type": "document", "source": plain}, {"type": "text", "text": "Sum up"}))
    check("It is said." in json.dumps(received()["messages"][0]["content"]), received())


@feature()
def tools(ask):
    """A call and its result, over two turns."""
    messages = [{"role": "user", "content": "Weather?"}]
    first = ask("m", messages, tools=[WEATHER])
    eq(first.stop_reason, "tool_use")
    [(call, name, arguments)] = calls_in(first)
    eq((name, set(arguments)), ("get_weather", {"place", "unit"}))
    sent = received()["tools"][0]
    within({"type": "function", "function": {"name": "get_weather", "parameters": PLACE}}, sent)
    eq(list(sent["function"]["parameters"]), list(PLACE), "the order of the schema's members:")
    messages += [{"role": "assistant", "content": first.content},
                 *user({"type": "tool_result", "tool_use_id": call, "content": "21 °C"})]
    second = ask("m", messages, tools=[WEATHER])
    check(MOCK_SAID in text_of(second), second)
    sent = received()["messages"]
    eq([turn["role"] for turn in sent], ["user", "assistant", "tool"])
    eq(json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]), arguments)
    within({"role": "tool", "tool_call_id": call, "content": "21 °C"}, sent[2])


@feature()
def tools_parallel(ask):
    answer = ask("case-tools", "Weather?", tools=[WEATHER, NOW])
    eq(calls_in(answer), calls_of("tools"))
    eq((text_of(answer), answer.stop_reason), ("", "tool_use"))
    # Two calls whose arguments come in turns.
    eq(calls_in(ask("case-tools-interleaved", "Weather?", tools=[WEATHER, NOW])), calls_of("tools-interleaved"))
    results = [{"type": "tool_result", "tool_use_id": call, "content": name} for call, name, _ in calls_of("tools")]
    turns = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": answer.content}, *user(*results)]
    ask("m", turns, tools=[WEATHER, NOW])
    sent = received()["messages"]
    eq([turn["role"] for turn in sent], ["user", "assistant", "tool", "tool"])
    eq([turn["tool_call_id"] for turn in sent[2:]], [call for call, _, _ in calls_of("tools")])


@feature()
def tools_streamed_arguments(ask):
    """Arguments come in pieces and add up."""
    answer = ask("m", "Weather?", tools=[WEATHER], tool_choice={"type": "any"})
    [(_, _, arguments)] = calls_in(answer)
    eq(set(arguments), {"place", "unit"})
    if ask.streamed:
        pieces = [event for event in ask.events if event.type == "input_json"]
        check(len(pieces) > 3, f"{len(pieces)} pieces")
        eq(json.loads("".join(piece.partial_json for piece in pieces)), arguments)


@feature()
def tool_results(ask):
    """Results with images, errors and nothing at all, and what the user adds to them."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    calls = [{"type": "tool_use", "id": f"toolu_{i}", "name": "now", "input": {}} for i in range(3)]
    ask("m", [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, *calls]},
        *user(
            {"type": "tool_result", "tool_use_id": "toolu_0", "content": [{"type": "text", "text": "a picture"}, image]},
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such thing", "is_error": True},
            {"type": "tool_result", "tool_use_id": "toolu_2"},
            {"type": "text", "text": "Go on."},
        ),
    ], tools=[NOW])
    sent = received()["messages"]
    eq([turn["role"] for turn in sent[:5]], ["user", "assistant", "tool", "tool", "tool"])
    eq([turn["tool_call_id"] for turn in sent[2:5]], ["toolu_0", "toolu_1", "toolu_2"])
    check("a picture" in json.dumps(sent[2]) and "no such thing" in json.dumps(sent[3]), sent)
    # A tool's message holds text only, so the picture follows in the user's.
    after = json.dumps(sent[5:])
    check(f"data:image/png;base64,{PNG}" in after and "Go on." in after, after)
    eq({turn["role"] for turn in sent[5:]}, {"user"})


@feature()
def tool_choice(ask):
    named = {"type": "function", "function": {"name": "now"}}
    for choice, expected in [({"type": "auto"}, "auto"), ({"type": "any"}, "required"), ({"type": "none"}, "none"),
                             ({"type": "tool", "name": "now"}, named)]:
        answer = ask("m", "Weather?", tools=[WEATHER, NOW], tool_choice=choice)
        eq(received()["tool_choice"], expected)
        eq(bool(calls_in(answer)), expected != "none")


@feature()
def tools_parallel_off(ask):
    ask("m", "Weather?", tools=[WEATHER], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    within({"tool_choice": "auto", "parallel_tool_calls": False}, received())


@feature()
def tools_strict(ask):
    ask("m", "Weather?", tools=[{**WEATHER, "strict": True}])
    within({"strict": True, "parameters": PLACE}, received()["tools"][0]["function"])


@feature()
def json_schema(ask):
    answer = ask("case-structured", "Ada, 36", output_config={"format": {"type": "json_schema", "schema": PERSON}})
    eq(json.loads(text_of(answer)), json.loads(message_by("structured")["content"]))
    format = received()["response_format"]
    within({"type": "json_schema", "json_schema": {"schema": PERSON, "strict": True}}, format)
    check(format["json_schema"]["name"], format)


@feature()
def parse_helper(ask):
    """The SDK's own way to structured output, its schema made from a class."""
    params = {"model": "openai/case-structured", "max_tokens": 99, "output_format": Person,
              "messages": [{"role": "user", "content": "Ada, 36"}]}
    if ask.streamed:
        with client.messages.stream(**params) as stream:
            answer = stream.get_final_message()
    else:
        answer = client.messages.parse(**params)
    eq(answer.parsed_output, Person(**json.loads(message_by("structured")["content"])))


@feature()
def stop(ask):
    answer = ask("case-text", "Count", stop_sequences=["three", "four"])
    eq((answer.stop_reason, answer.stop_sequence), ("end_turn", None))
    eq(received()["stop"], ["three", "four"])


@feature()
def sampling(ask):
    # The SDK has no arguments for these two any more; older models take them.
    ask("m", max_tokens=77, metadata={"user_id": "u-1"}, extra_body={"temperature": 0.25, "top_p": 0.5})
    sent = received()
    within({"temperature": 0.25, "top_p": 0.5, "max_completion_tokens": 77}, sent)
    check("u-1" in (sent.get("user"), sent.get("safety_identifier")), sent)


@feature()
def dropped_parameters(ask):
    """What OpenAI has no word for is left out and said in a header."""
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    ask("m", container="container_1", tools=[NOW, code], extra_body={"top_k": 5})
    names = dropped(ask.headers)
    check({"top_k", "container"} <= names and any(name.startswith("tools[1]") for name in names), names)
    eq(({"top_k", "container"} & set(received()), len(received()["tools"])), (set(), 1))
    ask("m")
    eq(dropped(ask.headers), set())


@feature()
def reasoning_effort(ask):
    for budget, efforts in [(1024, {"minimal", "low"}), (16_000, {"high", "xhigh"})]:
        ask("gpt-5.1", max_tokens=20_000, thinking={"type": "enabled", "budget_tokens": budget})
        check(received().get("reasoning_effort") in efforts, received().get("reasoning_effort"))
    ask("gpt-5.1", thinking={"type": "adaptive"}, output_config={"effort": "low"})
    eq(received().get("reasoning_effort"), "low")


@feature()
def thinking(ask):
    """What a compatible server reasons becomes a thinking block, and goes back to a server that takes it."""
    said = message_by("reasoning")
    answer = ask("case-reasoning", "Which?", provider="deepseek", thinking={"type": "enabled", "budget_tokens": 1024})
    eq([block.type for block in answer.content], ["thinking", "text"])
    eq((answer.content[0].thinking, text_of(answer)), (said["reasoning_content"], said["content"]))
    turns = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": answer.content},
             {"role": "user", "content": "Sure?"}]
    ask("m", turns, provider="deepseek")
    within({"content": said["content"], "reasoning_content": said["reasoning_content"]}, received()["messages"][1])
    # OpenAI itself refuses the member.
    ask("m", turns)
    eq(set(received()["messages"][1]), {"role", "content"})


@feature()
def thinking_signed(ask):
    """OpenRouter tells signed and redacted thinking; both are blocks, and come back to it as they were."""
    said = message_by("reasoning-details")
    answer = ask("case-reasoning-details", "Prove it", provider="openrouter")
    kinds = {"reasoning.text": "thinking", "reasoning.encrypted": "redacted_thinking"}
    details = [one for one in said["reasoning_details"] if one["type"] in kinds]
    eq([block.type for block in answer.content][:len(details)], [kinds[one["type"]] for one in details])
    for block, one in zip(answer.content, details):
        if block.type == "thinking":
            eq((block.thinking, block.signature), (one["text"], one["signature"]))
        else:
            eq(block.data, one["data"])
    results = [{"type": "tool_result", "tool_use_id": call, "content": "21 °C"} for call, _, _ in calls_in(answer)]
    turns = [{"role": "user", "content": "Prove it"}, {"role": "assistant", "content": answer.content},
             *user(*results, {"type": "text", "text": "Sure?"})]
    ask("m", turns, provider="openrouter")
    members = ("type", "text", "signature", "data")
    only = lambda list: [{name: one[name] for name in members if name in one} for one in list]
    eq(only(received()["messages"][1]["reasoning_details"]), only(details))


@feature()
def cached_tokens(ask):
    usage = said_by("text")["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    found = ask("case-text").usage
    check(cached > 0, "the case caches nothing")
    eq((found.input_tokens, found.cache_read_input_tokens), (usage["prompt_tokens"] - cached, cached))
    eq(found.output_tokens, usage["completion_tokens"])


@feature()
def citations(ask):
    said = message_by("citations")
    answer = ask("case-citations")
    eq(text_of(answer), said["content"])
    cited = [(c.url, c.title) for block in answer.content for c in getattr(block, "citations", None) or []]
    eq(cited, [(c["url"], c["title"]) for c in (one["url_citation"] for one in said["annotations"])])


@feature()
def web_search(ask):
    place = {"type": "approximate", "city": "Bern", "country": "CH"}
    tool = {"type": "web_search_20250305", "name": "web_search", "user_location": place}
    answer = ask("gpt-4o-search-preview-case-citations", "News?", tools=[tool])
    eq((text_of(answer), answer.stop_reason), (message_by("citations")["content"], "end_turn"))
    sent = received()
    within({"user_location": {"type": "approximate", "approximate": {"city": "Bern", "country": "CH"}}},
           sent["web_search_options"])
    check("tools" not in sent, sent)


@feature()
def refusal(ask):
    answer = ask("case-refusal", "Bad")
    eq((answer.stop_reason, text_of(answer)), ("refusal", message_by("refusal")["refusal"]))


@feature()
def stop_reasons(ask):
    for case, reason in [("text", "end_turn"), ("length", "max_tokens"), ("tools", "tool_use"),
                         ("content-filter", "refusal"), ("refusal", "refusal")]:
        eq(ask(f"case-{case}").stop_reason, reason, case)


@feature()
def request_id(ask):
    answer = ask("case-text")
    check(ask.headers["request-id"].startswith("req_"), ask.headers)
    if not ask.streamed:
        check(answer._request_id.startswith("req_"), answer._request_id)


@feature()
def gateway_headers(ask):
    ask("case-text")
    eq((ask.headers["x-attache-provider"], ask.headers["x-attache-model"]), ("openai", "case-text"))


@feature("whole")
def count_tokens(_):
    """Anthropic counts itself; where nobody counts, Attaché says so."""
    body = {"messages": [{"role": "user", "content": "Hi there"}], "tools": [WEATHER], "system": "Be brief."}
    count = client.messages.count_tokens(model="anthropic/claude-sonnet-4-5", **body)
    check(count.input_tokens > 0, count)
    within({"model": "claude-sonnet-4-5", **body}, received())


@feature("whole")
def models(_):
    found = [model.id for model in client.models.list()]
    check("chat" in found, found)


@feature()
def same_protocol(ask):
    """Thinking, citations, server tools and every block of Anthropic's own protocol come through as they are."""
    for case in ("text", "thinking", "citations", "web-search"):
        said = corpus(f"anthropic/response/{case}.json")
        answer = ask(f"case-{case}", provider="anthropic")
        eq((answer.id, answer.stop_reason), (said["id"], said["stop_reason"]))
        within(said["content"], [block.to_dict(mode="json") for block in answer.content])


import anthropic_errors  # noqa: E402,F401  (registers its features)

main(Ask, strict.anthropic)
