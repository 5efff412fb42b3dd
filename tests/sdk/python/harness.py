"""What every script of this folder stands on: features and how they are run, the mock's journal, the corpus.

Does not: know a protocol. A script registers one function a feature; `main` runs each of them in every form it has and
prints `ok NAME` or `not ok NAME` with the reason. The Rust side knows which names must come.
"""

import json
import os
import pathlib
import re
import traceback
import urllib.request

BASE = os.environ["ATTACHE_BASE"]
KEY = os.environ["ATTACHE_KEY"]
CONTROL = os.environ["MOCK_CONTROL"]
CORPUS = pathlib.Path(os.environ["CORPUS"])

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
# The mock answers so to whatever is no case.
MOCK_SAID = 'naïve café ✓ 日本語 🙂 "quoted" and\na second line'

PLACE = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "kelvin"]}},
    "required": ["place", "unit"],
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

_features = []


def feature(*forms):
    """Registers a feature; it is called with each form, by default once with "whole" and once with "streamed"."""

    def register(function):
        _features.append((function, forms or ("whole", "streamed")))
        return function

    return register


def main(ask_in, finish):
    """Runs every feature. `ask_in(form)` makes what a feature asks with; `finish()` checks what it was answered."""
    for function, forms in _features:
        for form in forms:
            name = f"{function.__name__} {form}"
            forget()
            try:
                function(ask_in(form))
                finish()
                print(f"ok {name}", flush=True)
            except Exception as error:
                said = f"{type(error).__name__}: {error}".strip().replace("\n", "\n    ")
                at = traceback.extract_tb(error.__traceback__)
                here = [f for f in at if f.filename.startswith(os.path.dirname(__file__))]
                where = "; ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in here)
                print(f"not ok {name}\n    {where}\n    {said}", flush=True)
                forget_answers()


_taken = []


def taken():
    """Requests and answers since the last call, as the SDK's connection had them."""
    all_of_it = list(_taken)
    _taken.clear()
    return all_of_it


forget_answers = taken


def take(one):
    _taken.append(one)


def eq(found, expected, about=""):
    if found != expected:
        raise AssertionError(f"{about} found {found!r}\nexpected {expected!r}")


def check(yes, about):
    if not yes:
        raise AssertionError(about)


def within(part, whole, about=""):
    """Every member of `part` stands in `whole`, at any depth; lists are compared whole."""
    if isinstance(part, dict) and isinstance(whole, dict):
        for name, value in part.items():
            if name not in whole:
                raise AssertionError(f"{about}.{name} is missing in {whole!r}")
            within(value, whole[name], f"{about}.{name}")
    elif isinstance(part, list) and isinstance(whole, list) and len(part) == len(whole):
        for i, (a, b) in enumerate(zip(part, whole)):
            within(a, b, f"{about}[{i}]")
    else:
        eq(whole, part, about)


def without_keys(text):
    """A provider's message as clients are told it: what looks like a key is masked."""
    return re.sub(r"sk-\S+", "[redacted]", text)


def corpus(path):
    """A file of the corpus, e.g. `anthropic/response/text.json`."""
    return json.loads((CORPUS / path).read_text())


def _control(method, path):
    request = urllib.request.Request(f"{CONTROL}{path}", method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def forget():
    """Empties the mock's journal."""
    _control("DELETE", "/records")


def records():
    """What providers received since `forget`, in order."""
    return _control("GET", "/records")


def received():
    """The body of the last request a provider received, which it did not refuse."""
    last = records()[-1]
    check(not last["outcome"].startswith("refused"), last["outcome"])
    return json.loads(last["body"])


def dropped(headers):
    """Names in `x-attache-dropped`."""
    return {name.strip() for name in headers.get("x-attache-dropped", "").split(",") if name.strip()}
