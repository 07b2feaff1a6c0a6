# SPDX-License-Identifier: Apache-2.0
"""Objectives and alerts of `paring serve --slo`: a real receiver of webhooks, what it is told, what a restart keeps."""
import hashlib
import hmac
import http.server
import json
import re
import signal
import threading
import time
import urllib.error

import pytest

import tiny_model
from fake_upstream import FakeUpstream
from raw_client import CHATML
from server_process import ServerProcess
from test_access import ask, keyed
from test_serve import post

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, "temperature": 0}
# Half of the requests may fail, so that a few of either kind change the state at once.
ERRORS = """
  errors:
    kind: error_rate
    failures: all
    target: 50%
    window: 1h
    burn_rates: 1 1h 5m
    min_requests: 3
    resolve_after: 0s
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("alerts") / "small.gguf"
    tiny_model.write(path, chat_template=CHATML)
    return path


def until(condition, seconds=30):
    """Its value, as soon as there is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


class Receiver:
    """Takes notices; `answers` are the statuses of the next posts, then 200."""

    def __init__(self, answers=(), port=0):
        self.answers, self.posts, self.notices = list(answers), [], []
        self.hold = threading.Event()
        self.hold.set()
        self.changed = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.hold.wait(30)
                with receiver.changed:
                    status = receiver.answers.pop(0) if receiver.answers else 200
                    receiver.posts.append((status, self.path, dict(self.headers), body))
                    if status == 200:
                        receiver.notices.append(json.loads(body))
                    receiver.changed.notify_all()
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()

    def wait(self, condition, seconds=30):
        with self.changed:
            assert self.changed.wait_for(condition, seconds), (self.posts, self.notices)


def slo_file(folder, objectives, webhooks="", more=""):
    path = folder / "slo.yaml"
    path.write_text(f"evaluate_every: 100ms\n{more}\nobjectives:{objectives}\n"
                    + (f"webhooks:\n{webhooks}" if webhooks else ""))
    return path


def fail(server, count):
    for number in range(count):
        assert post(server, "/v1/chat/completions", {**CHAT, "model": f"none{number}"})[0] == 404


def succeed(server, count):
    for number in range(count):
        assert post(server, "/v1/chat/completions", {**CHAT, "seed": number})[0] == 200


def standing(server, name="errors"):
    told = json.loads(server.get("/v1/alerts"))
    return next(each for each in told["objectives"] if each["name"] == name)


def sink(server, name="pager"):
    return next(each for each in json.loads(server.get("/v1/alerts"))["sinks"] if each["name"] == name)


def fingerprint(labels):
    """Prometheus' model.LabelSet.Fingerprint()."""
    value = 14695981039346656037
    for name in sorted(labels):
        for text in (name, labels[name]):
            for byte in text.encode() + b"\xff":
                value = (value ^ byte) * 1099511628211 % 2**64
    return f"{value:016x}"


