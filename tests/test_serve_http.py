# SPDX-License-Identifier: Apache-2.0
"""paring serve on the wire: what is no proper HTTP, and clients that leave. net's unit tests have the rest."""
import json
import socket
import time
import urllib.parse

import pytest

from server_process import ServerProcess


@pytest.fixture(scope="module")
def server(paring, model):
    with ServerProcess(paring.path, f"smol={model}") as running:
        yield running


def connect(server):
    where = urllib.parse.urlsplit(server.url)
    return socket.create_connection((where.hostname, where.port), timeout=30)


def becomes(is_true, seconds=20):
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ask(server, data):
    """What comes back for these bytes until the server closes."""
    with connect(server) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_what_is_ambiguous_is_refused_in_the_words_of_the_api(server):
    for request in [b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"GET /v1/%2e%2e/models HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET /v1/models HTTP/1.1\nHost: a\n\n"]:
        answer = ask(server, request)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert ask(server, b"GET /" + b"a" * 20000).startswith(b"HTTP/1.1 414 ")


def test_clients_that_leave_free_what_they_held(server):
    body = json.dumps({"model": "smol", "stream": True, "max_tokens": 500,
                       "messages": [{"role": "user", "content": "Count."}]}).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    before = len(server.descriptors())
    for i in range(60):
        with connect(server) as connection:
            is_whole = i % 3 > 0
            connection.sendall(head + (body if is_whole else body[:10]))
            if is_whole and i % 2:
                assert connection.recv(1)
    assert becomes(lambda: server.metric("vllm:num_requests_running") == 0)
    assert becomes(lambda: len(server.descriptors()) <= before)
