# SPDX-License-Identifier: Apache-2.0
"""A client without manners: bytes on a socket, for tests of what happens when clients misbehave."""
import asyncio
import json
import socket
import struct
import urllib.parse

CHATML = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def address_of(server):
    parts = urllib.parse.urlparse(server.url)
    return parts.hostname, parts.port


def chat_bytes(question, max_tokens, stream=True, **more):
    """A whole POST of a greedy chat that goes on to max_tokens."""
    body = json.dumps({"messages": [{"role": "user", "content": question}], "max_tokens": max_tokens, "temperature": 0,
                       "ignore_eos": True, "stream": stream, **more}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)) + body


class Connection:
    """One connection. `reset` ends it with RST, as a client that died; `close` with FIN."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server, receive_bytes=None):
        sock = socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address_of(server))
        # What is not read stays in the kernel: a reader that is slow here is slow there.
        return cls(*await asyncio.open_connection(sock=sock, limit=4096))

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self):
        """Status and body, when all has come."""
        data = await self.reader.read(-1)
        head, _, body = data.partition(b"\r\n\r\n")
        self.writer.close()
        return int(head.split(b" ", 2)[1]), head.decode().lower(), unchunked(body) if b"chunked" in head else body

    def reset(self):
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self):
        self.writer.close()


def unchunked(body):
    payload = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        payload += body[:length]
        body = body[length + 2:]
    return payload


def text_of_events(payload):
    """The text of a stream that came to its end; an error event or a cut stream is an AssertionError."""
    events = [line.removeprefix("data: ") for line in payload.decode().split("\n\n") if line.startswith("data: ")]
    assert events and events[-1] == "[DONE]", payload[-300:]
    messages = [json.loads(event) for event in events[:-1]]
    assert not any("error" in message for message in messages), messages[-1]
    return "".join(choice["delta"].get("content") or "" for message in messages for choice in message["choices"])


class Overloaded(Exception):
    """The server has no room now, and said when to come again."""


async def ask(server, question, max_tokens, **more):
    """The whole text of a streamed answer."""
    connection = await Connection.open(server)
    await connection.send(chat_bytes(question, max_tokens, **more))
    status, head, body = await connection.rest()
    if status == 503 and "\r\nretry-after: " in head:
        raise Overloaded(body)
    assert status == 200, (status, body)
    return text_of_events(body)