def test_an_alert_fires_is_told_and_is_resolved(paring, small, tmp_path):
    (tmp_path / "token").write_text("t0ken-for-the-pager\n")
    with Receiver() as receiver:
        webhooks = (f"  pager:\n    url: {receiver.url}\n    bearer_file: {tmp_path}/token\n    hmac_env: SIGNING\n")
        path = slo_file(tmp_path, ERRORS, webhooks, "external_url: https://llm.example.com/")
        with ServerProcess(paring.path, f"small={small}", "--slo", path, env={"SIGNING": "s1gning-key"}) as server:
            succeed(server, 2)
            assert standing(server)["alerts"][0]["state"] == "inactive"
            fail(server, 5)
            receiver.wait(lambda: receiver.notices)
            _, where, headers, body = receiver.posts[0]
            assert where == "/hook" and headers["Authorization"] == "Bearer t0ken-for-the-pager"
            signed = hmac.new(b"s1gning-key", body, hashlib.sha256).hexdigest()
            assert headers["X-Paring-Signature"] == "sha256=" + signed
            notice = receiver.notices[0]
            assert notice["version"] == "4" and notice["status"] == "firing" and notice["receiver"] == "pager"
            assert notice["groupLabels"] == {"objective": "errors"} and notice["groupKey"]
            assert notice["externalURL"] == "https://llm.example.com" and notice["truncatedAlerts"] == 0
            (alert,) = notice["alerts"]
            assert alert["labels"] == {"alertname": "ParingSloBurnRate", "objective": "errors", "kind": "error_rate",
                                       "severity": "page", "window": "1h"} == notice["commonLabels"]
            assert alert["fingerprint"] == fingerprint(alert["labels"])
            assert alert["endsAt"] == "0001-01-01T00:00:00Z" and re.fullmatch(r"20\S+T\S+\.\d{3}Z", alert["startsAt"])
            now = standing(server)
            assert now["alerts"][0]["state"] == "firing" and now["alerts"][0]["fingerprint"] == alert["fingerprint"]
            assert (now["requests"], now["good"], now["ratio"]) == (7, 2, pytest.approx(2 / 7))
            # 5 of 7 are bad where half may be.
            assert now["burn_rates"][0]["long"] == pytest.approx(10 / 7)
            assert now["error_budget_remaining"] == pytest.approx(1 - 10 / 7)
            assert server.metric("paring:alerts_firing") == 1
            assert server.metric("paring:slo_requests_total") == 7 and server.metric("paring:slo_good_total") == 2
            assert server.metric("paring:slo_objective_ratio") == 0.5
            assert server.metric("paring:slo_error_budget_remaining_ratio") == pytest.approx(1 - 10 / 7)
            text = server.get("/metrics")
            assert 'paring:slo_burn_rate{objective="errors",window="1h"} 1.42' in text
            assert 'paring:alert_notifications_total{sink="pager",result="sent"} 1' in text
            assert 'paring:alert_notifications_total{sink="log",result="sent"} 1' in text
            succeed(server, 20)
            receiver.wait(lambda: len(receiver.notices) == 2)
            notice = receiver.notices[1]
            assert notice["status"] == "resolved" and notice["alerts"][0]["fingerprint"] == alert["fingerprint"]
            assert notice["alerts"][0]["startsAt"] == alert["startsAt"] < notice["alerts"][0]["endsAt"]
            history = json.loads(server.get("/v1/alerts"))["history"]
            assert [(each["from"], each["to"]) for each in history] == [("firing", "resolved"), ("inactive", "firing")]
            assert server.end() == 0
            log = "".join(server.log)
            assert log.count(" alert {") == 2, log
            assert "t0ken" not in log and "s1gning" not in log


def test_a_receiver_that_is_down_slow_and_wrong_is_told_in_the_end(paring, small, tmp_path):
    with Receiver() as gone:
        port = gone.port
    path = slo_file(tmp_path, ERRORS, f"  pager:\n    url: http://127.0.0.1:{port}/hook\n    timeout: 500ms\n")
    with ServerProcess(paring.path, f"small={small}", "--slo", path) as server:
        fail(server, 3)
        until(lambda: sink(server)["failed"])
        assert standing(server)["alerts"][0]["state"] == "firing", "who is told has nothing to do with what is"
        with Receiver(answers=[500, 503, 429], port=port) as receiver:
            receiver.hold.clear()  # slow: longer than the time it is given
            started = time.monotonic()
            succeed(server, 1)
            assert time.monotonic() - started < 5, "nobody waits for a receiver"
            receiver.hold.set()
            receiver.wait(lambda: receiver.notices, 60)
            assert [status for status, *_ in receiver.posts][:4] == [500, 503, 429, 200]
            assert receiver.notices[0]["status"] == "firing"
            until(lambda: sink(server)["sent"])
            told = sink(server)
            assert told["failed"] >= 4 and told["is_well"] and told["waiting"] == 0
            assert told["queue_full"] == told["refused"] == told["unreachable"] == 0


def test_a_restart_loses_nothing(paring, small, tmp_path):
    with Receiver(answers=[503] * 1000) as receiver:
        path = slo_file(tmp_path, ERRORS, f"  pager:\n    url: {receiver.url}\n")
        words = (f"small={small}", "--slo", path, "--data-dir", tmp_path / "data")
        with ServerProcess(paring.path, *words) as server:
            fail(server, 4)
            until(lambda: standing(server)["alerts"][0]["state"] == "firing")
            before = standing(server)
            receiver.wait(lambda: receiver.posts)
            assert server.end() == 0
        receiver.answers.clear()
        with ServerProcess(paring.path, *words) as server:
            # Who could not be told before is told now, of the same alert.
            receiver.wait(lambda: receiver.notices)
            after = standing(server)
            assert after["requests"] == 4 and after["alerts"][0]["state"] == "firing"
            assert after["alerts"][0]["fired"] == before["alerts"][0]["fired"]
            assert receiver.notices[0]["alerts"][0]["fingerprint"] == before["alerts"][0]["fingerprint"]
            assert len(json.loads(server.get("/v1/alerts"))["history"]) == 1
            succeed(server, 3)
            until(lambda: '"is_told":true' in (tmp_path / "data/alerts.json").read_text())
            until(lambda: standing(server)["requests"] == 7)
            until(lambda: json.loads(server.get("/v1/traffic/summary"))["requests"] == 7)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(30)
        with ServerProcess(paring.path, *words) as server:
            # Rows that were written after the state was count again.
            assert standing(server)["requests"] == 7 and standing(server)["good"] == 3
            assert len(receiver.notices) == 1, "who was told is not told again"


