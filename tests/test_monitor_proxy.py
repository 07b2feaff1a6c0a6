# SPDX-License-Identifier: Apache-2.0
"""`paring monitor` before another engine: what passes is what was sent, and what is kept of it, read from its files
with Python's own SQLite, is what the engine said."""
import contextlib
import http.client
import json
import pathlib
import socket
import sqlite3
import struct
import threading
import time
import urllib.error
import urllib.request

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

import tiny_model
from fake_upstream import CHUNKS, HUGE, FakeUpstream
from raw_client import CHATML
from server_process import ServerProcess

MESSAGES = [{"role": "user", "content": "Hello"}]
ROWS = "SELECT * FROM requests JOIN request_groups ON request_groups.id = group_id ORDER BY started_s"
SECRET = "sk-caller-0123456789abcdef"


@pytest.fixture
def upstream():
    with FakeUpstream() as server:
        yield server


def monitor(paring, url, folder, *words, env=None):
    return ServerProcess(paring.path, "--upstream", url, "--data-dir", folder, *words, env=env, command="monitor")


@pytest.fixture
def proxy(paring, upstream, tmp_path):
    with monitor(paring, upstream.url, tmp_path, "--upstream-stall-seconds", 1) as process:
        process.data = tmp_path
        yield process


def rows_of(folder):
    rows = []
    for day in sorted(pathlib.Path(folder).glob("traffic/default/????-??-??.db")):
        with contextlib.closing(sqlite3.connect(f"file:{day}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            rows += [dict(row) for row in database.execute(ROWS)]
    return rows


def rows_when(folder, count, seconds=20):
    """The rows, when there are so many."""
    end, rows = time.monotonic() + seconds, []
    while len(rows) < count and time.monotonic() < end:
        time.sleep(0.05)
        with contextlib.suppress(sqlite3.OperationalError):  # a file that is being made
            rows = rows_of(folder)
    assert len(rows) == count, rows
    return rows


def gaps_in(blob):
    """Of store/token_gaps.h: how many."""
    return sum(1 for byte in blob if byte < 128)


def post(server, path, body, headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, data, {"content-type": "application/json", "authorization": f"Bearer {SECRET}",
                                                **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}


def test_a_request_passes_as_it_is_and_leaves_a_row(proxy, upstream):
    trace = "0af7651916cd43dd8448eb211c80319c"
    body = b'{ "model":"whole",\n "messages":[{"role":"user","content":"\\u00e4"}], "user":"me" }'
    status, answer, headers = post(proxy, "/v1/chat/completions?a=1&b=%2F", body, {
        "x-request-id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-extra": "kept",
        "connection": "close, x-hop", "x-hop": "not yours", "accept-encoding": "gzip"})
    assert status == 200 and json.loads(answer)["choices"][0]["message"]["content"] == "hello"
    assert headers["x-request-id"] == "mine-1" and headers["x-upstream-request-id"] == "of-upstream"
    assert headers["x-ratelimit-remaining"] == "3" and "x-hop" not in headers
    command, path, sent, received, _ = upstream.requests[0]
    assert (command, path, received) == ("POST", "/v1/chat/completions?a=1&b=/", body)
    assert sent["x-extra"] == "kept" and sent["authorization"] == f"Bearer {SECRET}"
    assert sent["x-request-id"] == "mine-1"
    assert "x-hop" not in sent and "accept-encoding" not in sent
    assert sent["host"] == upstream.url.removeprefix("http://")
    parts = sent["traceparent"].split("-")
    assert parts[1] == trace and parts[2] != "b7ad6b7169203331" and parts[3] == "01"
    row, = rows_when(proxy.data, 1)
    assert (row["id"], row["trace_id"], row["parent_id"], row["span_id"]) == \
        ("mine-1", trace, "b7ad6b7169203331", parts[2])
    assert (row["route"], row["model"], row["user"], row["status"], row["is_complete"], row["ending"]) == \
        ("/v1/chat/completions", "whole", "me", 200, 1, "stop")
    assert (row["prompt_fresh"], row["prompt_cached"], row["answer_visible"], row["answer_reasoning"]) == (7, 4, 3, 2)
    assert row["first_token_s"] is None and 0 < row["total_s"] < 30 and row["variant"] == ""
    assert abs(row["started_s"] - time.time()) < 60


def test_the_callers_key_is_kept_nowhere(proxy, upstream):
    assert post(proxy, "/v1/chat/completions", {"model": "whole"})[0] == 200
    rows_when(proxy.data, 1)
    assert proxy.end() == 0
    assert upstream.requests[0][2]["authorization"].endswith(SECRET)
    assert "request id=" in "".join(proxy.log) and SECRET not in "".join(proxy.log)
    for file in pathlib.Path(proxy.data).rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes(), file


def test_a_stream_passes_chunk_by_chunk(proxy, upstream):
    client = openai.OpenAI(base_url=proxy.url + "/v1", api_key=SECRET, max_retries=0)
    seen = list(client.chat.completions.create(model="stream", messages=MESSAGES, stream=True))
    assert [c.choices[0].delta.content for c in seen if c.choices][:CHUNKS] == [f"word {i} " for i in range(CHUNKS)]
    assert seen[-1].usage.completion_tokens == 5
    list(client.chat.completions.create(model="uncounted", messages=MESSAGES, stream=True))
    said, counted = rows_when(proxy.data, 2)
    assert (said["prompt_fresh"], said["prompt_cached"]) == (7, 4)
    assert (said["answer_visible"], said["answer_reasoning"]) == (3, 2)
    assert (counted["prompt_fresh"], counted["answer_visible"]) == (0, CHUNKS)
    assert (said["variant"], counted["variant"]) == ("", "tokens counted by chunk")
    for row in (said, counted):
        assert row["ending"] == "length" and row["is_complete"] == 1
        assert 0 < row["first_token_s"] <= row["total_s"] and gaps_in(row["gaps"]) == CHUNKS - 1
    assert proxy.metric("vllm:generation_tokens_total") == 5 + CHUNKS
    assert proxy.metric("vllm:prompt_tokens_total") == 7
    assert proxy.metric("paring:answers_counted_by_chunk_total") == 1
    assert proxy.metric("vllm:inter_token_latency_seconds_count") == 2 * (CHUNKS - 1)


def test_a_chunk_passes_before_the_next_is_there(proxy, upstream):
    """The stand-in goes on only when the client has seen what came before."""
    client = openai.OpenAI(base_url=proxy.url + "/v1", api_key="k", max_retries=0)
    stream = client.chat.completions.create(model="slow", messages=MESSAGES, stream=True)
    seen = 0
    for chunk in stream:
        seen += bool(chunk.choices and chunk.choices[0].delta.content)
        if seen == CHUNKS + 3:
            upstream.released.set()
    row, = rows_when(proxy.data, 1)
    assert seen >= CHUNKS + 3 and row["ending"] == "length" and row["answer_visible"] == 3


def test_other_protocols_and_routes(proxy, upstream):
    assert post(proxy, "/v1/messages", {"model": "claude", "max_tokens": 9, "messages": MESSAGES})[0] == 200
    assert post(proxy, "/v1/embeddings", {"model": "e", "input": "a"})[0] == 200
    models = openai.OpenAI(base_url=proxy.url + "/v1", api_key="k").models.list()
    assert [model.id for model in models] == ["whole"]
    assert json.loads(proxy.get("/some/where")) and json.loads(proxy.get("/livez")) == {"status": "ok"}
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=20)
    connection.request("HEAD", "/v1/models")
    assert connection.getresponse().status == 200
    rows = {(row["route"], row["model"]): row for row in rows_when(proxy.data, 5)}
    messages = rows["/v1/messages", "claude"]
    assert (messages["prompt_fresh"], messages["prompt_cached"], messages["answer_visible"]) == (8, 20, 9)
    assert messages["ending"] == "length"
    assert rows["/v1/embeddings", "e"]["prompt_fresh"] == 6
    assert set(rows) == {("/v1/messages", "claude"), ("/v1/embeddings", "e"), ("/v1/models", ""), ("other", "")}


@pytest.mark.parametrize("kind, status, code", [
    ("error", 429, "rate_limit_exceeded"), ("hang", 504, "upstream_timeout"), ("cut", 502, "upstream_cut")])
def test_what_goes_wrong_upstream_is_told_and_kept(proxy, kind, status, code):
    told, body, headers = post(proxy, "/v1/chat/completions", {"model": kind})
    assert (told, json.loads(body)["error"]["code"]) == (status, code) and headers["x-request-id"]
    row, = rows_when(proxy.data, 1)
    assert (row["status"], row["error_code"], row["ending"], row["model"]) == (status, code, "error", kind)
    failures = proxy.metric("paring:upstream_failures_total")
    assert failures == (0 if kind == "error" else 1)
    assert proxy.metric("vllm:request_success_total") == 1


def test_a_stream_that_is_cut_ends_with_an_error(proxy):
    client = openai.OpenAI(base_url=proxy.url + "/v1", api_key="k", max_retries=0)
    seen = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in client.chat.completions.create(model="cut-stream", messages=MESSAGES, stream=True):
            seen.append(chunk)
    assert raised.value.code == "upstream_cut" and len(seen) == CHUNKS
    row, = rows_when(proxy.data, 1)
    assert (row["status"], row["ending"], row["error_code"], row["answer_visible"]) == \
        (200, "error", "upstream_cut", CHUNKS)


def test_nobody_there_and_wrong_tls(paring, upstream, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened to
        for url, code in ((f"http://127.0.0.1:{taken.getsockname()[1]}", "upstream_unreachable"),
                          (upstream.url.replace("http:", "https:"), "upstream_tls")):
            folder = tmp_path / code
            with monitor(paring, url, folder) as proxy:
                status, body, _ = post(proxy, "/v1/chat/completions", {"model": "whole"})
                assert (status, json.loads(body)["error"]["code"]) == (502, code)
                status, body, _ = post(proxy, "/v1/messages", {"model": "whole"})
                assert status == 502 and json.loads(body)["type"] == "error"
                assert [row["error_code"] for row in rows_when(folder, 2)] == [code] * 2


def test_who_leaves_ends_it_upstream(proxy, upstream):
    host, port = proxy.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "slow", "stream": True}).encode()
    connection = socket.create_connection((host, int(port)))
    connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                       b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert b"200 OK" in connection.recv(1 << 16)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert upstream.left.wait(20)
    row, = rows_when(proxy.data, 1)
    assert (row["ending"], row["is_complete"], row["error_code"]) == ("cancelled", 0, "")
    assert proxy.metric("vllm:num_requests_running") == 0


def test_a_huge_answer_to_a_slow_reader_is_not_kept_in_memory(proxy):
    before = proxy.memory()
    host, port = proxy.url.removeprefix("http://").split(":")
    body = json.dumps({"model": "huge"}).encode()
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)
        received, most = 0, 0
        while piece := connection.recv(1 << 16):
            received += len(piece)
            most = max(most, proxy.memory())
    assert received > HUGE and most - before < HUGE / 2
    row, = rows_when(proxy.data, 1)
    assert row["is_complete"] == 1 and row["answer_visible"] == 3


