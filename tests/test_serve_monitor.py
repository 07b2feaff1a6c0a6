# SPDX-License-Identifier: Apache-2.0
"""GET /v1/traffic: what a server tells of the requests that it served, to whom, and what it refuses."""
import json
import urllib.parse

import pytest

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_access import ask, keyed

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 12, "temperature": 0}
SUMS = ["requests", "errors", "cancelled", "cached", "prompt_fresh", "answer_visible", "joules_measured",
        "joules_estimated", "operations", "money", "first_token", "total", "gap"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("monitor")


@pytest.fixture(scope="module")
def keys(paring, folder):
    scopes = {"alice": "inference,metrics", "bob": "inference,metrics", "root": "admin,metrics",
              "plain": "inference"}
    return {name: keyed(paring, folder, "--name", name, "--tenant", name, "--scopes", scope)
            for name, scope in scopes.items()}


@pytest.fixture(scope="module")
def server(paring, folder, keys, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    with ServerProcess(paring.path, f"small={path}", "--data-dir", folder, "--traffic", "sync") as running:
        for name, count in {"alice": 3, "bob": 2}.items():
            for seed in range(count):
                assert ask(running, "POST", "/v1/chat/completions", {**CHAT, "seed": seed}, keys[name][1])[0] == 200
        assert ask(running, "POST", "/v1/chat/completions", {**CHAT, "model": "none"}, keys["alice"][1])[0] == 404
        yield running


def read(server, keys, name, path="", expect=200, **query):
    names = {key.rstrip("_"): value for key, value in query.items()}  # `from` is a word of Python
    words = "?" + urllib.parse.urlencode(names) if names else ""
    status, _, text = ask(server, "GET", "/v1/traffic" + path + words, headers=keys[name][1])
    assert status == expect, text
    return json.loads(text)


@pytest.mark.parametrize("query, count", [
    ({"status_class": 4}, 1), ({"status_class": 2}, 5), ({"model": "small"}, 5), ({"tenant": "bob"}, 2),
    ({"route": "/v1/messages"}, 0), ({"cache": "none", "status_class": 2}, 2), ({"min_milliseconds": 1000000}, 0),
    ({"to": 2}, 0), ({"from_": 2}, 6)])
def test_filters(server, keys, query, count):
    assert len(read(server, keys, "root", **query)["data"]) == count
    assert read(server, keys, "root", "/summary", **query)["requests"] == count
    assert sum(b["requests"] for b in read(server, keys, "root", "/series", **query)["data"]) == count


def test_filters_by_key_and_variant(server, keys):
    mine = read(server, keys, "root", key_id=keys["alice"][0])["data"]
    assert len(mine) == 4
    variants = {row["variant"] for row in mine if row["status"] == 200}
    assert len(variants) == 1
    assert len(read(server, keys, "root", variant=variants.pop())["data"]) == 5


def test_sums_are_those_of_the_rows(server, keys):
    rows = read(server, keys, "root")["data"]
    sums = read(server, keys, "root", "/summary", first_token_within_microseconds=10**10, total_within_microseconds=0)
    assert all(name in sums for name in SUMS)
    assert sums["requests"] == len(rows) and sums["errors"] == 1
    assert sums["cached"] == sum(row["cache"] != "none" for row in rows)
    for token in ("prompt_fresh", "prompt_cached", "answer_visible"):
        assert sums[token] == sum(row["tokens"][token] for row in rows)
    totals = sorted(row["total_seconds"] for row in rows if row["total_seconds"] is not None)
    assert sums["total"]["count"] == len(totals)
    assert sums["total"]["p99"] == pytest.approx(totals[int(0.99 * (len(totals) - 1))], rel=0.02)
    assert sums["first_token"]["within"] == sums["first_token"]["count"] and sums["total"]["within"] == 0
    assert "within" not in sums["gap"]
    for name in ("first_token", "total", "gap"):
        assert sum(sums[name]["histogram"]) == sums[name]["count"] and sums[name]["p50"] <= sums[name]["p99"]
        assert len(sums[name]["histogram"]) == len(sums["histogram_seconds"]) + 1
    nothing = read(server, keys, "root", "/summary", to=1)
    assert nothing["requests"] == 0 and nothing["total"]["p50"] is None and nothing["money"] == []


@pytest.mark.parametrize("by", ["tenant", "model", "variant", "key_id", "route", "cache"])
def test_sums_apart(server, keys, by):
    apart = read(server, keys, "root", "/summary", by=by)
    assert sum(group["requests"] for group in apart["groups"]) == apart["requests"] == 6
    for group in apart["groups"]:
        alone = read(server, keys, "root", "/summary", **{by: group["name"]})
        assert (alone["requests"], alone["prompt_fresh"]) == (group["requests"], group["prompt_fresh"])


def test_a_key_sees_its_own_tenant(server, keys):
    assert {row["tenant"] for row in read(server, keys, "alice")["data"]} == {"alice"}
    assert read(server, keys, "bob", "/summary")["requests"] == 2
    assert [g["name"] for g in read(server, keys, "bob", "/summary", by="tenant")["groups"]] == ["bob"]
    assert sum(b["requests"] for b in read(server, keys, "bob", "/series")["data"]) == 2
    theirs = read(server, keys, "alice")["data"][0]["id"]
    for path in ("", "/summary", "/series", f"/requests/{theirs}"):
        read(server, keys, "plain", path, expect=403)
        assert ask(server, "GET", "/v1/traffic" + path)[0] == 401


@pytest.mark.parametrize("path, query, param", [
    ("/summary", {"limit": 5}, "limit"), ("/series", {"by": "key_id"}, "by"), ("/summary", {"by": "user"}, "by"),
    ("", {"from_": "yesterday"}, "from"), ("", {"from_": "nan"}, "from"),
    ("/series", {"bucket_seconds": 0}, "bucket_seconds"),
    ("", {"total_within_microseconds": 1}, "total_within_microseconds"),
    ("/summary", {"gap_within_microseconds": -1}, "gap_within_microseconds")])
def test_what_is_no_question_is_refused_with_its_name(server, keys, path, query, param):
    assert read(server, keys, "root", path, expect=400, **query)["error"]["param"] == param


def test_without_a_store_it_says_so(paring, tmp_path):
    path = tmp_path / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    with ServerProcess(paring.path, f"small={path}", "--traffic", "off") as off:
        for below in ("", "/summary", "/series", "/requests/x"):
            status, _, text = ask(off, "GET", "/v1/traffic" + below)
            assert status == 501 and json.loads(text)["error"]["code"] == "not_supported"
