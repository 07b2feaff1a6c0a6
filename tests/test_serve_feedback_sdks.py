# SPDX-License-Identifier: Apache-2.0
"""Feedback as Langfuse's and Orq's own SDKs send it is kept and listed like that of /v1/feedback. They live in an
environment of their own."""
import base64
import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT
from server_process import ServerProcess
from test_serve import post

SDKS = ["langfuse==5.0.4", "orq-ai-sdk==4.17.13"]
SECRET = "a-secret-of-more-than-sixteen-letters"
TRACE = "0123456789abcdef0123456789abcdef"
MODEL = ROOT / "tests/data/encoders/bert-mean"


@pytest.fixture(scope="module")
def python():
    """The interpreter of an environment with the SDKs in it, which pip fetches once."""
    folder = ROOT / "build" / "python-clients" / "-".join(SDKS).replace("==", "-")
    stamp = folder / ".complete"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        done = subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check",
                               *SDKS], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            pytest.skip(f"pip could not fetch {SDKS}: {done.stderr[-300:]}")
        stamp.touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def server(paring, tmp_path_factory):
    with ServerProcess(paring.path, f"bert={MODEL}", "--data-dir", tmp_path_factory.mktemp("feedback"),
                       env={"PARING_API_KEY": SECRET}) as running:
        yield running


def send(server, path, body, key=SECRET):
    basic = base64.b64encode(f"public:{key}".encode()).decode()
    return post(server, path, body, {"authorization": f"Basic {basic}"})


def listed(server):
    scores = json.loads(server.get("/v1/feedback"))["data"]
    return {score["id"]: score for score in scores}


def test_their_sdks(server, python):
    variables = {"BASE_URL": server.url, "API_KEY": SECRET, "LANGFUSE_TRACING_ENABLED": "true"}
    done = subprocess.run([python, ROOT / "tests" / "clients" / "feedback_suite.py"], capture_output=True, text=True,
                          timeout=300, env=os.environ | variables)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    scores = listed(server)
    assert set(scores) == {"one", "two", "three", "four", "mine", found["rating"]["id"]}
    assert scores["one"]["value"] == 0.4 and scores["one"]["type"] == "numeric"
    assert scores["one"]["trace_id"] == TRACE and scores["one"]["source"] == "api"
    assert scores["two"]["value"] is True
    assert scores["three"]["span_id"] == "0123456789abcdef" and scores["three"]["value"] == "kind"
    assert scores["three"]["metadata"] == {"k": "v", "trace_id": TRACE}
    assert scores["four"]["session_id"] == "s1" and scores["four"]["value"] == 3
    assert scores[found["rating"]["id"]]["value"] == "good" and scores[found["rating"]["id"]]["trace_id"] == TRACE
    assert scores["mine"]["value"] == "spelling,off_topic" and found["defects"]["value"] == ["spelling", "off_topic"]


def test_older_sdks_send_events(server):
    def event(number, kind, body):
        return {"id": f"e{number}", "type": kind, "timestamp": "2026-01-01T00:00:00Z", "body": body}
    status, answer, _ = send(server, "/api/public/ingestion", {"batch": [
        event(1, "score-create", {"id": "old", "traceId": TRACE, "name": "n", "value": 2}),
        event(2, "trace-create", {"id": TRACE}),
        event(3, "score-create", {"traceId": TRACE, "name": "n", "value": "x", "dataType": "NUMERIC"}),
        event(4, "score-create", {"name": "n", "value": 1})], "metadata": {"sdk_version": "2"}})
    assert status == 207
    assert answer["successes"] == [{"id": "e1", "status": 201}]
    assert [(error["id"], error["status"]) for error in answer["errors"]] == [("e2", 400), ("e3", 400), ("e4", 400)]
    assert "trace-create" in answer["errors"][0]["message"] and "number" in answer["errors"][1]["message"]
    assert listed(server)["old"]["value"] == 2


def test_a_list_is_taken_in_parts(server):
    good = {"id": "part", "traceId": TRACE, "name": "n", "value": 1}
    assert send(server, "/api/public/scores", [good])[0] == 202
    status, answer, _ = send(server, "/api/public/scores", [good, {"name": "n", "value": 1}, 7])
    assert status == 207 and answer["accepted"] == 1 and answer["rejected"] == 2 and len(answer["errors"]) == 2
    status, answer, _ = send(server, "/api/public/scores", {**good, "id": "alone"})
    assert status == 200 and answer == {"id": "alone"}
    status, answer, _ = send(server, "/api/public/scores", {**good, "value": "x", "dataType": "BOOLEAN"})
    assert status == 400 and answer["error"]["param"] == "value"
    assert send(server, "/api/public/scores", [])[0] == 400


def test_keys_are_asked_for(server):
    body = {"traceId": TRACE, "name": "n", "value": 1}
    assert send(server, "/api/public/scores", body, key="sk-wrong-wrong-wrong")[0] == 401
    assert post(server, "/api/public/scores", body, {"authorization": "Basic !!!"})[0] == 401
    assert post(server, "/v2/feedback/remove", {"id": "none"}, {"authorization": f"Bearer {SECRET}"})[0] == 404