def test_connections_upstream_are_used_again(proxy, upstream):
    for _ in range(20):
        assert post(proxy, "/v1/chat/completions", {"model": "whole"})[0] == 200
    assert len({request[4] for request in upstream.requests}) == 1


def test_keys_of_its_own(paring, upstream, tmp_path):
    key, theirs = "proxy-key-0123456789abcdef", tmp_path / "upstream.key"
    theirs.write_text("of-the-upstream\n")
    with monitor(paring, upstream.url, tmp_path, "--upstream-key-file", theirs,
                 env={"PARING_API_KEY": key}) as proxy:
        status, body, _ = post(proxy, "/v1/chat/completions", {"model": "whole"})
        assert status == 401 and json.loads(body)["error"]["code"] == "invalid_api_key" and not upstream.requests
        assert post(proxy, "/v1/chat/completions", {"model": "whole"}, {"authorization": f"Bearer {key}"})[0] == 200
        assert post(proxy, "/v1/messages", {"model": "whole"}, {"authorization": f"Bearer {key}"})[0] == 200
        sent = [request[2] for request in upstream.requests]
        assert sent[0]["authorization"] == "Bearer of-the-upstream" and "x-api-key" not in sent[0]
        assert sent[1]["x-api-key"] == "of-the-upstream" and "authorization" not in sent[1]
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(proxy.url + "/metrics", timeout=20)
        assert proxy.metric("vllm:prompt_tokens_total") > 0  # with the key
        assert json.loads(urllib.request.urlopen(proxy.url + "/livez", timeout=20).read())
        rows = rows_when(tmp_path, 3)
        assert [(row["status"], row["key_id"]) for row in rows][1:] == [(200, "file:environment")] * 2
        assert rows[0]["error_code"] == "invalid_api_key"
    log = "".join(proxy.log)
    assert key not in log and "of-the-upstream" not in log


