"""A transport that keeps what passed: the SDKs parse leniently, so their answers are checked from the bytes."""

import json
from dataclasses import dataclass, field

import httpx2

from harness import take


@dataclass
class Taken:
    method: str
    path: str
    status: int
    headers: httpx2.Headers
    body: bytearray = field(default_factory=bytearray)

    @property
    def streamed(self):
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def json(self):
        return json.loads(self.body)


class _Tee(httpx2.SyncByteStream):
    def __init__(self, stream, body):
        self._stream, self._body = stream, body

    def __iter__(self):
        for chunk in self._stream:
            self._body.extend(chunk)
            yield chunk

    def close(self):
        self._stream.close()


class Recorder(httpx2.BaseTransport):
    def __init__(self):
        self._inner = httpx2.HTTPTransport()

    def handle_request(self, request):
        response = self._inner.handle_request(request)
        one = Taken(request.method, request.url.path, response.status_code, response.headers)
        take(one)
        response.stream = _Tee(response.stream, one.body)
        return response

    def close(self):
        self._inner.close()


def client():
    """An HTTP client for an SDK; it never asks the environment for a proxy."""
    return httpx2.Client(transport=Recorder(), timeout=60, trust_env=False)
