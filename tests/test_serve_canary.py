# SPDX-License-Identifier: Apache-2.0
"""Changes that are tried on a share of the requests: what helps is kept, what harms is taken back, nobody's request
fails for it, and the ledger says what was predicted and what came of it."""
import concurrent.futures
import json
import signal
import sqlite3
import threading
import time

import pytest

import tiny_model
from raw_client import CHATML
from server_process import ServerProcess
from test_serve import post as post_to

ADMIN = "an-operators-key-of-a-test"
ENV = {"PARING_API_KEY": f"{ADMIN} scopes=inference,metrics,admin"}
RULES = {"requests_min": 20, "seconds_min": 0, "seconds_max": 120}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("canary")
    for name, seed in (("first", 7), ("second", 8)):
        tiny_model.write(folder / f"{name}.gguf", seed=seed, chat_template=CHATML)
    (folder / "broken.gguf").write_bytes((folder / "first.gguf").read_bytes()[:5000])
    return folder


def serving(paring, *words):
    return ServerProcess(paring.path, *words, env=ENV)


def post(server, path, body):
    return post_to(server, path, body, {"authorization": f"Bearer {ADMIN}"})


@pytest.fixture
def served(paring, files):
    with serving(paring, f"m={files / 'first.gguf'}", "--cache-bytes", 0) as running:
        yield running


def ask(server, number, tokens=16, **more):
    """Status, and what computed the answer."""
    status, answer, headers = post(server, "/v1/completions", {"model": "m", "prompt": f"Question {number} of many",
                                                                "temperature": 0, "max_tokens": tokens, **more})
    return status, headers.get("x-paring-variant"), answer


class Clients:
    """Ask one question after the other until they are told to stop."""

    def __init__(self, server, count, **more):
        self.server, self.count, self.more, self.statuses, self.is_over = server, count, more, [], threading.Event()

    def run(self, client):
        turn = 0
        while not self.is_over.is_set():
            self.statuses.append(ask(self.server, client * 100000 + turn, **self.more)[0])
            turn += 1

    def __enter__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(self.count)
        self.runs = [self.pool.submit(self.run, client) for client in range(self.count)]
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for run in self.runs:
            run.result(60)
        self.pool.shutdown()


def start(server, change, code=200, **more):
    status, canary, _ = post(server, "/v1/canaries", {"model": "m", "change": change, **RULES, **more})
    assert status == code, canary
    return canary


def canary_of(server, identifier):
    return json.loads(server.get(f"/v1/canaries/{identifier}"))