def test_bounds(paring, upstream, tmp_path):
    with monitor(paring, upstream.url, tmp_path, "--requests-max", 1, "--body-bytes", "2KB") as proxy:
        assert post(proxy, "/v1/chat/completions", {"model": "whole", "x": "y" * 3000})[0] == 413
        first = threading.Thread(target=post, args=(proxy, "/v1/chat/completions", {"model": "hang"}), daemon=True)
        first.start()
        while not upstream.requests:
            time.sleep(0.01)
        status, body, headers = post(proxy, "/v1/chat/completions", {"model": "whole"})
        assert status == 503 and headers["retry-after"] == "1"
        assert json.loads(body)["error"]["code"] == "server_is_overloaded"
        upstream.released.set()
        first.join(20)
        assert post(proxy, "/v1/chat/completions", {"model": "whole"})[0] == 200
        rows = rows_when(tmp_path, 4)
        assert sorted(row["status"] for row in rows) == [200, 413, 502, 503]


def test_metrics_of_other_servers_are_shown(paring, upstream, tmp_path):
    instance = upstream.url.removeprefix("http://")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and not listened to
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        with monitor(paring, upstream.url, tmp_path, "--scrape", upstream.url, "--scrape", f"http://{nobody}/metrics",
                     "--scrape-seconds", 1) as proxy:
            assert post(proxy, "/v1/chat/completions", {"model": "whole"})[0] == 200
            rows_when(tmp_path, 1)
            end = time.monotonic() + 20
            while "paring:scraped_per_second" not in (text := proxy.get("/metrics")) and time.monotonic() < end:
                time.sleep(0.05)
    families = {family.name: family for family in text_string_to_metric_families(text)}

    def value(family, name, **labels):
        return [sample.value for sample in families[family].samples if sample.name == name and
                labels.items() <= sample.labels.items()]

    assert len(families) == text.count("# TYPE ")
    tokens = families["vllm:generation_tokens"].samples
    assert [sample.value for sample in tokens if "instance" not in sample.labels] == [5]
    theirs, = [sample for sample in tokens if "instance" in sample.labels]
    assert theirs.labels == {"instance": instance, "engine": "0", "model_name": "theirs"} and theirs.value >= 200
    assert value("vllm:request_prompt_tokens", "vllm:request_prompt_tokens_bucket", instance=instance, le="+Inf") == [2]
    assert value("llamacpp:requests_processing", "llamacpp:requests_processing", instance=instance) == [3]
    rate, = value("paring:scraped_per_second", "paring:scraped_per_second", instance=instance,
                  metric="vllm:generation_tokens_total")
    assert 10 < rate < 101
    assert value("paring:scrape_up", "paring:scrape_up", instance=instance) == [1]
    assert value("paring:scrape_up", "paring:scrape_up", instance=nobody) == [0]
    assert value("paring:scrape_bad_lines", "paring:scrape_bad_lines", instance=instance) == [1]
    assert value("vllm:num_requests_running", "vllm:num_requests_running") == [0]  # theirs is no gauge


