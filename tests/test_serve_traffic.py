# SPDX-License-Identifier: Apache-2.0
"""What `paring serve` keeps of each request, read from its files with Python's own SQLite: one row a request, and its
numbers are those that the client was told."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request

import openai
import pytest

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_serve import post

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("traffic") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


ROWS = "SELECT * FROM requests JOIN request_groups ON request_groups.id = group_id ORDER BY started_s"
IDS = "SELECT id AS id FROM requests ORDER BY started_s"


def rows_of(folder, query=ROWS):
    """All rows of all days, oldest first, as dictionaries."""
    rows = []
    for day in sorted(pathlib.Path(folder).glob("traffic/default/????-??-??.db")):
        with sqlite3.connect(f"file:{day}?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            rows += [dict(row) for row in database.execute(query)]
    return rows


def rows_when(folder, count, seconds=20):
    """The rows, when there are so many."""
    end, rows = time.monotonic() + seconds, []
    while len(rows) < count and time.monotonic() < end:
        time.sleep(0.05)
        with contextlib.suppress(sqlite3.OperationalError):  # a file that is being made
            rows = rows_of(folder)
    return rows


def test_every_request_that_computes_has_a_row(paring, small, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path) as server:
        status, answer, headers = post(server, "/v1/chat/completions", {**CHAT, "user": "me", "temperature": 0})
        assert status == 200
        again = post(server, "/v1/chat/completions", {**CHAT, "user": "me", "temperature": 0})
        assert again[2]["x-paring-cache"].startswith("exact")
        assert post(server, "/v1/chat/completions", {**CHAT, "model": "none"})[0] == 404
        assert post(server, "/v1/chat/completions", {**CHAT, "max_tokens": -1})[0] == 400
        assert post(server, "/tokenize", {"model": "small", "prompt": "x"})[0] == 200
        server.get("/v1/models")
        rows = rows_when(tmp_path, 4)
        assert [row["status"] for row in rows] == [200, 200, 404, 400]
        first, second, missing, refused = rows
        usage = answer["usage"]
        assert first["prompt_fresh"] + first["prompt_cached"] == usage["prompt_tokens"]
        assert first["answer_visible"] == usage["completion_tokens"]
        assert first["variant"] == headers["x-paring-variant"]
        assert rows_of(tmp_path, IDS)[0]["id"] == headers["x-request-id"]
        assert first["user"] == "me" and first["model"] == "small" and first["tenant"] == "default"
        assert first["route"] == "/v1/chat/completions" and first["is_complete"] == 1
        assert first["operations"] > 0 and first["bytes_read"] > 0
        assert 0 < first["first_token_s"] <= first["total_s"] and first["prefill_s"] > 0
        assert second["cache"] != first["cache"] and second["operations"] == 0
        assert second["answer_visible"] == first["answer_visible"]
        assert missing["error_code"] == "model_not_found" and missing["ending"] == "error"
        assert refused["error_code"] and refused["prompt_fresh"] == 0
        assert server.end() == 0
    assert len(rows_of(tmp_path)) == 4


def get(server, path, key=None):
    request = urllib.request.Request(server.url + path, headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_requests_can_be_asked_for(paring, small, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path) as server:
        for number in range(7):
            assert post(server, "/v1/chat/completions", {**CHAT, "seed": number, "user": f"u{number}"})[0] == 200
        assert post(server, "/v1/completions", {"model": "small"})[0] == 400
        rows = rows_when(tmp_path, 8)
        seen, after = [], ""
        while True:
            status, page = get(server, f"/v1/traffic?limit=3{after}")
            assert status == 200
            seen += page["data"]
            if not page["has_more"]:
                break
            after = f"&after={urllib.parse.quote(page['next'])}"
        assert [one["user"] for one in seen] == ["", *(f"u{number}" for number in range(6, -1, -1))]
        assert [one["started_at"] for one in seen] == [row["started_s"] for row in reversed(rows)]
        status, total = get(server, "/v1/traffic/summary")
        assert status == 200 and total["requests"] == 8 and total["errors"] == 1
        assert total["answer_visible"] == sum(row["answer_visible"] for row in rows)
        assert total["operations"] == pytest.approx(sum(row["operations"] for row in rows))
        assert total["total"]["count"] == 8 and total["total"]["p50"] > 0
        assert total["gap"]["count"] == sum(max(row["answer_visible"] - 1, 0) for row in rows) > 40
        status, good = get(server, "/v1/traffic/summary?route=/v1/chat/completions&status_class=2")
        assert status == 200 and good["requests"] == 7
        status, series = get(server, "/v1/traffic/series?bucket_seconds=60")
        assert status == 200 and sum(bucket["requests"] for bucket in series["data"]) == 8
        status, one = get(server, f"/v1/traffic/requests/{seen[1]['id']}")
        assert status == 200 and len(one["data"]) == 1
        assert len(one["data"][0]["gap_microseconds"]) == seen[1]["tokens"]["answer_visible"] - 1
        assert sum(one["data"][0]["gap_microseconds"]) / 1e6 <= one["data"][0]["total_seconds"]
        status, error = get(server, "/v1/traffic/requests/none")
        assert status == 404 and error["error"]["code"] == "request_not_found"
        for query in ("limit=0", "limit=x", "colour=red", "after=nonsense", "cache=maybe"):
            status, error = get(server, f"/v1/traffic?{query}")
            assert status == 400 and error["error"]["param"] == query.split("=")[0], (query, error)


def test_tenants_see_their_own(paring, small, tmp_path):
    keys = tmp_path / "keys"
    secrets = {name: f"sk-{name}-{'x' * 24}" for name in ("red", "blue", "boss", "blind")}
    keys.write_text("".join(f"{secrets[name]} name={name} tenant={name} scopes={scopes}\n" for name, scopes in (
        ("red", "inference,metrics"), ("blue", "inference,metrics"), ("boss", "admin,metrics"),
        ("blind", "inference"))))
    keys.chmod(0o600)
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path / "data",
                       "--api-key-file", keys) as server:
        for name in ("red", "blue", "blue"):
            headers = {"authorization": f"Bearer {secrets[name]}"}
            assert post(server, "/v1/chat/completions", CHAT, headers)[0] == 200
        rows_when(tmp_path / "data", 3)
        count = {name: get(server, "/v1/traffic/summary", secrets[name])[1].get("requests") for name in secrets}
        assert count == {"red": 1, "blue": 2, "boss": 3, "blind": None}
        for route in ("", "/summary", "/series?bucket_seconds=60", "/users"):
            path = f"/v1/traffic{route}{'&' if '?' in route else '?'}tenant=blue"
            status, refusal = get(server, path, secrets["red"])
            assert (status, refusal["error"]["param"]) == (403, "tenant"), "another's is not silently one's own"
            assert get(server, path, secrets["blue"])[0] == 200 and get(server, path, secrets["boss"])[0] == 200
        assert get(server, "/v1/traffic?tenant=red", secrets["red"])[1]["data"][0]["tenant"] == "red"
        blue = get(server, "/v1/traffic", secrets["blue"])[1]["data"][0]["id"]
        assert get(server, f"/v1/traffic/requests/{blue}", secrets["red"])[0] == 404
        assert get(server, f"/v1/traffic/requests/{blue}", secrets["boss"])[0] == 200


def test_joules_and_money_add_up(paring, root, small, tmp_path):
    """What requests are told to have taken is what /metrics says that requests took, and is priced as the book says."""
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path,
                       "--price-book", root / "deploy/prices.json",
                       "--idle-watts", 500, "--cpu-watts", 4000) as server:
        for number in range(40):
            assert post(server, "/v1/chat/completions", {**CHAT, "seed": number, "max_tokens": 100})[0] == 200
        again = {**CHAT, "temperature": 0}
        assert post(server, "/v1/chat/completions", again)[0] == post(server, "/v1/chat/completions", again)[0] == 200
        rows = rows_when(tmp_path, 42)
        assert all(row["joules"] > 0 for row in rows[:41]) and rows[41]["joules"] == 0
        kind = "measured" if server.metric("paring:energy_is_measured") else "estimated"
        assert {row["joules_kind"] for row in rows[:41]} == {kind} and rows[41]["joules_kind"] == "none"
        for row in rows[:41]:
            assert row["energy_cost"] == pytest.approx(row["joules"] / 3.6e6 * 0.30)
            assert row["hardware_cost"] > 0 and row["currency"] == "EUR"
        taken = sum(row["joules"] for row in rows)
        account = 'paring:energy_joules_total{account="%s"}'
        time.sleep(2.5)  # the meter's thread measures once a second
        assert server.metric(account % "requests") == pytest.approx(taken, abs=1)
        assert server.metric(account % "idle") >= 900 or kind == "measured"
        total = get(server, "/v1/traffic/summary")[1]
        assert total[f"joules_{kind}"] == pytest.approx(taken)
        assert total["money"][0]["energy"] == pytest.approx(taken / 3.6e6 * 0.30)
    wrong = tmp_path / "prices.json"
    wrong.write_text('{"currency": "EUR", "prices": [{"from": "soon"}]}')
    done = paring("serve", f"small={small}", "--data-dir", tmp_path, "--price-book", wrong)
    assert done.code != 0 and "prices[0].from" in done.err and str(wrong) in done.err


def test_a_client_that_leaves_has_a_row(paring, small, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path) as server:
        # More than the kernel and the server keep for a client that does not read.
        body = json.dumps({**CHAT, "stream": True, "max_tokens": 100, "n": 64, "logprobs": True,
                           "top_logprobs": 20}).encode()
        url = urllib.parse.urlparse(server.url)
        with socket.create_connection((url.hostname, url.port)) as connection:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"
                               b"Content-Type: application/json\r\n\r\n" % len(body) + body)
            assert connection.recv(100)
        row, = rows_when(tmp_path, 1)
        assert row["is_complete"] == 0 and row["ending"] == "cancelled" and row["status"] == 200
        assert row["answer_visible"] > 0


def test_in_sync_the_row_is_there_when_the_answer_is(paring, small, tmp_path):
    """Killed at random moments: whoever has an answer has a row."""
    answered = set()
    for moment in range(6):
        with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic", "sync") as server:
            for number in range(3 + moment):
                status, _, headers = post(server, "/v1/chat/completions", {**CHAT, "stream": False, "seed": number})
                assert status == 200
                answered.add(headers["x-request-id"])
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        assert answered <= {row["id"] for row in rows_of(tmp_path, IDS)}
    assert len(rows_of(tmp_path)) >= len(answered) == 33


def test_what_encoders_and_judges_compute_is_metered(paring, root, small, tmp_path):
    encoder = root / "tests/data/encoders/bert-mean"
    with ServerProcess(paring.path, f"small={small}", f"encoder={encoder}", "--data-dir", tmp_path,
                       "--idle-watts", 500, "--cpu-watts", 4000) as server:
        long = "a cat sat on the mat " * 2
        texts = [["a"], [long], [long] * 10]
        for text in texts:
            status, answer, _ = post(server, "/v1/embeddings", {"model": "encoder", "input": text})
            assert status == 200 and answer["usage"]["prompt_tokens"] > 0
        status, _, _ = post(server, "/v1/rerank", {"model": "small", "query": "cats", "documents": ["a cat", "a dog"]})
        assert status == 200
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200
        short, one, ten, judged, chat = rows_when(tmp_path, 5)
        assert 0 < short["operations"] < one["operations"] < ten["operations"]
        assert ten["operations"] == pytest.approx(10 * one["operations"], rel=1e-6)
        assert 0 < one["bytes_read"] <= ten["bytes_read"]
        for row in (short, one, ten, judged, chat):
            assert row["prefill_s"] > 0 and row["operations"] > 0, row
            assert row["queue_s"] + row["prefill_s"] <= row["total_s"]
        # The system counts its CPU time in hundredths of a second: shorter work may look like none.
        assert sum(row["joules"] for row in (short, one, ten, judged, chat)) > 0
        assert short["peak_pages"] == 0 and judged["peak_pages"] >= 2 and chat["peak_pages"] >= 1
        # What steps computed is what requests took.
        computed = server.metric("vllm:estimated_flops_per_gpu_total")
        assert sum(row["operations"] for row in (short, one, ten, judged, chat)) == pytest.approx(computed, rel=1e-4)


def test_off_keeps_nothing(paring, small, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic", "off") as server:
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200
    assert not (tmp_path / "traffic").exists()


def test_lines_of_batches_have_rows(paring, small, tmp_path):
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path) as server:
        lines = "".join(json.dumps({"custom_id": f"c{i}", "method": "POST", "url": "/v1/chat/completions",
                                    "body": CHAT}) + "\n" for i in range(5))
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        file = client.files.create(file=("lines.jsonl", lines.encode()), purpose="batch")
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        rows = rows_when(tmp_path, 5)
        assert [row["status"] for row in rows] == [200] * 5
        assert all(row["route"] == "/v1/chat/completions" and row["is_complete"] for row in rows)


def test_old_days_go(paring, small, tmp_path):
    folder = tmp_path / "traffic" / "default"
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic-days", 2) as server:
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200
        today, = {day.name for day in folder.glob("*.db")} if rows_when(tmp_path, 1) else set()
    old = folder / "2020-01-01.db"
    os.link(folder / today, old)
    with ServerProcess(paring.path, f"small={small}", "--data-dir", tmp_path, "--traffic-days", 2):
        end = time.monotonic() + 20
        while old.exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert not old.exists() and (folder / today).exists()
