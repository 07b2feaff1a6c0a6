# SPDX-License-Identifier: Apache-2.0
"""Feedback on answers: every kind of value, late and again, each tenant's apart, and what is no feedback."""
import json

import pytest

from server_process import ServerProcess
from test_access import ask, keyed

CHAT = {"messages": [{"role": "user", "content": "Say a word."}], "max_tokens": 2, "temperature": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def keys(paring, folder):
    return {name: keyed(paring, folder, "--name", name, "--tenant", name)[1] for name in ("alice", "bob")}


@pytest.fixture(scope="module")
def server(paring, model, folder, keys):
    with ServerProcess(paring.path, f"tiny={model}", "--data-dir", folder) as running:
        yield running


def give(server, headers, **body):
    status, _, text = ask(server, "POST", "/v1/feedback", body, headers)
    return status, json.loads(text)


def listed(server, headers, query=""):
    status, _, text = ask(server, "GET", "/v1/feedback" + query, headers=headers)
    assert status == 200, text
    return json.loads(text)


def test_an_answer_is_judged_by_its_id(server, keys):
    _, headers, text = ask(server, "POST", "/v1/chat/completions", CHAT, keys["alice"])
    answer = json.loads(text)["id"]
    status, kept = give(server, keys["alice"], response_id=answer, value=True, author="u1", comment="good",
                        metadata={"page": "chat"})
    assert status == 200 and kept["type"] == "boolean" and kept["value"] is True
    # The id of the answer and that of its request are one subject.
    assert kept["response_id"] == headers["x-request-id"] and kept["metadata"] == {"page": "chat"}
    for subject in (answer, headers["x-request-id"]):
        found, = listed(server, keys["alice"], f"?response_id={subject}")["data"]
        assert found == kept


@pytest.mark.parametrize("value, told, type", [
    (0.25, None, "numeric"), (-3, None, "numeric"), (False, None, "boolean"), (1, "boolean", "boolean"),
    ("off_topic", None, "categorical"), ("x" * 200, None, "text"), ("short", "text", "text"),
    ("The right answer.", "correction", "correction"), ("chatcmpl-worse", "preference", "preference")])
def test_every_kind_of_value(server, keys, value, told, type):
    status, kept = give(server, keys["alice"], trace_id=f"trace-{type}-{value!s:.20}", value=value,
                        **({"type": told} if told else {}))
    wanted = {"chatcmpl-worse": "worse", 1: True if told else 1}.get(value, value)
    assert status == 200 and kept["type"] == type and kept["value"] == wanted, kept


def test_a_second_opinion_takes_the_place_of_the_first(server, keys):
    first = give(server, keys["alice"], session_id="s-again", value=1, author="u1")[1]
    again = give(server, keys["alice"], session_id="s-again", value=5, author="u1", comment="better")[1]
    other = give(server, keys["alice"], session_id="s-again", value=2, author="u2")[1]
    assert first["id"] == again["id"] != other["id"] and again["created_at"] == first["created_at"]
    rows = listed(server, keys["alice"], "?session_id=s-again&order=asc")["data"]
    assert [row["value"] for row in rows] == [5, 2] and rows[0]["comment"] == "better"
    named = give(server, keys["alice"], session_id="s-again", value="x", id="mine", name="defect")[1]
    assert named["id"] == "mine" and give(server, keys["alice"], span_id="elsewhere", value="y", id="mine")[0] == 200
    assert [row["id"] for row in listed(server, keys["alice"], "?span_id=elsewhere")["data"]] == ["mine"]
    status, _, text = ask(server, "DELETE", "/v1/feedback/mine", headers=keys["alice"])
    assert status == 200 and json.loads(text)["deleted"] is True
    assert ask(server, "DELETE", "/v1/feedback/mine", headers=keys["alice"])[0] == 404


def test_tenants_do_not_see_each_other(server, keys):
    kept = give(server, keys["alice"], trace_id="t-shared", value=1)[1]
    assert listed(server, keys["bob"], "?trace_id=t-shared")["data"] == []
    assert ask(server, "DELETE", f"/v1/feedback/{kept['id']}", headers=keys["bob"])[0] == 404
    assert give(server, keys["bob"], trace_id="t-shared", value=9)[1]["id"] == kept["id"]  # its own, all the same
    assert listed(server, keys["alice"], "?trace_id=t-shared")["data"][0]["value"] == 1
    assert ask(server, "POST", "/v1/feedback", {"trace_id": "t", "value": 1})[0] == 401


def test_pages_of_a_list(server, keys):
    for i in range(7):
        give(server, keys["alice"], session_id="s-pages", value=i, name=f"n{i}")
    seen, after = [], ""
    while True:
        page = listed(server, keys["alice"], f"?session_id=s-pages&limit=3{after}")
        seen += [row["value"] for row in page["data"]]
        if not page["has_more"]:
            break
        after = "&after=" + page["data"][-1]["id"]
    assert seen == [6, 5, 4, 3, 2, 1, 0]
    assert ask(server, "GET", "/v1/feedback?after=nobody", headers=keys["alice"])[0] == 404


@pytest.mark.parametrize("body, param", [
    ({"value": 1}, "response_id"), ({"trace_id": "a", "session_id": "b", "value": 1}, "session_id"),
    ({"trace_id": "a"}, "value"), ({"trace_id": "a", "value": [1]}, "value"),
    ({"trace_id": "a", "value": 1e300}, "value"), ({"trace_id": "a", "value": "x", "type": "numeric"}, "value"),
    ({"trace_id": "a", "value": 2, "type": "boolean"}, "value"),
    ({"trace_id": "a", "value": 1, "type": "correction"}, "value"),
    ({"trace_id": "a", "value": 1, "type": "stars"}, "type"),
    ({"trace_id": "a", "value": 1, "source": "me"}, "source"), ({"trace_id": "a", "value": 1, "stars": 3}, "stars"),
    ({"trace_id": "x" * 300, "value": 1}, "trace_id"), ({"trace_id": "a", "value": ""}, "value")])
def test_what_is_no_feedback_is_named(server, keys, body, param):
    status, answer = give(server, keys["alice"], **body)
    assert status == 400 and answer["error"]["param"] == param, answer


def test_feedback_outlives_the_server(paring, model, tmp_path):
    for rounds in range(2):
        with ServerProcess(paring.path, f"tiny={model}", "--data-dir", tmp_path) as server:
            if rounds == 0:
                give(server, {}, trace_id="kept", value=3)
            assert [row["value"] for row in listed(server, {})["data"]] == [3]