def test_silences_and_who_may_ask(paring, small, tmp_path):
    data = tmp_path / "data"
    admin = keyed(paring, data, "--name", "root", "--scopes", "admin,metrics,inference")[1]
    reader = keyed(paring, data, "--name", "reader", "--tenant", "red", "--scopes", "metrics,inference")[1]
    blue = ERRORS.replace("errors:", "blue-errors:") + "    tenant: blue\n"
    with Receiver() as receiver:
        path = slo_file(tmp_path, ERRORS + blue, f"  pager:\n    url: {receiver.url}\n")
        with ServerProcess(paring.path, f"small={small}", "--slo", path, "--data-dir", data) as server:
            def alerts(key):
                status, _, text = ask(server, "GET", "/v1/alerts", headers=key)
                assert status == 200
                return {each["name"]: each for each in json.loads(text)["objectives"]}

            def silence(body, key, name="errors"):
                status, _, text = ask(server, "POST", f"/v1/alerts/{name}/silence", body, key)
                return status, json.loads(text)

            assert set(alerts(admin)) == {"errors", "blue-errors"}
            assert set(alerts(reader)) == {"errors"}, "other tenants' objectives are not theirs to see"
            assert silence({"seconds": 60}, reader)[0] == 403
            assert silence({"seconds": 60}, admin, "other")[0] == 404
            assert silence({"seconds": -1}, admin)[0] == 400 and silence({"seconds": 1e9}, admin)[0] == 400
            status, answer = silence({"seconds": 3600, "comment": "a drill"}, admin)
            assert status == 200 and answer["silenced_until"] > time.time() + 3500
            for number in range(4):
                assert ask(server, "POST", "/v1/chat/completions", {**CHAT, "model": f"x{number}"}, admin)[0] == 404
            until(lambda: alerts(admin)["errors"]["alerts"][0]["state"] == "firing")
            assert alerts(admin)["errors"]["silence_comment"] == "a drill"
            assert not receiver.posts
            # The end of a silence tells what fires.
            assert silence({"seconds": 0}, admin)[0] == 200
            receiver.wait(lambda: receiver.notices)
            assert "silenced_until" not in alerts(admin)["errors"]
    log = paring("keys", "audit", "--data-dir", data).out
    assert "alert.silence" in log


def test_latency_goodput_and_budgets_of_answers(paring, small, tmp_path):
    path = slo_file(tmp_path, """
  fast:
    kind: latency
    ttft: 1us
    target: 50%
    min_requests: 2
    window: 1h
  slow:
    kind: latency
    end_to_end: 1h
    target: 99%
  good:
    kind: goodput
    ttft: 1h
    inter_token: 1h
    target: 99%
  tokens:
    kind: budget
    unit: tokens
    amount: 10
    per: day
""")
    with ServerProcess(paring.path, f"small={small}", "--slo", path) as server:
        succeed(server, 3)
        fail(server, 2)
        used = sum(post(server, "/v1/chat/completions", {**CHAT, "seed": 100 + n})[1]["usage"]["total_tokens"]
                   for n in range(2))
        until(lambda: standing(server, "tokens")["alerts"][-1]["state"] == "firing")
        fast, slow, good = (standing(server, name) for name in ("fast", "slow", "good"))
        assert (fast["requests"], fast["good"], fast["alerts"][0]["state"]) == (5, 0, "firing")
        assert (slow["requests"], slow["good"]) == (5, 5) and slow["error_budget_remaining"] == 1
        assert (good["requests"], good["good"]) == (5, 5), "who asks for what is not there does not count"
        tokens = standing(server, "tokens")
        assert tokens["used"] == used / 2 * 5 and tokens["error_budget_remaining"] < 0
        assert tokens["alerts"][-1]["name"] == "exhausted"


def test_scores_of_answers(paring, small, tmp_path):
    path = slo_file(tmp_path, """
  thumbs:
    kind: quality
    score: thumbs
    at_least: 1
    target: 90%
    window: 1h
    min_requests: 2
  mean:
    kind: quality
    score: thumbs
    of: mean
    at_least: 0.5
    min_requests: 2
""")
    with ServerProcess(paring.path, f"small={small}", "--slo", path) as server:
        for number, value in enumerate([True, False, False]):
            body = {"response_id": f"r{number}", "name": "thumbs", "value": value, "author": "u1"}
            assert post(server, "/v1/feedback", body)[0] == 200
            if number == 2:
                time.sleep(1.1)  # the second that a score was made in tells it from one that is given again
                assert post(server, "/v1/feedback", body)[0] == 200
        until(lambda: all(standing(server, name)["alerts"][0]["state"] == "firing" for name in ("thumbs", "mean")))
        shares, mean = standing(server, "thumbs"), standing(server, "mean")
        assert (shares["requests"], shares["good"]) == (3, 1)
        assert mean["mean"] == pytest.approx(1 / 3) and mean["burn_rates"][0]["long"] == pytest.approx(1.5)


