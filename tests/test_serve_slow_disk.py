# SPDX-License-Identifier: Apache-2.0
"""A disk that takes long for each write, or stands still: it holds no answer up, what is not written is counted, and
with --traffic sync nothing is lost whose answer was sent."""
import concurrent.futures
import http.client
import json
import signal
import subprocess
import threading

import pytest

import tiny_model
from conftest import ROOT
from raw_client import CHATML
from server_process import ServerProcess
from test_monitor_proxy import rows_of, rows_when
from test_serve import post

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
RING = 4096  # TrafficWriter::Options::ring_slots
BATCH = 256


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("slow-disk") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    path = tmp_path_factory.mktemp("slow-disk-library") / "slow_disk.so"
    subprocess.run(["g++", "-std=c++20", "-O1", "-shared", "-fPIC", ROOT / "tests/slow_disk.cc", "-o", path, "-ldl"],
                   check=True)
    return path


def serve(paring, small, disk, folder, milliseconds, *words):
    return ServerProcess(paring.path, f"small={small}", "--data-dir", folder / "data", *words, env={
        "LD_PRELOAD": str(disk), "SLOW_DISK_FOLDER": "/traffic/", "SLOW_DISK_MS": str(milliseconds),
        "SLOW_DISK_GATE": str(folder / "gate")})


def refuse_many(server, count):
    """Requests that need no engine, and leave rows."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    body = json.dumps({**CHAT, "model": "none"})
    for _ in range(count):
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 404
    connection.close()


def test_a_disk_that_stands_still_holds_nobody_up_and_what_it_costs_is_counted(paring, small, disk, tmp_path):
    gate = tmp_path / "gate"
    with serve(paring, small, disk, tmp_path, 0) as server:
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200
        rows_when(tmp_path / "data", 1)
        gate.touch()
        # All of these are answered while nothing at all can be written.
        for number in range(20):
            assert post(server, "/v1/chat/completions", {**CHAT, "seed": number})[0] == 200
        refuse_many(server, RING + 2 * BATCH)
        offered = 1 + 20 + RING + 2 * BATCH
        assert server.metric("paring:traffic_rows_total") == 1, "the disk stood still"
        dropped = server.metric("paring:traffic_dropped_total")
        assert offered - 1 - RING - BATCH <= dropped < offered, "what the ring does not hold is counted at once"
        gate.unlink()
        assert server.end() == 0
    assert len(rows_of(tmp_path / "data")) == offered - dropped, "everything is there or counted"


def test_answers_do_not_wait_for_a_slow_disk(paring, small, disk, tmp_path):
    with serve(paring, small, disk, tmp_path, 200) as server:
        for number in range(30):
            assert post(server, "/v1/chat/completions", {**CHAT, "seed": number})[0] == 200
        # A commit is several writes of 200 ms: rows are behind answers, and come in batches.
        assert server.metric("paring:traffic_rows_total") < 30
        assert server.metric("paring:traffic_dropped_total") == 0
        assert server.end() == 0
    rows = rows_of(tmp_path / "data")
    assert len(rows) == 30 and {row["status"] for row in rows} == {200}


def test_with_sync_an_answer_waits_for_the_disk(paring, small, disk, tmp_path):
    gate = tmp_path / "gate"
    with serve(paring, small, disk, tmp_path, 1, "--traffic", "sync") as server:
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200
        gate.touch()
        answers = []
        body = {**CHAT, "seed": 2}
        asking = threading.Thread(target=lambda: answers.append(post(server, "/v1/chat/completions", body)[0]))
        before = server.metric("vllm:generation_tokens_total")
        asking.start()
        while server.metric("vllm:generation_tokens_total") == before:
            assert asking.is_alive()
        assert not answers, "it is computed, and not acknowledged"
        gate.unlink()
        asking.join(60)
        assert answers == [200]


def test_killed_on_a_slow_disk_sync_has_lost_nothing_that_was_answered(paring, small, disk, tmp_path):
    with serve(paring, small, disk, tmp_path, 20, "--traffic", "sync") as server:
        answered, enough = [], threading.Event()

        def ask(number):
            try:
                status, _, headers = post(server, "/v1/chat/completions", {**CHAT, "seed": number})
            except OSError:  # it was killed
                return
            if status == 200:
                answered.append(headers["x-request-id"])
                if len(answered) == 12:
                    enough.set()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(ask, number) for number in range(64)]
            assert enough.wait(120)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(30)
            concurrent.futures.wait(asked, 60)
    assert 12 <= len(answered) < 64, "it was killed in the middle"
    with serve(paring, small, disk, tmp_path, 0) as server:
        kept = {row["id"] for row in rows_of(tmp_path / "data")}
        assert set(answered) <= kept
        assert post(server, "/v1/chat/completions", CHAT)[0] == 200, "and it goes on"