def ended(server, identifier, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        canary = canary_of(server, identifier)
        if canary["state"] not in ("loading", "running", "ending"):
            return canary
        time.sleep(0.05)
    raise AssertionError(f"it has not ended: {canary}")


def variant_of(server):
    model, = json.loads(server.get("/v1/models"))["data"]
    return model["variant"]


def test_a_gain_is_kept_and_no_request_fails_for_it(paring, files):
    prediction = [{"metric": "first_token_seconds", "now": 1, "expected": 0.5, "low": 0.4, "high": 0.6}]
    with serving(paring, f"m={files / 'first.gguf'}", "--cache-bytes", 0, "--sequences-max", 1) as server:
        with Clients(server, 8, tokens=48) as clients:
            canary = start(server, {"options": {"sequences_max": 16}}, goal="first_token_seconds",
                           slowdown_max=100,  # several at a time: each token takes longer, and that is meant
                           prediction=prediction, predicted_loss="none")
            assert canary["state"] == "running" and canary["action"] == "sequences_max"
            assert server.metric("paring:canary_active") == 1
            done = ended(server, canary["id"])
            assert done["state"] == "kept", done["events"]
            so_far = len(clients.statuses)
            while len(clients.statuses) < so_far + 40:  # after the switch, too
                time.sleep(0.01)
        assert set(clients.statuses) == {200}
        assert server.metric("paring:canary_active") == 0
        assert server.metric("paring:canary_verdicts_total") == 1
        assert done["prediction"] == prediction and done["predicted_loss"] == "none"
        assert done["parameters"]["permanent"] == ["--sequences-max 16"]
        measured = {each["metric"]: each for each in done["measured"]}
        first = measured["first_token_seconds"]
        assert first["low"] <= first["after"] <= first["high"] < first["before"] and first["n"] >= 20
        ledger = json.loads(server.get("/v1/advice/ledger"))
        assert [row["id"] for row in ledger["data"]] == [canary["id"]]
        residual, = ledger["residuals"]
        assert residual["action"] == "sequences_max"
        assert residual["value"] == pytest.approx(first["after"] / first["before"] / 0.5 - 1)
        # What was is gone from memory, and what is now can be changed again.
        again = start(server, {"options": {"sequences_max": 16}}, code=400)
        assert "nothing would change" in again["error"]["message"]


def test_a_harm_is_taken_back_before_its_time(served):
    with Clients(served, 8, tokens=48) as clients:
        canary = start(served, {"options": {"sequences_max": 1}}, goal="total_seconds", requests_min=100000)
        done = ended(served, canary["id"])
    assert done["state"] == "rolled_back", done["events"]
    assert "_seconds is" in done["events"][-1]["detail"], done["events"]
    assert [event["kind"] for event in done["events"]] == ["applied", "measured", "rolled_back"]
    assert set(clients.statuses) == {200}
    assert ask(served, 1)[0] == 200


def test_failures_take_it_back_at_once(served):
    """A context that is too short for what is asked fails those who get it."""
    with Clients(served, 4, tokens=48) as clients:
        canary = start(served, {"options": {"context_tokens": 32}}, requests_min=100000)
        done = ended(served, canary["id"])
    assert done["state"] == "rolled_back" and "requests failed, 0 of" in done["events"][-1]["detail"], done
    assert set(clients.statuses) == {200, 400}
    assert ask(served, 1, tokens=48)[0] == 200


def test_a_file_that_cannot_be_loaded_changes_nothing(served, files):
    before = variant_of(served)
    for path in ("broken.gguf", "absent.gguf"):
        error = start(served, {"path": str(files / path)}, code=400)["error"]
        assert path in error["message"], error
    assert variant_of(served) == before and ask(served, 1)[0] == 200
    row, = json.loads(served.get("/v1/canaries"))["data"]
    assert row["state"] == "failed" and "broken.gguf" in row["events"][-1]["detail"]
    # It is not in the way of another.
    canary = start(served, {"path": str(files / "second.gguf")})
    assert canary["state"] == "running"


def test_a_user_stays_on_one_side_and_the_share_is_kept(served, files):
    old = variant_of(served)
    canary = start(served, {"path": str(files / "second.gguf")}, share=0.3, requests_min=100000)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda user: ask(served, user, tokens=1, user=f"user {user}")[1], range(300)))
        again = list(pool.map(lambda user: ask(served, user + 1000, tokens=1, user=f"user {user}")[1], range(60)))
    assert again == first[:60]
    changed = sum(variant != old for variant in first)
    assert 60 <= changed <= 120, "90 of 300 are meant; so far off only by one chance in a thousand"
    requests = canary_of(served, canary["id"])["requests"]
    assert requests["before"]["count"] + requests["changed"]["count"] == 360
    assert variant_of(served) == old, "lists tell of the model as it is"
    status, stopped, _ = post(served, f"/v1/canaries/{canary['id']}/stop", b"")
    assert status == 200 and stopped["state"] == "rolled_back", stopped
    assert {ask(served, n, tokens=1)[1] for n in range(30)} == {old}
    status, error, _ = post(served, f"/v1/canaries/{canary['id']}/stop", b"")
    assert status == 404, error


