# SPDX-License-Identifier: Apache-2.0
"""paring advise: from a server's traffic to what to change, and what it predicts is counted exactly."""
import json
import os
import random
import subprocess
import urllib.request

import pytest

from server_process import ServerProcess

PLAIN = ["--no-prefix-cache", "--cache-bytes", "0", "--no-speculation"]
INSTRUCTION, OWN = 160, 20
ADMIN = "an-administrators-key-of-some-length"


def requests_of(seed, count=60):
    """Instructions that many prompts share, and requests that come again."""
    draw = random.Random(seed)
    instructions = [[draw.randrange(1000, 40000) for _ in range(INSTRUCTION)] for _ in range(2)]
    made = []
    for _ in range(count):
        if made and draw.random() < 0.4:
            made.append(draw.choice(made))
        else:
            own = [draw.randrange(1000, 40000) for _ in range(OWN)]
            made.append({"prompt": draw.choice(instructions) + own, "max_tokens": draw.randrange(4, 12),
                         "temperature": 0, "ignore_eos": True})
    return made


def send(server, request, headers=None):
    body = json.dumps(request).encode()
    with urllib.request.urlopen(urllib.request.Request(
            server.url + "/v1/completions", body, {"content-type": "application/json", **(headers or {})})) as answer:
        return json.load(answer)["usage"]


def advise(paring, data, *words, check=True):
    done = subprocess.run([paring.path, "advise", "--data-dir", str(data), *words], capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def served(paring, model, tmp_path_factory):
    """A data folder, and the requests that were served."""
    data = tmp_path_factory.mktemp("advise") / "data"
    requests = requests_of(1)
    with ServerProcess(paring.path, model, "--data-dir", data, *PLAIN) as server:
        for request in requests:
            send(server, request, {"x-prompt-version": "v7"})
        server.end()
    return data, requests


def test_what_is_predicted_is_what_a_server_then_does(paring, model, served, tmp_path):
    data, requests = served
    report = json.loads(advise(paring, data, "--clients", "1", "--no-measure", "--json").stdout)
    equal = len(requests) - len({json.dumps(request) for request in requests})
    assert report["requests"] == len(requests) and report["repeated"] == equal
    advice = {entry["action"]: entry for entry in report["advice"]}
    assert advice["response_cache"]["is_recommended"] and f"{equal} of {len(requests)}" in \
        advice["response_cache"]["evidence"]
    for entry in report["advice"]:
        assert entry["commands"] and entry["evidence"] and entry["loss"]
        for metric in entry["metrics"]:
            assert metric["low"] <= metric["expected"] <= metric["high"]
    # As many tokens as a server with a prefix cache finds in it.
    prefix = advice["prefix_cache"]
    assert prefix["change"] == {"options": {"prefix_cache": True}}
    with ServerProcess(paring.path, model, "--data-dir", tmp_path / "after", "--cache-bytes", "0") as server:
        cached = sum(send(server, request)["prompt_tokens_details"]["cached_tokens"] for request in requests)
    total = sum(len(request["prompt"]) for request in requests)
    assert f"{100 * cached / total:.1f} % of all prompt tokens" in prefix["evidence"], (cached, total)


def test_text_for_people(paring, served):
    data, _ = served
    text = advise(paring, data, "--no-measure").stdout
    assert "1. " in text and "paring serve " in text and "90 %" in text
    none = advise(paring, data, "--served-as", "other", "--no-measure", check=False)
    assert none.returncode != 0 and "'other'" in none.stderr


def test_versions_of_prompts_are_in_the_rows(paring, served, tmp_path):
    data, requests = served
    done = subprocess.run([paring.path, "traffic", "export", "--data-dir", str(data), "--out",
                           str(tmp_path / "rows.jsonl")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["prompt_version"] for row in rows] == ["v7"] * len(requests)
    assert all(row["prefill_work_seconds"] > 0 for row in rows)


def test_folders_without_traffic_are_told(paring, tmp_path):
    done = advise(paring, tmp_path / "none", check=False)
    assert done.returncode != 0 and "--data-dir" in done.stderr


def test_advice_is_tried_and_kept(paring, model, tmp_path):
    """The whole way: traffic, advice, a canary on the running server, its verdict in the ledger."""
    data = tmp_path / "data"
    requests = requests_of(2, 40)
    key = {"PARING_API_KEY": f"{ADMIN} scopes=inference,metrics,admin"}
    asks = {"authorization": f"Bearer {ADMIN}"}
    with ServerProcess(paring.path, model, "--data-dir", data, *PLAIN, env=key) as server:
        for request in requests:
            send(server, request, asks)
        server.end()
    with ServerProcess(paring.path, model, "--data-dir", data, *PLAIN, env=key) as server:
        report = json.loads(advise(paring, data, "--clients", "1", "--no-measure", "--json").stdout)
        number = next(entry["number"] for entry in report["advice"] if entry["action"] == "prefix_cache")
        trial = subprocess.Popen(
            [paring.path, "advise", "--data-dir", str(data), "--no-measure", "--clients", "1", "--apply", str(number),
             "--url", server.url, "--trial-requests", "20", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "PARING_API_KEY": ADMIN})
        draw = random.Random(3)
        while trial.poll() is None:
            send(server, {**draw.choice(requests), "user": str(draw.random())}, asks)
        out, error = trial.communicate()
        assert trial.returncode == 0, error
        canary = json.loads(out)
        assert canary["state"] == "kept", canary
        assert canary["action"] == "prefix_cache" and canary["prediction"] and canary["measured"]
        ledger = json.loads(server.get("/v1/advice/ledger"))
        assert ledger["data"][0]["id"] == canary["id"]
        assert any(entry["metric"] == "engine_seconds_per_request" for entry in ledger["residuals"])
