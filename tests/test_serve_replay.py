# SPDX-License-Identifier: Apache-2.0
"""Ten thousand requests of a real trace (a million with PARING_LONG_TESTS) through a server that keeps each of them:
what it says of all is, to the token, what the clients counted."""
import asyncio
import collections
import json
import os
import pathlib
import random
import sqlite3
import sys
import time

import pytest

import tiny_model
from raw_client import CHATML, address_of
from server_process import ServerProcess
from test_access import keyed

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
from load import traces  # noqa: E402

REQUESTS = 1_000_000 if os.environ.get("PARING_LONG_TESTS") else 10_000
CONNECTIONS = 48
ANSWER_DIVISOR = 4  # upon the trace's own: the figures are counted, not timed
KEYS = ["red", "blue", "green"]


def requests_of(arrivals, secrets):
    """Key, bytes of the request, and whether it is to be refused, for each of REQUESTS; the same every time."""
    chance = random.Random(11)
    for number in range(REQUESTS):
        arrival = arrivals[number % len(arrivals)]
        key = KEYS[number % len(KEYS)]
        # One in five asks what was asked before: the cache answers, or who computes it now.
        if number % 5 == 0:
            arrival, text = arrivals[chance.randrange(40)], "again"
        else:
            text = str(number)
        text = (text + " ").ljust(arrival.prompt_tokens, "x")
        body = {"model": "small", "messages": [{"role": "user", "content": text}], "temperature": 0,
                "max_tokens": max(2, arrival.output_tokens // ANSWER_DIVISOR), "ignore_eos": True}
        kind = "good"
        if number % 101 == 7:
            kind, body["model"] = "missing", "nobody"
        elif number % 103 == 9:
            kind, body["max_tokens"] = "wrong", -3
        data = json.dumps(body).encode()
        yield kind, key, (f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secrets[key]}\r\n"
                          f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data


async def exchange(reader, writer, request):
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split(" ")[1]), headers, body


async def replay(server, requests):
    """Counts by key of what the clients were told."""
    counts = collections.defaultdict(collections.Counter)
    source = iter(requests)

    async def client():
        reader, writer = await asyncio.open_connection(*address_of(server))
        for kind, key, request in source:
            status, headers, body = await exchange(reader, writer, request)
            assert status == {"good": 200, "missing": 404, "wrong": 400}[kind], body
            count = counts[key]
            count["requests"] += 1
            if kind != "good":
                count["errors"] += 1
                continue
            usage = json.loads(body)["usage"]
            verdict = headers.get("x-paring-cache", "none").split(";")[0]
            count["cached"] += verdict not in ("none", "miss")
            count["answer_visible"] += usage["completion_tokens"]
            count["prompt"] += usage["prompt_tokens"]
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return counts


def told_when_written(server):
    """Sums by tenant, when the rows are in the database: they are written beside the answers."""
    end = time.monotonic() + 60
    while True:
        groups = json.loads(server.get("/v1/traffic/summary?by=tenant"))["groups"]
        if sum(group["requests"] for group in groups) >= REQUESTS or time.monotonic() > end:
            return {group["name"]: group for group in groups}
        time.sleep(0.1)


@pytest.mark.slow
def test_totals_of_a_replayed_trace_are_exact(paring, tmp_path):
    model = tmp_path / "small.gguf"
    tiny_model.write(model, chat_template=CHATML)
    data = tmp_path / "data"
    secrets = {}
    for name in [*KEYS, "root"]:
        scopes = "admin,metrics" if name == "root" else "inference"
        headers = keyed(paring, data, "--name", name, "--tenant", name, "--scopes", scopes)[1]
        secrets[name] = headers["authorization"].split()[1]
    arrivals = traces.read_azure(traces.SHIPPED["azure"])
    with ServerProcess(paring.path, f"small={model}", "--data-dir", data, "--requests-max", 4096,
                       "--access-log", "off") as server:
        server.key = secrets["root"]
        counts = asyncio.run(replay(server, requests_of(arrivals, secrets)))
        told = told_when_written(server)
        dropped = server.metric("paring:traffic_dropped_total")
        assert server.end() == 0
    assert dropped == 0
    assert set(told) == set(KEYS) == set(counts)
    rows = collections.defaultdict(collections.Counter)
    for day in (data / "traffic" / "default").glob("????-??-??.db"):
        with sqlite3.connect(f"file:{day}?mode=ro", uri=True) as database:
            for tenant, *numbers in database.execute(
                    "SELECT tenant, COUNT(*), SUM(status >= 400), SUM(cache <> 'none'), SUM(answer_visible), "
                    "SUM(prompt_fresh + prompt_cached) FROM requests "
                    "JOIN request_groups ON request_groups.id = group_id GROUP BY tenant"):
                names = ["requests", "errors", "cached", "answer_visible", "prompt"]
                rows[tenant].update(dict(zip(names, numbers)))
    for key in KEYS:
        summary = {name: told[key][name] for name in ("requests", "errors", "cached", "answer_visible")}
        summary["prompt"] = told[key]["prompt_fresh"] + told[key]["prompt_cached"]
        assert summary == dict(counts[key]), key
        assert dict(rows[key]) == dict(counts[key]), key
    assert sum(count["requests"] for count in counts.values()) == REQUESTS
    assert sum(count["cached"] for count in counts.values()) > REQUESTS / 10