def test_what_is_refused_at_the_start(paring, tmp_path):
    for words, hint in ((("--upstream", "ftp://a"), "http://"), (("--upstream", "http://u:p@a"), "user name"),
                        (("--upstream", "http://a", "--host", "0.0.0.0"), "no key"), ((), "--upstream"),
                        (("--upstream", "http://a", "--traffic", "off"), "--traffic off"),
                        (("--upstream", "http://a", "--traffic", "sync"), "give async or batch"),
                        (("--upstream", "http://a", "--upstream-key-file", "/nowhere"), "/nowhere")):
        done = paring("monitor", "--data-dir", tmp_path, "--port", 0, *words, timeout=20)
        assert done.code != 0 and hint in done.err, (words, done.err)


def test_a_paring_server_behind_it(paring, tmp_path):
    model = tmp_path / "small.gguf"
    tiny_model.write(model, chat_template=CHATML)
    data = tmp_path / "monitor"
    with ServerProcess(paring.path, f"small={model}") as server, monitor(paring, server.url + "/v1", data) as proxy:
        client = openai.OpenAI(base_url=proxy.url + "/v1", api_key="k", max_retries=0)
        ask = {"model": "small", "max_tokens": 12, "temperature": 0}
        told = [client.chat.completions.create(messages=MESSAGES, **ask).usage,
                client.completions.create(prompt="Once upon a time", **ask).usage]
        chunks = list(client.chat.completions.create(messages=MESSAGES, stream=True,
                                                     stream_options={"include_usage": True}, **ask))
        told.append(chunks[-1].usage)
        response = client.responses.create(model="small", input="Hello", max_output_tokens=12)
        with client.responses.stream(model="small", input="Hello", max_output_tokens=12) as stream:
            streamed = list(stream)[-1].response
        status, body, _ = post(proxy, "/v1/messages", {"model": "small", "max_tokens": 12, "messages": MESSAGES})
        assert status == 200
        message = json.loads(body)["usage"]
        rows = rows_when(data, 6)
        expected = [(usage.prompt_tokens, usage.completion_tokens) for usage in told]
        expected += [(each.usage.input_tokens, each.usage.output_tokens) for each in (response, streamed)]
        expected.append((message["input_tokens"] + message.get("cache_read_input_tokens", 0)
                         + message.get("cache_creation_input_tokens", 0), message["output_tokens"]))
        assert [(row["prompt_fresh"] + row["prompt_cached"], row["answer_visible"] + row["answer_reasoning"])
                for row in rows] == expected
        assert all(row["variant"] == "" and row["ending"] in ("length", "stop") for row in rows)
        assert proxy.metric("vllm:generation_tokens_total") == sum(each[1] for each in expected)
        traces = {row["trace_id"] for row in rows}
    assert len(traces) == len(rows)