def test_a_proxy_has_them_too(paring, tmp_path):
    path = slo_file(tmp_path, ERRORS.replace("    failures: all\n", ""))
    with FakeUpstream() as upstream, ServerProcess(paring.path, "--upstream", upstream.url, "--slo", path, "--data-dir",
                                                   tmp_path / "data", command="monitor") as server:
        body = {"model": "whole", "messages": [{"role": "user", "content": "Hello"}]}
        for _ in range(3):
            assert post(server, "/v1/chat/completions", body)[0] == 200
        assert until(lambda: server.metric("paring:slo_requests_total")) == 3
        assert server.metric("paring:slo_good_total") == 3
        assert json.loads(server.get("/v1/alerts"))["objectives"][0]["good"] == 3


@pytest.mark.parametrize("text, told", [
    ("objectives: {}", "there are no objectives"),
    ("objectives:\n  a:\n    target: 99%", "objectives.a: kind is missing"),
    ("objectives:\n  a:\n    kind: latency\n    target: 99%", "limits of 'latency' is 0"),
    ("objectives:\n  a:\n    kind: latency\n    ttft: soon", "line 4: 'objectives.a.ttft' is 'soon'"),
    ("objectives:\n  a:\n    kind: error_rate", "target is missing"),
    ("objectives:\n  a:\n    kind: error_rate\n    target: 101%", "target is 1.01"),
    ("objectives:\n  a:\n    kind: error_rate\n    target: 90%\n    burn_rates: 14.4 1h 5m", "a rate of 14.4"),
    ("objectives:\n  a:\n    kind: error_rate\n    target: 90%\n    window: 60d",
     "line 5: 'objectives.a.window' is '60d'"),
    ("objectives:\n  a:\n    kind: error_rate\n    target: 90%\n    tenants: x", "'objectives.a.tenants' is not known"),
    ("objectives:\n  a b:\n    kind: error_rate\n    target: 90%", "the name of an objective is 'a b'"),
    ("objectives:\n  a:\n    kind: quality\n    score: x\n    target: 90%", "limit of 'quality' is missing"),
    ("objectives:\n  a:\n    kind: budget\n    amount: 0", "amount is 0"),
    ("objectives:\n  a:\n    kind: error_rate\n    target: 90%\nwebhooks:\n  p:\n    timeout: 1s", "'p' has no url"),
    ("objectives:\n  a:\n    kind: error_rate\n    target: 90%\nwebhooks:\n  p:\n    url: ftp://s3cret@x",
     "'webhooks.p.url' is no address"),
    ("objectives:\n  a:\n    kind: error_rate\n    target: 90%\nwebhooks:\n  p:\n    bearer_env: NOTHING",
     "(NOTHING) is empty"),
])
def test_what_is_wrong_in_the_file_is_named(paring, small, tmp_path, text, told):
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    with pytest.raises(RuntimeError) as error:
        ServerProcess(paring.path, f"small={small}", "--slo", path)
    assert told in str(error.value) and "slo.yaml" in str(error.value) and "s3cret" not in str(error.value)


def test_the_example_is_taken(paring, small, root):
    with ServerProcess(paring.path, f"small={small}", "--slo", root / "deploy/slo.yaml") as server:
        names = {each["name"]: each for each in json.loads(server.get("/v1/alerts"))["objectives"]}
        assert set(names) == {"chat-first-token", "chat-goodput", "errors", "live-quality", "thumbs", "daily-tokens"}
        rules = [(each["limit"], each["long_seconds"], each["short_seconds"]) for each in names["errors"]["burn_rates"]]
        assert rules == [(pytest.approx(14.4), 3600, 300), (pytest.approx(6), 21600, 1800),
                         (pytest.approx(1), 259200, 21600)], "Google's workbook, chapter 5"


def test_without_objectives_there_are_none(paring, small):
    with ServerProcess(paring.path, f"small={small}") as server:
        told = json.loads(server.get("/v1/alerts"))
        assert told["objectives"] == told["history"] == told["sinks"] == []
        with pytest.raises(urllib.error.HTTPError) as error:
            server.get("/v1/alerts/errors/silence")
        assert error.value.code == 405
        assert "paring:alerts_firing" not in server.get("/metrics")
