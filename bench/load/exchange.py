# SPDX-License-Identifier: Apache-2.0
"""One streamed request to a server, and what came back when.

The client shares the processors with the server it measures, so that it does as little as it can while it runs: bytes
are kept with the time they came, and read when the measurement is over.
"""
import asyncio
import json
import time


class Exchange(asyncio.Protocol):
    """A request on a connection of its own. `pieces` are (seconds, bytes) as they came; times are perf_counter's."""

    def __init__(self, request):
        self.request = request
        self.sent = 0.0
        self.ended = 0.0
        self.pieces = []
        self.failure = None
        self.transport = None
        self.over = asyncio.get_running_loop().create_future()
        self.on_piece = None  # called with the exchange, for those who watch it run
        self._tail = b""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.pieces.append((time.perf_counter(), data))
        # The last chunk, in one piece with what comes before it or alone; not all servers close the connection.
        self._tail = (self._tail + data)[-7:]
        if self._tail == b"\r\n0\r\n\r\n":
            self.transport.close()
        if self.on_piece:
            self.on_piece(self)

    def connection_lost(self, exc):
        self.ended = time.perf_counter()
        if exc is not None:
            self.failure = str(exc)
        if not self.over.done():
            self.over.set_result(None)

    def abandon(self):
        """The client goes away in the middle."""
        if self.transport is not None:
            self.transport.abort()


def http_request(host, path, body):
    payload = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
            f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n").encode() + payload


async def start(server, request, on_piece=None):
    """Sends `request` (bytes) and returns the Exchange at once; await its `over`."""
    exchange = Exchange(request)
    exchange.on_piece = on_piece
    exchange.sent = time.perf_counter()
    try:
        await asyncio.get_running_loop().create_connection(lambda: exchange, server.host, server.port)
    except OSError as error:
        exchange.failure = str(error)
        exchange.ended = time.perf_counter()
        exchange.over.set_result(None)
    return exchange


class _Unchunker:
    """The payload of a chunked body, fed in pieces of any size."""

    def __init__(self):
        self.buffer = b""
        self.left = 0  # of the chunk at hand, its line end included
        self.is_over = False

    def feed(self, data):
        self.buffer += data
        payload = b""
        while self.buffer and not self.is_over:
            if self.left == 0:
                line, found, rest = self.buffer.partition(b"\r\n")
                if not found:
                    break
                size = int(line.split(b";")[0], 16)
                self.buffer = rest
                self.is_over = size == 0
                self.left = size + 2
            piece = self.buffer[:self.left]
            self.buffer = self.buffer[self.left:]
            payload += piece[:max(0, min(len(piece), self.left - 2))]
            self.left -= len(piece)
        return payload


class Answer:
    """What an Exchange says when it is read: tokens as they came, the text, what it cost."""

    def __init__(self, exchange):
        self.sent, self.ended = exchange.sent, exchange.ended
        self.failure = exchange.failure
        self.status = 0
        self.times = []  # of events with text
        self.text = ""
        self.usage = {}
        self.timings = {}
        self.is_complete = False
        body = b""
        for when, event in self._events(exchange.pieces):
            body += event
            self._read(when, event)
        if self.failure is None and not self.is_complete:
            self.failure = f"HTTP {self.status}: {body[:300].decode(errors='replace')}"

    def _events(self, pieces):
        """(seconds, bytes) of each server-sent event, dated by the piece that completed it."""
        head, waiting, unchunker = b"", b"", None
        when = self.sent
        for when, data in pieces:
            if unchunker is None:
                head += data
                top, found, data = head.partition(b"\r\n\r\n")
                if not found:
                    continue
                self.status = int(top.split(b" ", 2)[1])
                is_chunked = b"transfer-encoding: chunked" in top.lower()
                unchunker = _Unchunker() if is_chunked else False
            waiting += unchunker.feed(data) if unchunker else data
            while (end := waiting.find(b"\n\n")) >= 0:
                yield when, waiting[:end]
                waiting = waiting[end + 2:]
        if waiting:
            yield when, waiting

    def _read(self, when, event):
        for line in event.split(b"\n"):
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                self.is_complete = True
                continue
            message = json.loads(data)
            if "error" in message:
                self.failure = json.dumps(message["error"])
                continue
            self.usage = message.get("usage") or self.usage
            self.timings = message.get("timings") or self.timings
            for choice in message.get("choices") or []:
                text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
                if text:
                    self.text += text
                    self.times.append(when)

    @property
    def tokens(self):
        return self.usage.get("completion_tokens", len(self.times))

    @property
    def cached_tokens(self):
        details = self.usage.get("prompt_tokens_details") or {}
        return details.get("cached_tokens", self.timings.get("cache_n", 0))

    @property
    def ttft(self):
        return self.times[0] - self.sent

    @property
    def e2e(self):
        return self.times[-1] - self.sent

    @property
    def mean_gap(self):
        """Seconds between tokens in the mean (TPOT)."""
        return (self.times[-1] - self.times[0]) / max(1, self.tokens - 1)

    @property
    def gaps(self):
        return [after - before for before, after in zip(self.times, self.times[1:])]