def test_another_file_is_kept_while_requests_run(served, files):
    old = variant_of(served)
    with Clients(served, 4, tokens=64) as clients:
        canary = start(served, {"path": str(files / "second.gguf"), "options": {"cache_tokens": 1024}},
                       goal="memory_bytes")
        done = ended(served, canary["id"])
        assert done["state"] == "kept", done["events"]
        new = variant_of(served)
        assert new != old
        so_far = len(clients.statuses)
        while len(clients.statuses) < so_far + 20:
            time.sleep(0.01)
    assert set(clients.statuses) == {200}
    assert {ask(served, n, tokens=1)[1] for n in range(20)} == {new}
    assert done["parameters"]["permanent"] == [f"m={files / 'second.gguf'}", "--cache-tokens 1024"]


def test_the_cache_of_answers_is_tried_without_two_of_it(paring, files):
    """Whoever is not on its side gets no answer of it, and those that are get what they would if all were."""
    with serving(paring, f"m={files / 'first.gguf'}", "--cache-bytes", 0) as server:
        def given(number, user):
            status, _, headers = post_to(server, "/v1/completions",
                                         {"model": "m", "prompt": f"Question {number}", "temperature": 0,
                                          "max_tokens": 8, "user": user}, {"authorization": f"Bearer {ADMIN}"})
            assert status == 200
            return (headers["x-paring-cache"] or "").startswith("exact")
        canary = start(server, {"settings": {"cache_bytes": 1 << 20}}, requests_min=40)
        assert canary["action"] == "response_cache"
        again = start(server, {"settings": {"cache_bytes": 1 << 21}}, code=409)
        assert again["error"]["code"] == "canary_exists"
        hits = {}
        for turn in range(100):
            for user in range(4):
                if canary_of(server, canary["id"])["state"] == "running":
                    hits.setdefault(user, []).append(given(turn // 4, f"user {user}"))
        # Four users ask the same: all but the first are given it, if they are on that side.
        assert {sum(each) > 0 for each in hits.values()} == {True, False}, hits
        done = ended(server, canary["id"])
        assert done["state"] == "kept", done["events"]
        given(1000, "anybody")
        assert all(given(1000, f"user {user}") for user in range(4))
        assert done["parameters"]["permanent"] == ["--cache-bytes 1048576"]
        refused = start(server, {"settings": {"cache_bytes": 1 << 22}}, code=400)
        assert "on and off" in refused["error"]["message"]
        # And back: to be without it is no gain, and it stays.
        off = start(server, {"settings": {"cache_bytes": 0}}, requests_min=40)
        for turn in range(100):
            for user in range(4):
                if canary_of(server, off["id"])["state"] == "running":
                    given(5000 + turn // 4, f"user {user}")
        assert ended(server, off["id"])["state"] in ("rolled_back", "inconclusive"), "no gain, or none that is sure"
        assert given(5000, "anybody")


def test_worse_ratings_take_it_back(served, files):
    old = variant_of(served)
    canary = start(served, {"path": str(files / "second.gguf")}, requests_min=100000)
    for number in range(60):
        status, variant, answer = ask(served, number, tokens=1)
        assert status == 200
        body = {"response_id": answer["id"], "name": "rating", "value": 4 if variant == old else 2 + number % 2}
        assert post(served, "/v1/feedback", body)[0] == 200
    done = ended(served, canary["id"])
    assert done["state"] == "rolled_back" and "the score rating is" in done["events"][-1]["detail"], done["events"]
    measured = {each["metric"]: each for each in done["measured"]}
    assert measured["score:rating"]["before"] == 4 and 2 <= measured["score:rating"]["after"] <= 3


def test_one_that_a_killed_process_tried_has_failed(paring, files, tmp_path):
    words = (f"m={files / 'first.gguf'}", "--data-dir", tmp_path)
    with serving(paring, *words) as server:
        old = variant_of(server)
        canary = start(server, {"path": str(files / "second.gguf")})
        assert {ask(server, n, tokens=1)[1] for n in range(40)} != {old}
        server.end(signal.SIGKILL)
    with serving(paring, *words) as server:
        after = canary_of(server, canary["id"])
        assert after["state"] == "failed" and "process ended" in after["events"][-1]["detail"], after
        assert {ask(server, n, tokens=1)[1] for n in range(40)} == {old}
        assert server.metric("paring:canary_active") == 0
        assert server.metric("paring:canary_verdicts_total") == 1


def test_one_that_runs_when_the_server_is_stopped_is_taken_back(paring, files, tmp_path):
    words = (f"m={files / 'first.gguf'}", "--data-dir", tmp_path)
    with serving(paring, *words) as server:
        canary = start(server, {"path": str(files / "second.gguf")})
        assert server.end() == 0
    with serving(paring, *words) as server:
        after = canary_of(server, canary["id"])
        assert after["state"] == "inconclusive" and "stopped" in after["events"][-1]["detail"], after
        actions = [row[0] for row in sqlite3.connect(tmp_path / "control.db").execute("SELECT action FROM audit")]
        assert actions == ["canary.start", "canary.inconclusive"]


def test_what_makes_no_sense_is_told(served, files):
    for more, field in (({"change": {}}, "change"), ({"share": 1}, "share"), ({"goal": "speed"}, "goal"),
                        ({"change": {"options": {"kv_type": "q3"}}}, "change.options.kv_type"),
                        ({"seconds_min": 50, "seconds_max": 40}, "seconds_min"),
                        ({"prediction": [{"metric": "x"}]}, "prediction[0].now")):
        body = {"model": "m", "change": {"path": str(files / "second.gguf")}, **more}
        status, answer, _ = post(served, "/v1/canaries", body)
        assert status == 400 and answer["error"]["param"] == field, answer
    status, answer, _ = post(served, "/v1/canaries", {"model": "x", "change": {"options": {"sequences_max": 2}}})
    assert status == 404 and answer["error"]["code"] == "model_not_found"
    first = start(served, {"options": {"sequences_max": 2}})
    second = start(served, {"options": {"sequences_max": 3}}, code=409)
    assert second["error"]["code"] == "canary_exists"
    post(served, f"/v1/canaries/{first['id']}/stop", b"")
    post(served, "/v1/models/unload", {"model": "m"})
    assert start(served, {"options": {"sequences_max": 2}}, code=409)["error"]["code"] == "model_not_loaded"
    for path in ("/v1/canaries/canary_999", "/v1/canaries/x"):
        with pytest.raises(Exception, match="404"):
            served.get(path)


def test_keeping_prefixes_of_shared_prompts_is_kept_and_giving_it_up_is_not(paring, model):
    """With a real model, where what is computed of a prompt is most of the work."""
    shared = "You are a careful assistant of a library. " * 20

    def asking(server, seen):
        def one(number):
            status, answer, _ = post(server, "/v1/completions", {"model": "m", "prompt": f"{shared}Question {number}:",
                                                                 "temperature": 0, "max_tokens": 2})
            seen.append((status, answer["usage"]["prompt_tokens_details"]["cached_tokens"]))
        return one

    with serving(paring, f"m={model}", "--no-prefix-cache", "--cache-bytes", 0) as server:
        for wanted, verdict in ((True, "kept"), (False, "rolled_back")):
            canary = start(server, {"options": {"prefix_cache": wanted}}, requests_min=12, split="windows",
                           window_seconds=0.5)
            seen = []
            one = asking(server, seen)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                while canary_of(server, canary["id"])["state"] == "running":
                    list(pool.map(one, range(len(seen), len(seen) + 4)))
            done = ended(server, canary["id"])
            assert done["state"] == verdict, done["events"]
            assert {status for status, _ in seen} == {200}
            assert 0 < sum(cached > 100 for _, cached in seen) < len(seen), "one side has it, the other has not"
            work = {each["metric"]: each for each in done["measured"]}["engine_seconds_per_request"]
            assert (work["after"] < 0.7 * work["before"]) == wanted, work
        # What was kept is in force: the second change was taken back.
        seen = []
        list(map(asking(server, seen), range(3000, 3003)))
        assert all(cached > 100 for _, cached in seen[1:]), seen
